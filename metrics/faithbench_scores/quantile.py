"""How well a description predicts a neuron's activations of every size, in short windows (arXiv 2410.16443).

The numbers of windows are the paper's, which follows Bricken et al. 2023, "Towards Monosemanticity"; where the bins
end, and which windows are looked at, is said here.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from faithbench.activations import Description, Neuron, Recording, top_places
from faithbench.parameters import check_choice, check_seed
from faithbench.types import Measurement
from faithbench_scores.correlating import FORMS, PEARSON, range_of_form, scored

TOKENS, AROUND = 8, 3  # of a window, and of one around another peak
TOP, BINS, IN_BIN, RANDOM, OTHERS = 10, 11, 2, 5, 10
Places = Int[np.ndarray, "some"]


@dataclass(frozen=True)
class Quantile:
    """Correlation of simulated with real activations over short windows of peaks of every size, −100 to 100.

    Windows are cut into pieces of 8 tokens, end to end, and a piece's peak is its largest activation. None is taken
    twice:

    - 10 top: the largest peaks, one a document;
    - 2 from each of 11 bins: of the pieces whose peak is in ((i / 11) M, ((i + 1) / 11) M] for i = 0 … 10, M being the
      largest peak, at random;
    - 5 random;
    - 10 of three tokens around other peaks: those of the next documents that are above 0, the peak in the middle, or
      at an end where the window ends.

    All tokens are joined: 326 where each bin has two pieces. Bins have fewer where peaks are rare or of a few sizes, or
    the top ones took them; a unit that never fires has the top and the random pieces alone, which tell nothing: NaN.
    The description sees no more of the text than the piece.

    Args:
        form: `pearson`, as published, `spearman`, or `r2`, after calibration, which has no lower limit.
        seed: draws the windows, together with the neuron's name.
    """

    form: str = PEARSON
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    range = range_of_form

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        check_seed(self.seed)

    def __call__(self, neuron: Neuron, description: Description) -> Measurement:
        """The correlation, or R²."""
        return scored(self.form, neuron, description, pieces(neuron.evaluate, neuron.generator("quantile", self.seed)))


def pieces(whole: Recording, draws: np.random.Generator) -> tuple[Recording, Recording]:
    """The windows of 8 tokens, and those of three around other peaks."""
    length = whole.windows.ids.shape[1]
    tokens, around = min(TOKENS, length), min(AROUND, length)
    each = length // tokens
    activations = whole.activations[:, : each * tokens].reshape(-1, tokens)
    chosen, others = choose(activations.max(axis=1), np.repeat(whole.windows.documents, each), draws)
    starts = others % each * tokens + activations[others].argmax(axis=1) - around // 2
    return (
        whole.cut(chosen // each, chosen % each * tokens, tokens),
        whole.cut(others // each, np.clip(starts, 0, length - around), around),
    )


def choose(
    peaks: Float[np.ndarray, "pieces"], documents: Int[np.ndarray, "pieces"], draws: np.random.Generator
) -> tuple[Int[np.ndarray, "chosen"], Int[np.ndarray, "others"]]:
    """Which pieces are taken whole, and around whose peaks others are cut.

    Args:
        peaks: the largest activation of each piece.
        documents: of each.
        draws: what is random.
    """
    ranked = top_places(peaks, documents, len(peaks), draws)
    free = np.ones(len(peaks), dtype=bool)
    chosen = [_taken(ranked[:TOP], free)]
    for number in bins(peaks):
        chosen.append(_taken(draws.permutation(np.flatnonzero(number & free))[:IN_BIN], free))
    chosen.append(_taken(draws.permutation(np.flatnonzero(free))[:RANDOM], free))
    others = ranked[TOP:]
    return np.concatenate(chosen), others[free[others] & (peaks[others] > 0)][:OTHERS]


def bins(peaks: Float[np.ndarray, "pieces"]) -> list[np.ndarray]:
    """Which peaks are in each of the bins, of one width, from 0 to the largest; no bins where that is not above 0."""
    largest = float(peaks.max(initial=0.0))
    if largest <= 0:
        return []
    number = np.ceil(peaks / largest * BINS) - 1
    return [number == each for each in range(BINS)]


def _taken(places: Places, free: np.ndarray) -> Places:
    free[places] = False
    return places
