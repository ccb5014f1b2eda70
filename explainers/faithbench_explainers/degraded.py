"""Another explainer's scores, a share of them in another order: what a metric of explanations has to notice."""

from dataclasses import dataclass, replace
from typing import ClassVar

from faithbench.conversations import Asking, ask
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_share
from faithbench.types import Attribution, Target, Text
from faithbench_explainers import another


@dataclass(frozen=True)
class Degraded:
    """The scores of a share of the content tokens change places among themselves; all others stay.

    Which, and how, is drawn from the seed and the text's id: the same tokens for every explainer, and for a larger
    share those of the smaller one and more. With share 1 the values are kept and nothing is left of their order. It
    stands in no ranking: `faithbench meta` judges metrics by how they rate it beside the explainer itself.

    Args:
        explainer: a spec, as in `degraded(lime(n_samples=500), share=0.5)`.
        share: of the content tokens, rounded to whole tokens; fewer than two of them change nothing.
        seed: draws which, and their new order.
    """

    explainer: str
    share: float = 1.0
    seed: int = 0
    on_request: ClassVar[bool] = True
    inner = another.inner
    class_sensitive = another.class_sensitive
    version = another.version
    resolve = another.resolve

    def __post_init__(self) -> None:
        check_share("share", self.share)
        check_seed(self.seed)
        another.build_inner(self, "degrade them")

    @property
    def degrades(self) -> tuple[str, float]:
        """That explainer, and the share."""
        return self.explainer, float(self.share)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        found: Attribution = yield from ask(self.inner.object, text, target)
        draws = generator(text, "degraded", self.seed)
        chosen = draws.permutation(text.content)[: round(self.share * len(text.content))]
        moved = draws.permutation(chosen)
        scores, errors = found.scores.copy(), found.standard_errors
        scores[chosen] = found.scores[moved]
        if errors is not None:
            errors = errors.copy()
            errors[chosen] = found.standard_errors[moved]  # type: ignore[index]
        return replace(found, scores=scores, standard_errors=errors)
