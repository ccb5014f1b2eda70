"""The architecture of a Hugging Face model, by its `model_type`, among all that are installed."""

from transformers import PreTrainedModel

from faithbench.errors import UserError
from faithbench.interfaces import Architecture
from faithbench.plugins import finding

CLASSIFIER = "ForSequenceClassification"
CONVERTIBLE = (CLASSIFIER, "ForMaskedLM")
GATED = ("gelu", "gelu_pytorch_tanh", "relu", "silu", "swish")  # activations g(x)·x whose gate g we can hold constant


def activation_of(model: PreTrainedModel) -> str:
    """The name of the feed-forward activation."""
    return str(getattr(model.config, "hidden_act", None) or getattr(model.config, "activation", None))


def architecture_of(model: PreTrainedModel, heads: str | tuple[str, ...] = CLASSIFIER) -> Architecture:
    """What is known of a model's type, a classifier's unless other heads are allowed.

    Raises:
        UserError: the architecture is not known.
    """
    name, known = str(model.config.model_type), finding.find("architecture")
    if name not in known or not type(model).__name__.endswith(heads):
        raise UserError(
            f"{type(model).__name__} (model type {name!r}) is not supported; "
            f"known are sequence classifiers of type {', '.join(known)}."
        )
    architecture = known[name].load()()
    if not isinstance(architecture, Architecture):
        raise UserError(f"architecture {name!r} of {known[name].origin} gives {architecture!r}, not an Architecture.")
    return architecture
