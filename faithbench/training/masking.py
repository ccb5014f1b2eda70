"""Training in which half of each batch is masked, so that masks are nothing new to the model.

Masked fine-tuning of Madsen, Reddy, Chandar 2024 (arXiv 2310.07819). Here a text is in the masked half of its batch by
lot, where they draw for each text alone; special tokens stay, and so do all tokens of the other half.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from faithbench.training.tokenising import IDS, SPECIAL, Tokenised


@dataclass(frozen=True)
class HalfMasking:
    """Masks half of the texts of a batch: of each, every content token with probability r, r ~ U(0, 1).

    Args:
        blank: id of the token that takes their place.
        seed: with the number of the step it draws everything, so that a training that is taken up goes on alike.
    """

    blank: int
    seed: int

    def batch(
        self, ids: Int[Tensor, "rows tokens"], special: Int[Tensor, "rows tokens"], step: int
    ) -> Int[Tensor, "rows tokens"]:
        """The ids of a batch with half of its rows masked; of an odd number one more or less, by lot."""
        draws = self._generator("batch", step)
        count = (len(ids) + int(draws.integers(2))) // 2
        chosen = np.isin(np.arange(len(ids)), draws.permutation(len(ids))[:count])
        drawn = torch.from_numpy(_drawn(ids.shape, draws) & chosen[:, None])
        if ids.is_cuda:  # so that the device is not waited for
            drawn = drawn.pin_memory().to(ids.device, non_blocking=True)
        return ids.masked_fill(drawn.to(ids.device) & (special == 0), self.blank)

    def rows(self, rows: Sequence[Tokenised], share: float | None = None) -> list[Tokenised]:
        """All rows masked, each by its own share, or all by one; the same whenever they are asked for."""
        return [self._row(row, i, share) for i, row in enumerate(rows)]

    def _row(self, row: Tokenised, number: int, share: float | None) -> Tokenised:
        hidden = _drawn((1, len(row[IDS])), self._generator("row", number), share)[0] & (np.asarray(row[SPECIAL]) == 0)
        return {**row, IDS: np.where(hidden, self.blank, row[IDS])}

    def _generator(self, purpose: str, number: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(purpose.encode()), self.seed, number])


def _drawn(
    shape: Sequence[int], draws: np.random.Generator, share: float | None = None
) -> Bool[np.ndarray, "rows tokens"]:
    """Which tokens are masked if they are content, each with the probability of its row."""
    shares = draws.random((shape[0], 1)) if share is None else share
    masked: Bool[np.ndarray, "rows tokens"] = draws.random(shape) < shares
    return masked
