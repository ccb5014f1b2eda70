"""Another explainer's scores in random places: the floor of metrics that look at the values of scores."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking, ask
from faithbench.draws import generator
from faithbench.parameters import check_seed
from faithbench.types import Attribution, Target, Text
from faithbench_explainers import another


@dataclass(frozen=True)
class Permuted:
    """The scores of another explainer, dealt out anew among the content tokens; special tokens keep theirs.

    The values are the same and their places say nothing. So a metric that looks at values alone (entropy, gini) gives
    the same, and where one looks at both (`soft_comprehensiveness`, `infidelity`) this is what the shape of the scores
    earns without their places, which the uniform noise of `random` does not show.

    The order belongs to the text and the seed: it is the same for all targets and all variants of a model, so that only
    places are lost.

    Args:
        explainer: a spec, as in `permuted(occlusion)`.
        seed: draws the order, together with the text's id.
    """

    explainer: str
    seed: int = 0
    inner = another.inner
    class_sensitive = another.class_sensitive
    version = another.version
    resolve = another.resolve

    def __post_init__(self) -> None:
        check_seed(self.seed)
        another.build_inner(self, "permute them")

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        found: Attribution = yield from ask(self.inner.object, text, target)
        order, errors = places(text, self.seed), found.standard_errors
        scores: Float[np.ndarray, "tokens"] = np.asarray(found.scores)[order]
        return replace(found, scores=scores, standard_errors=None if errors is None else errors[order])


def places(text: Text, seed: int) -> Int[np.ndarray, "tokens"]:
    """Where each token's score is taken from."""
    order = np.arange(len(text))
    order[text.content] = generator(text, "places", seed).permutation(text.content)
    return order
