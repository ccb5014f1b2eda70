"""The trainer: transformers' own, with batches of texts of similar length, half of each masked if that is asked for."""

from typing import Any

from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from faithbench.training.masking import SPECIAL, HalfMasking


class LengthGroupedTrainer(Trainer):
    """A Trainer whose batches hold texts of similar length, so that little is padded.

    The setting for it has another name in transformers 4 (`group_by_length`) than in 5 (`train_sampling_strategy`);
    the sampler behind both is the same.
    """

    masking: HalfMasking | None = None

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(self.args.train_batch_size, dataset=rows)

    def training_step(self, model: PreTrainedModel, inputs: dict[str, Any], *more: Any) -> Tensor:
        """One step, on a batch half of which is masked if there is a masking."""
        if self.masking is not None:
            special = inputs.pop(SPECIAL)
            inputs = {**inputs, "input_ids": self.masking.batch(inputs["input_ids"], special, self.state.global_step)}
        loss: Tensor = super().training_step(model, inputs, *more)
        return loss
