"""Language models from nothing but texts: a tokenizer made of them, and a model with random weights."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from faithbench.models.crate import CrateConfig, GPTReluConfig
from faithbench.models.language_zoo import LanguageModel
from faithbench.models.white_box_zoo import Crate

BOS, UNKNOWN = "<s>", "<unk>"
SAMPLE = 20_000_000  # characters of texts that a vocabulary is made of


def make_tokenizer(zoo: LanguageModel, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the pieces that a named model has, with BOS before each text, which ends texts, too.

    Args:
        zoo: the model.
        texts: read until they are `SAMPLE` characters.
    """
    sample = _sample(texts)
    tokenizer = _words(sample, zoo.vocabulary) if zoo.pieces == "words" else byte_pairs(sample, zoo.vocabulary, [BOS])
    template = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    own = [tokenizer.post_processor] if tokenizer.post_processor is not None else []
    tokenizer.post_processor = processors.Sequence([*own, template])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=zoo.context,
        bos_token=BOS,
        eos_token=BOS,
        pad_token=BOS,
        unk_token=tokenizer.model.unk_token,
    )


def _sample(texts: Iterable[str]) -> list[str]:
    """The first texts, of so many characters."""
    sample, characters = [], 0
    for text in texts:
        sample.append(text)
        characters += len(text)
        if characters >= SAMPLE:
            break
    return sample


def _words(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Of the most frequent words and marks.

    Others are unknown; where there are none, so that no model could learn what that means, BOS stands for them, as with
    GPT-2.
    """
    pre = pre_tokenizers.Whitespace()
    counts = Counter(word for text in texts for word, _ in pre.pre_tokenize_str(text))
    common = sorted(counts, key=lambda word: (-counts[word], word))
    known = [BOS, *common] if len(common) < vocabulary else [BOS, UNKNOWN, *common[: vocabulary - 2]]
    numbers = {piece: i for i, piece in enumerate(dict.fromkeys(known))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN if UNKNOWN in numbers else BOS))
    tokenizer.pre_tokenizer = pre
    return tokenizer


def byte_pairs(texts: Iterable[str], vocabulary: int, special: Sequence[str]) -> Tokenizer:
    """Of bytes and the pairs that are joined most often, behind the special tokens; nothing is unknown to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def make_network(zoo: LanguageModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model with random weights, drawn by its seed; without dropout, since texts are read once or a few times."""
    torch.manual_seed(zoo.seed)
    network: PreTrainedModel = AutoModelForCausalLM.from_config(_config(zoo, tokenizer), trust_remote_code=False)
    return network


def _config(zoo: LanguageModel, tokenizer: PreTrainedTokenizerBase) -> PretrainedConfig:
    special = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.bos_token_id)
    return CONFIGURATIONS[zoo.architecture](zoo, vocab_size=len(tokenizer), **special)


def _gpt2(zoo: LanguageModel, **own: Any) -> PretrainedConfig:
    return GPT2Config(
        n_positions=zoo.context,
        n_embd=zoo.width,
        n_layer=zoo.layers,
        n_head=zoo.heads,
        n_inner=zoo.inner,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        **own,
    )


def _llama(zoo: LanguageModel, **own: Any) -> PretrainedConfig:
    heads = getattr(zoo, "kv_heads", zoo.heads)
    return LlamaConfig(**_sizes(zoo), num_key_value_heads=heads, tie_word_embeddings=True, **own)


def _crate(zoo: Crate, **own: Any) -> PretrainedConfig:
    return CrateConfig(**_sizes(zoo), decode=zoo.decode, residual=zoo.residual, **own)


def _gpt_relu(zoo: LanguageModel, **own: Any) -> PretrainedConfig:
    return GPTReluConfig(**_sizes(zoo), **own)


def _sizes(zoo: LanguageModel) -> dict[str, Any]:
    return {
        "max_position_embeddings": zoo.context,
        "hidden_size": zoo.width,
        "num_hidden_layers": zoo.layers,
        "num_attention_heads": zoo.heads,
        "intermediate_size": zoo.inner,
    }


CONFIGURATIONS: dict[str, Callable[..., PretrainedConfig]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "crate": _crate,
    "gpt-relu": _gpt_relu,
}
