"""Models of whose neurons only the most active go on, and what that does to their loss."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.neurons.sites import find_sites
from faithbench.neurons.sparse import with_largest
from faithbench.plugins.spec import Component
from faithbench.training.blocks import whole_blocks
from faithbench.training.language_modelling import perplexity

MEASURED = 10_000  # tokens of validation texts, at most


def thinned(model: PreTrainedModel, k: int, pattern: str) -> PreTrainedModel:
    """A copy of a model in which the k largest activations of each site survive at each token.

    Raises:
        UserError: there is no such site, or one has fewer.
    """
    sites = find_sites(model, pattern)
    narrow = min(sites, key=lambda site: site.units)
    if k > narrow.units:
        raise UserError(f"k={k} is not allowed; it must be at most {narrow.units}, the neurons of {narrow.name}.")
    return with_largest(model, sites, k)


def losses(
    classifier: HuggingFaceClassifier, change: Callable[..., HuggingFaceClassifier], data: Component | None
) -> dict[str, Any]:
    """The perplexity of a language model before (`start`) and after a change, on validation texts if there are some.

    Args:
        classifier: the model.
        change: what is done to it.
        data: whose texts.
    """
    if data is None or not isinstance(classifier, HuggingFaceLanguageModel):
        return {}
    try:
        blocks = whole_blocks(data, "validation", classifier, MEASURED)
    except UserError:  # it has no such texts
        return {}
    before, after = (perplexity(each.model, blocks) for each in (classifier, change(classifier)))
    return {"start": {"validation": before}, "validation": after}
