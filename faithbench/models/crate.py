"""Causal CRATE (arXiv 2410.16443) and its baseline, GPT-2 without biases and with ReLU, as models of transformers.

A block of CRATE is one head of subspace attention and two steps of ISTA: with x = LN(z), a dictionary D of h codes and
η = λ = 0.1, a₁ = ReLU(η Dᵀx − ηλ), a₂ = ReLU(a₁ − η Dᵀ(D a₁ − x) − ηλ), and z = D a₂, with no residual around. What the
module `mlp.act` gives are the neurons: a₂ here, the hidden units of the MLP there.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHARED, DECOUPLED = "shared", "decoupled"
DECODINGS = (SHARED, DECOUPLED)


class CrateConfig(PretrainedConfig):
    """Sizes and switches of a causal CRATE.

    Args:
        vocab_size: tokens.
        hidden_size: d.
        num_hidden_layers: blocks.
        num_attention_heads: of the subspaces, a divisor of d.
        intermediate_size: h, codes of a dictionary.
        max_position_embeddings: tokens of the longest text.
        step_size: η of ISTA.
        sparsity: λ of ISTA.
        decode: `shared`, by the dictionary that encodes, or `decoupled`, by a second one.
        residual: whether the codes' half of a block has a residual connection, too (CRATE-α).
        layer_norm_eps: of the norms.
        initializer_range: standard deviation of linear layers and embeddings before training.
        tie_word_embeddings: whether the output layer is that of the embeddings.
        use_cache: whether keys are kept in generation.
        bos_token_id: begins a text.
        eos_token_id: ends one.
        pad_token_id: fills rows.
        **kwargs: of all configurations.
    """

    model_type = "crate"

    def __init__(
        self,
        vocab_size: int = 50304,
        hidden_size: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        max_position_embeddings: int = 1024,
        step_size: float = 0.1,
        sparsity: float = 0.1,
        decode: str = SHARED,
        residual: bool = False,
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
        self.step_size = step_size
        self.sparsity = sparsity
        self.decode = decode
        self.residual = residual
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        _check_heads(hidden_size, num_attention_heads)
        if decode not in DECODINGS:
            raise ValueError(f"decode={decode!r} is not allowed; use {' or '.join(DECODINGS)}.")
        super().__init__(**kwargs)
        self.tie_word_embeddings = tie_word_embeddings
        self.bos_token_id, self.eos_token_id, self.pad_token_id = bos_token_id, eos_token_id, pad_token_id


class GPTReluConfig(PretrainedConfig):
    """Sizes of GPT-2 without biases and with ReLU.

    Args:
        vocab_size: tokens.
        hidden_size: d.
        num_hidden_layers: blocks.
        num_attention_heads: a divisor of d.
        intermediate_size: hidden units of an MLP.
        max_position_embeddings: tokens of the longest text.
        layer_norm_eps: of the norms.
        initializer_range: standard deviation of linear layers and embeddings before training.
        tie_word_embeddings: whether the output layer is that of the embeddings.
        use_cache: whether keys and values are kept in generation.
        bos_token_id: begins a text.
        eos_token_id: ends one.
        pad_token_id: fills rows.
        **kwargs: of all configurations.
    """

    model_type = "gpt-relu"

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
        _check_heads(hidden_size, num_attention_heads)
        super().__init__(**kwargs)
        self.tie_word_embeddings = tie_word_embeddings
        self.bos_token_id, self.eos_token_id, self.pad_token_id = bos_token_id, eos_token_id, pad_token_id


Config = CrateConfig | GPTReluConfig


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"num_attention_heads={heads} is not allowed with hidden_size={width}; it must divide it.")


class Closing(nn.Linear):
    """A linear layer that ends a half of a block; its weights begin the narrower, the more blocks there are."""


class CausalAttention(nn.Module):
    """Attention to what came before; queries, keys and values are one projection in CRATE, three in GPT-2."""

    def __init__(self, config: Config, place: int, parts: int, bias: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.config, self.place, self.heads, self.parts = config, place, config.num_attention_heads, parts
        self.scaling, self.is_causal = (width // self.heads) ** -0.5, True
        self.qkv = nn.Linear(width, parts * width, bias=False)
        self.out = Closing(width, width, bias=bias)

    def forward(
        self,
        states: Float[Tensor, "rows tokens d"],
        mask: Bool[Tensor, "rows 1 tokens keys"] | None = None,
        past: Cache | None = None,
    ) -> tuple[Float[Tensor, "rows tokens d"], Float[Tensor, "rows heads tokens keys"] | None]:
        """What attention adds, and its probabilities where they are computed (`eager`)."""
        rows, tokens, width = states.shape
        parts = self.qkv(states).view(rows, tokens, self.parts, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[-2 if self.parts > 1 else 0], parts[-1]
        if past is not None:
            key, value = past.update(key, value, self.place)
        chosen = self.config._attn_implementation
        attend = eager_attention_forward if chosen == "eager" else ALL_ATTENTION_FUNCTIONS[chosen]
        mixed, probabilities = attend(self, query, key, value, mask, scaling=self.scaling)
        return self.out(mixed.reshape(rows, tokens, width)), probabilities


def eager_attention_forward(
    module: nn.Module,
    query: Float[Tensor, "rows heads tokens _"],
    key: Float[Tensor, "rows heads keys _"],
    value: Float[Tensor, "rows heads keys _"],
    attention_mask: Bool[Tensor, "rows 1 tokens keys"] | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[Float[Tensor, "rows tokens heads _"], Float[Tensor, "rows heads tokens keys"]]:
    """Attention that says its probabilities."""
    scores = scaling * (query @ key.transpose(-2, -1))
    if attention_mask is None:
        places = torch.arange(scores.shape[-1], device=scores.device)
        attention_mask = places <= places[-scores.shape[-2] :, None]
    probabilities = scores.masked_fill(~attention_mask, -math.inf).softmax(-1)
    return (probabilities @ value).transpose(1, 2), probabilities


class Ista(nn.Module):
    """Two steps of ISTA from 0, and what their codes stand for: ReLU(a − η Dᵀ(D a − x) − ηλ), twice, and D a."""

    def __init__(self, config: CrateConfig) -> None:
        super().__init__()
        self.step_size, self.threshold = config.step_size, config.step_size * config.sparsity
        self.dictionary = nn.Parameter(torch.empty(config.hidden_size, config.intermediate_size))
        decoupled = config.decode == DECOUPLED
        self.decoder = nn.Parameter(torch.empty_like(self.dictionary)) if decoupled else None
        self.act = nn.Identity()  # gives the codes, so that they can be looked at and changed

    @property
    def directions(self) -> Float[Tensor, "d codes"]:
        """What each code adds to the state."""
        return self.dictionary if self.decoder is None else self.decoder

    def code(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows codes"]:
        """The codes of states."""
        found = F.relu(self.step_size * (inputs @ self.dictionary) - self.threshold)
        residual = found @ self.dictionary.T - inputs
        return F.relu(found - self.step_size * (residual @ self.dictionary) - self.threshold)

    def forward(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """What the codes stand for."""
        return self.act(self.code(inputs)) @ self.directions.T


class ReluMLP(nn.Module):
    """GPT-2's MLP without biases and with ReLU."""

    def __init__(self, config: GPTReluConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act = nn.ReLU()
        self.contract = Closing(config.intermediate_size, config.hidden_size, bias=False)

    @property
    def directions(self) -> Float[Tensor, "d units"]:
        """What each hidden unit adds to the state."""
        return self.contract.weight

    def forward(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """What the MLP adds."""
        return self.contract(self.act(self.expand(inputs)))


class CrateLayer(nn.Module):
    """Subspace attention with its residual, then codes without one."""

    def __init__(self, config: CrateConfig, place: int) -> None:
        super().__init__()
        self.residual = config.residual
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = CausalAttention(config, place, parts=1, bias=True)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Ista(config)

    def forward(self, states: Tensor, mask: Tensor | None, past: Cache | None) -> tuple[Tensor, Tensor | None]:
        """The next states, and attention's probabilities where they are computed."""
        mixed, probabilities = self.attention(self.attention_norm(states), mask, past)
        states = states + mixed
        coded = self.mlp(self.mlp_norm(states))
        return states + coded if self.residual else coded, probabilities


class GPTReluLayer(nn.Module):
    """GPT-2's layer without biases."""

    def __init__(self, config: GPTReluConfig, place: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.attention = CausalAttention(config, place, parts=3, bias=False)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.mlp = ReluMLP(config)

    def forward(self, states: Tensor, mask: Tensor | None, past: Cache | None) -> tuple[Tensor, Tensor | None]:
        """The next states, and attention's probabilities where they are computed."""
        mixed, probabilities = self.attention(self.attention_norm(states), mask, past)
        states = states + mixed
        return states + self.mlp(self.mlp_norm(states)), probabilities


class WhiteBoxPreTrainedModel(PreTrainedModel):
    """What the models here have in common: how weights begin."""

    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ("CrateLayer", "GPTReluLayer")

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Linear layers and embeddings N(0, 0.02), those that end a half of a block narrower; D uniform ±√(6/d)."""
        spread = self.config.initializer_range
        narrow = spread / math.sqrt(2 * self.config.num_hidden_layers)
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=narrow if isinstance(module, Closing) else spread)
            if isinstance(bias := getattr(module, "bias", None), Tensor):
                nn.init.zeros_(bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            if isinstance(module.bias, Tensor):
                nn.init.zeros_(module.bias)
        elif isinstance(module, Ista):
            most = math.sqrt(6 / self.config.hidden_size)
            for dictionary in (module.dictionary, module.decoder):
                if dictionary is not None:
                    nn.init.uniform_(dictionary, -most, most)


class WhiteBoxModel(WhiteBoxPreTrainedModel):
    """Embeddings, blocks and a last norm."""

    layer: type[nn.Module]
    norm_bias = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList([self.layer(config, place) for place in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=self.norm_bias)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "rows tokens"] | None = None,
        attention_mask: Int[Tensor, "rows keys"] | Bool[Tensor, "rows 1 tokens keys"] | None = None,
        position_ids: Int[Tensor, "_ tokens"] | None = None,
        inputs_embeds: Float[Tensor, "rows tokens d"] | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """States behind the last norm."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        states = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None and not self.training:
            past_key_values = DynamicCache()
        before = 0 if past_key_values is None else past_key_values.get_seq_length()
        if position_ids is None:
            position_ids = torch.arange(before, before + states.shape[1], device=states.device)[None]
        states = states + self.embed_positions(position_ids)
        mask = _mask(states.shape[1], before, attention_mask, states.device)
        every, attentions = [states], list[Tensor | None]()
        for layer in self.layers:
            states, probabilities = layer(states, mask, past_key_values)
            every.append(states)
            attentions.append(probabilities)
        states = self.norm(states)
        wanted = self.config.output_attentions if output_attentions is None else output_attentions
        shown = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutputWithPast(
            last_hidden_state=states,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=(*every[:-1], states) if shown else None,
            attentions=tuple(attentions) if wanted else None,
        )

    def get_input_embeddings(self) -> nn.Module:
        """Those of tokens."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Those of tokens."""
        self.embed_tokens = value


def _mask(
    tokens: int, before: int, visible: Tensor | None, device: torch.device
) -> Bool[Tensor, "rows 1 tokens keys"] | None:
    """What each position reads: what came before, as far as it is visible, and itself; None for all of that."""
    if visible is not None and visible.ndim == 4:
        return visible if visible.dtype == torch.bool else visible >= 0
    if visible is None and not (before and tokens > 1):
        return None
    places = torch.arange(before, before + tokens, device=device)
    keys = torch.arange(before + tokens, device=device)
    causal = keys <= places[:, None]
    if visible is None:
        return causal[None, None]
    itself = keys == places[:, None]  # or what is hidden would read nothing at all, which is no number
    return (causal & visible[:, None, None, :].bool()) | itself


class WhiteBoxForCausalLM(WhiteBoxPreTrainedModel, GenerationMixin):
    """A model with the output layer of its embeddings."""

    body: type[WhiteBoxModel]
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 # as transformers has it

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.model = self.body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The output layer."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """The output layer."""
        self.lm_head = new_embeddings

    def forward(
        self,
        input_ids: Int[Tensor, "rows tokens"] | None = None,
        attention_mask: Int[Tensor, "rows keys"] | None = None,
        position_ids: Int[Tensor, "_ tokens"] | None = None,
        inputs_embeds: Float[Tensor, "rows tokens d"] | None = None,
        past_key_values: Cache | None = None,
        labels: Int[Tensor, "rows tokens"] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token."""
        found = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(found.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=found.past_key_values,
            hidden_states=found.hidden_states,
            attentions=found.attentions,
        )


class CrateModel(WhiteBoxModel):
    """Causal CRATE without its output layer."""

    config_class = CrateConfig
    layer = CrateLayer


class CrateForCausalLM(WhiteBoxForCausalLM):
    """Causal CRATE."""

    config_class = CrateConfig
    body = CrateModel


class GPTReluModel(WhiteBoxModel):
    """GPT-2 without biases and with ReLU, without its output layer."""

    config_class = GPTReluConfig
    layer = GPTReluLayer
    norm_bias = False


class GPTReluForCausalLM(WhiteBoxForCausalLM):
    """GPT-2 without biases and with ReLU."""

    config_class = GPTReluConfig
    body = GPTReluModel


def register() -> None:
    """Makes transformers know the models here by their `model_type`; again changes nothing."""
    for config, base, causal in (
        (CrateConfig, CrateModel, CrateForCausalLM),
        (GPTReluConfig, GPTReluModel, GPTReluForCausalLM),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, base, exist_ok=True)
        AutoModelForCausalLM.register(config, causal, exist_ok=True)


register()
