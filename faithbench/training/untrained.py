"""A control: a model as it is, but with random weights."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar

from faithbench.errors import UserError
from faithbench.parameters import check_seed
from faithbench.plugins.naming import refer

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier


@dataclass(frozen=True)
class Untrained:
    """Another model with weights drawn anew, as its architecture begins: what scores are without any training.

    Architecture, sizes, tokenizer and, of B-cos models, the conversion are those of the other model, which is therefore
    found and, if it is a named one that has not been trained, trained first.

    Args:
        model: a named model, a folder or a hub id.
        seed: of the weights.
    """

    model: str
    seed: int = 0
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        other = refer(self.model)
        if other.made_of is not None:
            raise UserError(
                f"model={other.label} is not allowed; untrained(…) is made of a model that is no control: change an "
                f"untrained one instead, as in topk(untrained({other.root.label}), k=16)."
            )
        object.__setattr__(self, "model", other.spec)
        check_seed(self.seed)

    def change(self, classifier: "HuggingFaceClassifier") -> "HuggingFaceClassifier":
        """The model with random weights."""
        drawn = resolve_name("faithbench.training.redrawn:redrawn")(classifier.model, self.seed)
        return classifier.remade(drawn)
