"""LIME as its authors' package `lime` computes it (Ribeiro et al. 2016, arXiv 1602.04938)."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.parameters import check_choice, check_positive, check_seed, check_whole
from faithbench.questions import Inside
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.bridges.library import attribution, check_installed

FUNCTION = "faithbench_explainers.bridges.lime:scores"
SELECTIONS = ("auto", "forward_selection", "highest_weights", "lasso_path", "none")


@dataclass(frozen=True)
class LimePackage:
    """`LimeTextExplainer` of the package, run on the target's softmax probability; absent tokens are the mask token.

    The package is given a text whose words are the content tokens, each a word of its own, and so draws, weighs,
    selects and regresses as it does for any text (`bow=False`). Scores are changes of probability, 0 for tokens that
    were not selected and for special tokens. The same definition without the package: `lime(n_samples=4999,
    feature_selection=auto)`.

    Args:
        num_samples: masks, the text itself included.
        num_features: how many tokens are selected.
        feature_selection: as in the package: `auto`, `forward_selection`, `highest_weights`, `lasso_path` or `none`.
        kernel_width: of the weights.
        seed: of all random numbers, together with the text's id.
    """

    num_samples: int = 5000
    num_features: int = 10
    feature_selection: str = "auto"
    kernel_width: float = 25.0
    seed: int = 0
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_installed("lime_package", "lime")
        check_whole("num_samples", self.num_samples, 2, 1_000_000)
        check_whole("num_features", self.num_features, 1, 100_000)
        check_seed(self.seed)
        check_positive("kernel_width", self.kernel_width)
        check_choice("feature_selection", self.feature_selection, SELECTIONS)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        scores = yield Inside(text, FUNCTION, {**asdict(self), "target": Target.of(target).output})
        return attribution(text, target, scores, "the package lime")
