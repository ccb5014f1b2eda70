"""Causal CRATE (arXiv 2410.16443) and its baseline, GPT-2 without biases and with ReLU, as models of transformers."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from faithbench.models.white_box_configs import CrateConfig, GPTReluConfig, WhiteBoxConfig
from faithbench.models.white_box_layers import Closing, CrateLayer, GPTReluLayer, Ista

__all__ = ["CrateConfig", "CrateForCausalLM", "CrateModel", "GPTReluConfig", "GPTReluForCausalLM", "GPTReluModel"]


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

    def __init__(self, config: WhiteBoxConfig) -> None:
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
        before = 0 if past_key_values is None else int(past_key_values.get_seq_length())
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

    def __init__(self, config: WhiteBoxConfig) -> None:
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
