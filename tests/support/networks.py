"""Tiny random classifiers of many types, and tokenizers in the manner of BERT's, RoBERTa's and GPT-2's."""

import functools
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from transformers import PreTrainedTokenizerFast as Fast

from faithbench.models.huggingface import HuggingFaceClassifier

SENTENCES = (
    "the soup was warm and the bread was fresh",
    "our train came late again and nobody said why",
    "a quiet garden with old trees and a bench",
)
LIMIT = 64
WIDTH, LAYERS, HEADS = 32, 2, 4
SHAPE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 64,
    "max_position_embeddings": LIMIT + 2,
}
ENDS = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
POLISH = {"emb_dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "max_position_embeddings": LIMIT, "pad_index": 0}
GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": LIMIT}
GROUPED: dict[str, Any] = {"num_key_value_heads": 2}
DISENTANGLED = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
TWICE = {"eos_token_id": 3, "decoder_start_token_id": 2}
OWN_SHAPES = ("XLNet", "XLM", "Flaubert", "Funnel", "T5", "Bart")  # configurations that take none of `SHAPE`
BYTE_PAIRS = ("Roberta", "XLMRoberta", "Camembert")

ENCODERS: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {"pad_token_id": 1},
    "XLMRoberta": {"pad_token_id": 1},
    "Camembert": {"pad_token_id": 1},
    "DistilBert": {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 64},
    "Electra": {"embedding_size": 16},
    "Albert": {"embedding_size": 16},
    "Deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "DebertaV2": DISENTANGLED,
    "ModernBert": ENDS,
    "EuroBert": ENDS,
    "MPNet": {"pad_token_id": 1},
    "RemBert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "Ernie": {},
    "BigBird": {},
    "Longformer": {"attention_window": [8, 8]},
    "RoFormer": {"embedding_size": WIDTH},
    "Esm": {},
    "XLNet": {"d_model": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 64},
    "FNet": {},
    "ConvBert": {"embedding_size": WIDTH},
    "MobileBert": {"embedding_size": WIDTH, "intra_bottleneck_size": WIDTH, "true_hidden_size": WIDTH},
    "Nystromformer": {},
    "Funnel": {"d_model": WIDTH, "n_head": HEADS, "d_head": 8, "d_inner": 64, "block_sizes": [1, 1]},
    "SqueezeBert": {"embedding_size": WIDTH},
    "XLM": POLISH,
    "Flaubert": POLISH,
    "Bart": {
        **TWICE,
        "d_model": WIDTH,
        "encoder_layers": LAYERS,
        "decoder_layers": LAYERS,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": LIMIT,
        "bos_token_id": 2,
        "forced_eos_token_id": None,
    },
    "T5": {**TWICE, "d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS, "num_heads": HEADS},
}
DECODERS: dict[str, dict[str, Any]] = {
    "GPT2": GPT,
    "Llama": GROUPED,
    "Mistral": GROUPED,
    "Qwen2": GROUPED,
    "Qwen3": {**GROUPED, "head_dim": 8},
    "Gemma": {**GROUPED, "head_dim": 8},
    "Gemma2": {**GROUPED, "head_dim": 8},
    "Gemma3Text": {**GROUPED, "head_dim": 8},
    "Phi": {},
    "Phi3": GROUPED,
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": WIDTH},
    "Bloom": {"n_layer": LAYERS, "n_head": HEADS},
    "Falcon": {},
    "GPTNeoX": {},
    "GPTNeo": {"num_layers": LAYERS, "num_heads": HEADS, "attention_types": [[["global", "local"], 1]]},
    "GPTJ": {**GPT, "rotary_dim": 4},
    "OpenAIGPT": GPT,
    "GPTBigCode": GPT,
    "SmolLM3": {**GROUPED, "eos_token_id": 0, "bos_token_id": 0},
    "StableLm": {**GROUPED, "partial_rotary_factor": 0.5},
    "Starcoder2": GROUPED,
    "Glm": {**GROUPED, "head_dim": 8, "eos_token_id": 0},
    "BioGpt": {},
}


def network(kind: str, attention: str | None = None, **options: Any) -> PreTrainedModel:
    """A classifier of two layers with noise on all weights; the same of one kind whatever its way of attention."""
    own = ENCODERS[kind] if kind in ENCODERS else DECODERS[kind]
    size = len(tokenizer(kind))
    sizes = {"n_words": size} if kind in ("XLM", "Flaubert") else {"vocab_size": size}
    shape = {} if kind in OWN_SHAPES else SHAPE
    config = getattr(transformers, f"{kind}Config")(**{"pad_token_id": 0, **shape, **sizes, **own, **options})
    torch.manual_seed(0)
    way = {} if attention is None else {"attn_implementation": attention}
    model = AutoModelForSequenceClassification.from_config(config, **way).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def tokenizer(kind: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a kind."""
    if kind in DECODERS:
        return end_of_text_pairs()
    return byte_pairs() if kind in BYTE_PAIRS else word_pieces()


def generic(kind: str, **options: Any) -> HuggingFaceClassifier:
    """A network behind the adapter."""
    return HuggingFaceClassifier(network(kind, **options), tokenizer(kind), dtype=torch.float64)


@functools.cache
def shared_generic(kind: str) -> HuggingFaceClassifier:
    """The same, made once: for tests that leave it as they found it."""
    return generic(kind)


@functools.cache
def word_pieces() -> PreTrainedTokenizerBase:
    """As BERT's, with token types."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=90, special_tokens=names, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.decoder = decoders.WordPiece()
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), names, strict=True))
    return Fast(tokenizer_object=made, model_max_length=LIMIT, model_input_names=inputs, **special)


@functools.cache
def byte_pairs() -> PreTrainedTokenizerBase:
    """As RoBERTa's: pairs are <s> a </s></s> b </s>, without token types."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made = _byte_level(names)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), names, strict=True))
    return Fast(
        tokenizer_object=made,
        model_max_length=LIMIT,
        cls_token="<s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        **special,
    )


@functools.cache
def end_of_text_pairs() -> PreTrainedTokenizerBase:
    """As GPT-2's: no mask token, no padding token, nothing around a text."""
    end = "<|endoftext|>"
    made = _byte_level([end])
    return Fast(
        tokenizer_object=made,
        model_max_length=LIMIT,
        bos_token=end,
        eos_token=end,
        unk_token=end,
        model_input_names=["input_ids", "attention_mask"],
    )


@functools.cache
def unbounded_words() -> PreTrainedTokenizerBase:
    """As XLNet's or Llama's of SentencePiece without boundaries of words: a text is one word to it."""
    names = ["<unk>", "<s>", "</s>"]
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        (word for sentence in SENTENCES for word in sentence.split()),
        trainers.BpeTrainer(vocab_size=60, special_tokens=names, show_progress=False),
    )
    return Fast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=LIMIT)


def _byte_level(names: list[str]) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=290, special_tokens=names, initial_alphabet=alphabet, show_progress=False),
    )
    made.decoder = decoders.ByteLevel()
    return made
