"""XLNet (Yang et al. 2019, arXiv 1906.08237)."""

from faithbench.architectures.inspection import QUERY_KEY_VALUE
from faithbench.interfaces import Architecture


def xlnet() -> Architecture:
    """XLNet: its states are [tokens, rows, d], and its head reads the last token, [CLS]."""
    return Architecture(
        embeddings="transformer.word_embedding",
        attention_inputs=QUERY_KEY_VALUE,
        layers="transformer.layer",
        positions_skip_padding=False,
        tokens_first=True,
        reads_last=True,
    )
