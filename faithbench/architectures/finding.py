"""The architecture of a Hugging Face model: the one installed for its `model_type`, or what can be seen."""

from transformers import PreTrainedModel

from faithbench.architectures.inspection import inspected
from faithbench.errors import UserError, short
from faithbench.interfaces import Architecture
from faithbench.plugins import finding
from faithbench.plugins.faults import blaming

GATED = ("gelu", "gelu_pytorch_tanh", "relu", "silu", "swish")  # activations g(x)·x whose gate g we can hold constant


def activation_of(model: PreTrainedModel) -> str:
    """The name of the feed-forward activation."""
    return str(getattr(model.config, activation_field(model), None))


def activation_field(model: PreTrainedModel) -> str:
    """Where the configuration tells the feed-forward activation; the first of such fields if nowhere."""
    names = ("hidden_act", "hidden_activation", "activation", "activation_function", "ff_activation")
    return next((name for name in names if getattr(model.config, name, None)), names[0])


def architecture_of(model: PreTrainedModel) -> Architecture:
    """What is known of a model's type, or can be read off the model.

    Raises:
        UserError: a plugin gives something else than an architecture.
    """
    name, known = str(model.config.model_type), finding.find("architecture")
    if name not in known:
        return inspected(model)
    plugin = known[name]
    with blaming(f"{plugin.whose} cannot be made"):
        architecture = plugin.load()()
    if not isinstance(architecture, Architecture):
        raise UserError(f"{plugin.whose} gives {short(architecture)}, not an Architecture.")
    return architecture
