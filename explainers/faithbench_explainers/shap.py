"""Explainers of the shap package (Lundberg & Lee 2017, arXiv 1705.07874) by the names of their classes."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.parameters import check_seed
from faithbench.plugins import spec
from faithbench.questions import Inside
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.bridges.library import attribution, check_installed, parse

CHECK = "faithbench_explainers.bridges.shap:check_explainer"
FUNCTION = "faithbench_explainers.bridges.shap:scores"


@dataclass(frozen=True)
class Shap:
    """An explainer of shap, run on the target's logit: content tokens are players, absent ones the mask token.

    Special tokens stay and score 0. shap's own masker for text is not used, since it would split the text anew: to shap
    a text is a row of ones, its background a row of zeros (`shap.maskers.Independent`). `Partition` also needs a
    hierarchy of the tokens (`shap.maskers.Partition`): neighbours, halved again and again.

    Args:
        explainer: `Exact`, `Partition` or `Permutation` with parameters of its call, or plain ones of its constructor:
            `shap(Partition(max_evals=500))`. `Exact` asks 2ⁿ rows for n tokens, `Permutation` at least 2n + 1.
        seed: of all random numbers, together with the text's id.
    """

    explainer: str
    seed: int = 0
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_installed("shap", "shap")
        check_seed(self.seed)
        name, arguments = parse("explainer", self.explainer)
        resolve_name(CHECK)(name, arguments)
        object.__setattr__(self, "explainer", spec.write(name, arguments))

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        name, arguments = parse("explainer", self.explainer)
        asked = {"explainer": name, "arguments": arguments, "target": Target.of(target).output, "seed": self.seed}
        scores = yield Inside(text, FUNCTION, asked)
        return attribution(text, target, scores, f"shap's {name}")
