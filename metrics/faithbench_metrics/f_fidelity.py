"""F-Fidelity: what a few random ones of the top tokens change (Zheng et al. 2025, arXiv 2410.02970)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.conversations import Asking, on_variant
from faithbench.draws import generator
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.questions import Variant
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle, unit
from faithbench_metrics.perturbation.ordering import ranked
from faithbench_metrics.perturbation.ratios import RATIOS, sizes

SURROGATE = "faithbench.training.surrogate:Surrogate"
FORMS = ("plus", "minus")
REMOVED = 0.5  # of the explanation, or of what is left, the papers' α


@dataclass(frozen=True)
class FFidelity:
    """Fall of the target's probability when a few random tokens of the explanation go, or, for `minus`, of the others.

    The explanation of a ratio q = 0.1, … 0.9 is the top k = max(1, ⌊q·n⌋) of n content tokens. Of it (`plus`, higher is
    better) or of the n − k others (`minus`, lower is better) a random half goes, but never more than a `share` of the
    text, and one token at least; the value is the mean fall over ratios and draws, in percent, −100 to 100, of a model
    that says a value in its own unit. So no input is far from what the model knows, however much is explained. `parts`
    are the mean falls at the ratios, as fractions. Not defined (NaN) without content tokens, `minus` for one of them.
    9 · `draws` + 1 rows.

    Both probabilities are those of a surrogate: the model fine-tuned on texts with as few random masks
    (`faithbench.train_surrogate`). Without one it is the model itself that is asked, which is right if that was trained
    on masks (`masking=half`), and else another metric, without the fine-tuning that the name stands for.

    Departures from the paper and its code: the fall is one of probability instead of accuracy; exactly half, rounded
    down and limited, of the tokens go in each draw, where each goes with probability 1/2 or less there, so that more
    than the share may go; ratios are 0.1 … 0.9, not 0.05 … 1; and the explanation is of the model, not of the
    surrogate.

    Args:
        surrogate: folder of the surrogate, a checkpoint of the same architecture; "" for the model itself. It belongs
            to the identity by its name alone, so it should not be changed.
        form: `plus`, tokens of the explanation go (FFid+); `minus`, others (FFid−).
        share: of the content tokens, how many go at the most; the paper's β.
        draws: random choices at each ratio; the paper's code has 50.
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        seed: draws the choices, together with the text's id; the same for all explainers.
    """

    surrogate: str = ""
    form: str = "plus"
    share: float = 0.1
    draws: int = 10
    operator: str = "mask"
    seed: int = 0
    range: ClassVar[tuple[float, float]] = (-100.0, 100.0)
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    parts_at: ClassVar[tuple[float, ...]] = RATIOS
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share!r} is not allowed; it must be above 0, and at most 1.")
        check_whole("draws", self.draws, 1, 10_000)
        settle(self)
        check_seed(self.seed)

    @property
    def higher_is_better(self) -> bool:
        """What the explanation holds should matter, what it does not hold should not."""
        return self.form == "plus"

    def resolve(self) -> None:
        """Finds the surrogate, before anything is measured.

        Raises:
            ValueError: there is no checkpoint in the folder.
        """
        if self.surrogate and not (Path(self.surrogate) / "config.json").is_file():
            raise ValueError(f"{self.surrogate} is no folder of a surrogate; make it with faithbench.train_surrogate.")

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        if len(text.content) < (1 if self.form == "plus" else 2):
            return Measurement(math.nan)
        keep = np.concatenate([np.ones((1, len(text)), dtype=bool), ~self._gone(text, attribution.scores)])
        variant = Variant(SURROGATE, (("folder", self.surrogate),)) if self.surrogate else None
        chances = yield from on_variant(variant, Operator(self.operator).chances(text, keep))
        falls = chances[0, attribution.target] - chances[1:, attribution.target]
        parts = falls.reshape(-1, self.draws).mean(axis=1)
        return Measurement(unit(text) * float(parts.mean()), tuple(map(float, parts)))

    def _gone(self, text: Text, scores: Float[np.ndarray, "tokens"]) -> Bool[np.ndarray, "choices tokens"]:
        """Which tokens go, ratio by ratio and draw by draw."""
        order, luck = ranked(text, scores), generator(text, "choices", self.seed).random((self.draws, len(text)))
        most = max(1, math.floor(self.share * len(order) + 1e-9))  # 0.1 of 30 is 3
        gone = []
        for size in sizes(len(order)):
            members = order[:size] if self.form == "plus" else order[size:]
            gone.append(luckiest(luck, members, min(most, max(1, math.floor(REMOVED * len(members))))))
        return np.concatenate(gone)


def luckiest(
    luck: Float[np.ndarray, "draws tokens"], members: Int[np.ndarray, "members"], count: int
) -> Bool[np.ndarray, "draws tokens"]:
    """For each draw, so many of the members: those with the least numbers."""
    chosen = members[np.argsort(luck[:, members], axis=1, kind="stable")[:, :count]]
    marked = np.zeros(luck.shape, dtype=bool)
    np.put_along_axis(marked, chosen, True, axis=1)
    return marked
