"""RoBERTa (Liu et al. 2019, arXiv 1907.11692)."""

from faithbench.architectures.bert import ATTENTION_INPUTS, layer_parts
from faithbench.interfaces import Architecture


def roberta() -> Architecture:
    """RoBERTa: positions are counted over tokens that are not padding; its head has tanh inside."""
    return Architecture(
        embeddings="roberta.embeddings",
        attention_inputs=ATTENTION_INPUTS,
        layers="roberta.encoder.layer",
        mixed="attention.output",
        positions_skip_padding=True,
        straighten="faithbench.architectures.heads:first_token_head",
        parts=layer_parts("classifier.dense", "classifier.out_proj"),
    )
