"""Another explainer's scores, a share of them in another order: what a metric of explanations has to notice."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from faithbench.conversations import Asking, ask
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_share
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.types import Attribution, Target, Text


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

    def __post_init__(self) -> None:
        check_share("share", self.share)
        check_seed(self.seed)
        if spec.parse(self.explainer)[0] == "imported":
            raise ValueError("imported attributions never run; degrade them before they are imported.")
        object.__setattr__(self, "explainer", spec.build("explainer", self.explainer).identity)

    @cached_property
    def inner(self) -> Component:
        """The explainer whose scores they are."""
        return spec.build("explainer", self.explainer)

    @property
    def degrades(self) -> tuple[str, float]:
        """That explainer, and the share."""
        return self.explainer, float(self.share)

    @property
    def class_sensitive(self) -> bool:
        """As that explainer."""
        return self.inner.traits.class_sensitive

    @property
    def version(self) -> int:
        """As that explainer."""
        return self.inner.traits.version

    def resolve(self) -> None:
        """Lets that explainer import what it needs."""
        getattr(self.inner.object, "resolve", lambda: None)()

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
