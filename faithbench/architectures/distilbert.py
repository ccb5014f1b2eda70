"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108)."""

from faithbench.interfaces import Architecture, LayerParts


def distilbert() -> Architecture:
    """DistilBERT: its head is two linear layers with a ReLU between, which transformers calls as a function."""
    return Architecture(
        embeddings="distilbert.embeddings",
        attention_inputs=r"attention\.(q|k|v)_lin$",
        layers="distilbert.transformer.layer",
        mixed="sa_layer_norm",
        positions_skip_padding=False,
        straighten="faithbench.architectures.heads:signs_around_relu",
        parts=LayerParts(
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            mix="attention.out_lin",
            mix_norm="sa_layer_norm",
            expand="ffn.lin1",
            activation="ffn.activation",
            contract="ffn.lin2",
            norm="output_layer_norm",
            dense="pre_classifier",
            head_activation="relu",
            out="classifier",
        ),
    )
