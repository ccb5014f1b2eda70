"""A control: a model of whose neurons only the k most active go on, without any training."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from faithbench.parameters import check_whole
from faithbench.plugins.naming import ModelRef, refer
from faithbench.plugins.spec import Component

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier
    from faithbench.training.setup import Setup

THINNING = "faithbench.training.thinning"


@dataclass(frozen=True)
class TopK:
    """Another model that computes with the k largest activations of each layer's neurons at each token.

    The others are 0. Nothing is trained, so the model becomes worse, and a causal language model's report has its loss
    before and after: what is gained in sparsity is to be seen beside what is lost. A model of small k says whether
    neurons are easier to describe only because they fire less.

    Args:
        model: a named model, a folder or a hub id, or another control.
        k: activations that survive, of each site at each token; at most as many as it has.
        site: regular expression for the names of the modules whose outputs are neurons; empty for those that
            `neurons(…)` looks at: the hidden units of MLPs, the codes of CRATE, the latents of `sae(…)`.
    """

    model: str
    k: int
    site: str = ""
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", refer(self.model).spec)
        check_whole("k", self.k, 1, 10**6)

    def change(self, classifier: "HuggingFaceClassifier") -> "HuggingFaceClassifier":
        """The model with the others at 0."""
        return classifier.remade(resolve_name(f"{THINNING}:thinned")(classifier.model, self.k, self.site))

    def learn(
        self, named: ModelRef, classifier: "HuggingFaceClassifier", data: Component | None, setup: "Setup"
    ) -> "tuple[TopK, dict[str, Any]]":
        """Itself, which has nothing to learn, and its loss and perplexity beside those of the model as it is."""
        report: dict[str, Any] = resolve_name(f"{THINNING}:losses")(classifier, self.change, data)
        return self, report
