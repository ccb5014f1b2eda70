"""What faithbench must know of an architecture that transformers does not say: a few module names each."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from faithbench.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Module names inside a `…ForSequenceClassification` or `…ForMaskedLM`.

    Args:
        embeddings: the module whose output (after its LayerNorm) is the input that explanations speak of.
        attention_inputs: regular expression for the query, key and value projections.
        layers: the list of encoder layers.
        mixed: inside a layer, the first module that is called after the tokens have been mixed: from there on each
            position is computed on its own.
        positions_skip_padding: whether positions are counted from the ids, over those that are not padding.
    """

    embeddings: str
    attention_inputs: str
    layers: str
    mixed: str
    positions_skip_padding: bool = False


ARCHITECTURES = {
    "bert": Architecture(
        embeddings="bert.embeddings",
        attention_inputs=r"attention\.self\.(query|key|value)$",
        layers="bert.encoder.layer",
        mixed="attention.output",
    ),
    "roberta": Architecture(
        embeddings="roberta.embeddings",
        attention_inputs=r"attention\.self\.(query|key|value)$",
        layers="roberta.encoder.layer",
        mixed="attention.output",
        positions_skip_padding=True,
    ),
    "distilbert": Architecture(
        embeddings="distilbert.embeddings",
        attention_inputs=r"attention\.(q|k|v)_lin$",
        layers="distilbert.transformer.layer",
        mixed="sa_layer_norm",
    ),
}
CLASSIFIER = "ForSequenceClassification"
CONVERTIBLE = (CLASSIFIER, "ForMaskedLM")
GATED = ("gelu", "gelu_pytorch_tanh", "relu", "silu", "swish")  # activations g(x)·x whose gate g we can hold constant


def activation_of(model: PreTrainedModel) -> str:
    """The name of the feed-forward activation."""
    return str(getattr(model.config, "hidden_act", None) or getattr(model.config, "activation", None))


def architecture_of(model: PreTrainedModel, heads: str | tuple[str, ...] = CLASSIFIER) -> Architecture:
    """The entry for a model, a classifier unless other heads are allowed.

    Raises:
        UserError: the architecture is not known.
    """
    name = model.config.model_type
    if name not in ARCHITECTURES or not type(model).__name__.endswith(heads):
        raise UserError(
            f"{type(model).__name__} (model type {name!r}) is not supported; "
            f"known are sequence classifiers of type {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]
