"""XLNet (Yang et al. 2019, arXiv 1906.08237)."""

from faithbench.interfaces import Architecture


def xlnet() -> Architecture:
    """XLNet: its states are [tokens, rows, d], and its head reads the last token, [CLS]."""
    return Architecture(
        embeddings="transformer.word_embedding",
        attention_inputs=r"rel_attn$",
        layers="transformer.layer",
        positions_skip_padding=False,
        tokens_first=True,
        reads_last=True,
    )
