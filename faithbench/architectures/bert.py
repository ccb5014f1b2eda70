"""BERT (Devlin et al. 2018, arXiv 1810.04805), and what RoBERTa shares with it."""

from faithbench.interfaces import Architecture, LayerParts


def bert() -> Architecture:
    """BERT: its head is a pooler with tanh, then a linear layer."""
    return Architecture(
        embeddings="bert.embeddings",
        attention_inputs=ATTENTION_INPUTS,
        layers="bert.encoder.layer",
        mixed="attention.output",
        positions_skip_padding=False,
        straighten="faithbench.architectures.heads:without_pooler_activation",
        parts=layer_parts("bert.pooler.dense", "classifier"),
    )


ATTENTION_INPUTS = r"attention\.self\.(query|key|value)$"


def layer_parts(dense: str, out: str) -> LayerParts:
    """The parts of a layer, and the linear layers of a head with tanh between."""
    return LayerParts(
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        mix="attention.output.dense",
        mix_norm="attention.output.LayerNorm",
        expand="intermediate.dense",
        activation="intermediate.intermediate_act_fn",
        contract="output.dense",
        norm="output.LayerNorm",
        dense=dense,
        head_activation="tanh",
        out=out,
    )
