"""The trainer: transformers' own, with batches of texts of similar length."""

from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler


class LengthGroupedTrainer(Trainer):
    """A Trainer whose batches hold texts of similar length, so that little is padded.

    The setting for it has another name in transformers 4 (`group_by_length`) than in 5 (`train_sampling_strategy`);
    the sampler behind both is the same.
    """

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(self.args.train_batch_size, dataset=rows)
