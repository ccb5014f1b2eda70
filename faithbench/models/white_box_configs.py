"""Configurations of causal CRATE (arXiv 2410.16443) and its baseline, GPT-2 without biases and with ReLU."""

from typing import Any

from transformers import PretrainedConfig

SHARED, DECOUPLED = "shared", "decoupled"
DECODINGS = (SHARED, DECOUPLED)


class WhiteBoxConfig(PretrainedConfig):
    """Sizes that both have.

    Args:
        vocab_size: tokens.
        hidden_size: d.
        num_hidden_layers: blocks.
        num_attention_heads: a divisor of d.
        intermediate_size: neurons of a layer: codes of a dictionary, or hidden units of an MLP.
        max_position_embeddings: tokens of the longest text.
        layer_norm_eps: of the norms.
        initializer_range: standard deviation of linear layers and embeddings before training.
        tie_word_embeddings: whether the output layer is that of the embeddings.
        use_cache: whether keys and values are kept in generation.
        bos_token_id: begins a text.
        eos_token_id: ends one.
        pad_token_id: fills rows.
        **kwargs: of all configurations.

    Raises:
        ValueError: there are no such models.
    """

    def __init__(
        self,
        vocab_size: int = 50304,
        hidden_size: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        max_position_embeddings: int = 1024,
        layer_norm_eps: float = 1e-5,
        initializer_range: float = 0.02,
        tie_word_embeddings: bool = True,
        use_cache: bool = True,
        bos_token_id: int | None = None,
        eos_token_id: int | None = None,
        pad_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        if num_attention_heads < 1 or hidden_size % num_attention_heads:
            raise ValueError(
                f"num_attention_heads={num_attention_heads} is not allowed with hidden_size={hidden_size}; it must "
                "divide it."
            )
        super().__init__(**kwargs)
        self.tie_word_embeddings = tie_word_embeddings
        self.bos_token_id, self.eos_token_id, self.pad_token_id = bos_token_id, eos_token_id, pad_token_id


class CrateConfig(WhiteBoxConfig):
    """Sizes and switches of a causal CRATE.

    Args:
        step_size: η of ISTA.
        sparsity: λ of ISTA.
        decode: `shared`, by the dictionary that encodes, or `decoupled`, by a second one.
        residual: whether the codes' half of a block has a residual connection, too (CRATE-α).
        **kwargs: of both models.

    Raises:
        ValueError: there are no such models.
    """

    model_type = "crate"

    def __init__(
        self,
        step_size: float = 0.1,
        sparsity: float = 0.1,
        decode: str = SHARED,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        self.step_size = step_size
        self.sparsity = sparsity
        self.decode = decode
        self.residual = residual
        if decode not in DECODINGS:
            raise ValueError(f"decode={decode!r} is not allowed; use {' or '.join(DECODINGS)}.")
        super().__init__(**kwargs)


class GPTReluConfig(WhiteBoxConfig):
    """Sizes of GPT-2 without biases and with ReLU.

    Args:
        **kwargs: of both models.

    Raises:
        ValueError: there are no such models.
    """

    model_type = "gpt-relu"

    def __init__(self, **kwargs: Any) -> None:  # or transformers would make another
        super().__init__(**kwargs)
