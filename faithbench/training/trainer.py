"""The trainer: transformers' own, with batches of texts of similar length, half of each masked if that is asked for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from faithbench.training.accumulation import Accumulation
from faithbench.training.masking import HalfMasking
from faithbench.training.tokenising import SPECIAL

IGNORED = -100  # label of what is not to be predicted


class LengthGroupedTrainer(Trainer):
    """A Trainer whose batches hold texts of similar length, so that little is padded.

    The setting for it has another name in transformers 4 (`group_by_length`) than in 5 (`train_sampling_strategy`);
    the sampler behind both is the same. What Trainer counts in each step and nobody reads here is left out, and
    gradients are accumulated within a step: to Trainer a batch is always the recipe's.

    Args:
        accumulation: in how many parts batches are read.
        masking: of batches, if there is one.
        of_trainer: Trainer's own.
    """

    def __init__(self, accumulation: Accumulation, masking: HalfMasking | None = None, **of_trainer: Any) -> None:
        super().__init__(**of_trainer)
        self.accumulation, self.masking = accumulation, masking

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(self.args.train_batch_size, dataset=rows)

    def training_step(self, model: PreTrainedModel, inputs: dict[str, Any], *more: Any) -> Tensor:
        """The gradients of a batch, half of which is masked if there is a masking, and its loss."""
        if not model.training:
            model.train()
        inputs = dict(self._prepare_inputs(inputs))
        if self.masking is not None:
            special = inputs.pop(SPECIAL)
            inputs["input_ids"] = self.masking.batch(inputs["input_ids"], special, self.state.global_step)

        def loss_of(part: dict[str, Tensor]) -> Tensor:
            loss: Tensor = self.compute_loss(model, dict(part))
            return loss

        return self.accumulation.run(lambda size: accumulate(loss_of, inputs, size), model.zero_grad)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: it would take all parameters in turn."""
        return 0

    def _get_grad_norm(self, model: PreTrainedModel, grad_norm: object = None) -> object:
        """Not computed where gradients are not clipped: it is for the log alone."""
        return grad_norm

    def _get_num_items_in_batch(self, *arguments: Any) -> None:
        """Not counted: losses are means over what a batch predicts."""


def accumulate(loss_of: Callable[[dict[str, Tensor]], Tensor], batch: dict[str, Tensor], size: int) -> Tensor:
    """Adds the gradients of a batch's loss to those of the parameters, so many rows at a time.

    Args:
        loss_of: the mean loss over the labels of rows, but for those that are `IGNORED`.
        batch: the rows; `labels` among the columns.
        size: rows of a part, at most.

    Returns:
        The mean loss over the labels of the batch.
    """
    rows = len(batch["labels"])
    if rows <= size:
        return _backward(loss_of(batch))
    predicted = (batch["labels"] != IGNORED).sum().clamp(min=1)
    losses = []
    for start in range(0, rows, size):
        part = {name: column[start : start + size] for name, column in batch.items()}
        share = (part["labels"] != IGNORED).sum() / predicted
        losses.append(_backward(loss_of(part) * share))
    return torch.stack(losses).sum()


def _backward(loss: Tensor) -> Tensor:
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    return loss.detach()
