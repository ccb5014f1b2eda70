"""Backbones made real: from a local folder, from the hub, or (tiny) from nothing but the training texts."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from faithbench.errors import UserError
from faithbench.models.zoo import Backbone
from faithbench.schemas import reason
from faithbench.training.declared import check_folder
from faithbench.training.quiet import quiet
from faithbench.training.settings import BACKBONES_VARIABLE, local_backbone

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def load_backbone(
    backbone: Backbone,
    classes: int,
    seed: int,
    texts: Iterable[str],
    head: Any = AutoModelForSequenceClassification,
    made: Path | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier with a new head, or a masked language model, and its tokenizer.

    Args:
        backbone: which; looked for in `$FAITHBENCH_BACKBONES/<name>` first, then where it was made, then on the hub.
        classes: number of classes of the new head.
        seed: draws the head (and everything else of a model made from scratch).
        texts: training texts, from which a backbone without weights takes its vocabulary.
        head: transformers' class for what stands on the encoder.
        made: the folder of one that was made here.

    Raises:
        UserError: neither a local folder nor the hub has it.
    """
    torch.manual_seed(seed)
    local = (local_backbone(backbone) or made) if backbone.repo or backbone.pretraining else None
    if not backbone.repo and local is None:
        return _tiny(texts, classes, head)
    source, revision = (backbone.repo, backbone.revision) if local is None else (str(local), None)
    try:
        if revision is None:
            check_folder(Path(source))
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
            model = head.from_pretrained(
                source, revision=revision, num_labels=classes, use_safetensors=True, trust_remote_code=False
            )
    except UserError as error:
        raise UserError(f"backbone {backbone.name!r}: {error}") from error
    except Exception as error:  # the library and what it stands on fail in many ways
        if revision is None:
            raise UserError(f"backbone {backbone.name!r}: {source} cannot be read: {reason(error)}.") from error
        raise UserError(
            f"backbone {backbone.name!r}: the hub cannot be reached for {backbone.repo}; set {BACKBONES_VARIABLE} "
            f"to a folder that holds {backbone.name}/ with its config, tokenizer and model.safetensors."
        ) from error
    return model, tokenizer


def _tiny(texts: Iterable[str], classes: int, head: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = word_tokenizer(texts)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        num_labels=classes,
    )
    return head.from_config(config, trust_remote_code=False), tokenizer


def word_tokenizer(texts: Iterable[str], words: int = 5000, limit: int = 128) -> PreTrainedTokenizerBase:
    """A word-piece tokenizer of the most frequent words of the texts and all their characters."""
    pre = pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in pre.pre_tokenize_str(text.lower()))
    letters = sorted({letter for word in counts for letter in word})
    common = sorted(counts, key=lambda word: (-counts[word], word))[:words]
    pieces = dict.fromkeys([*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *common])
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return with_special(tokenizer, limit)


def with_special(tokenizer: Tokenizer, limit: int, **more: object) -> PreTrainedTokenizerBase:
    """A tokenizer that knows what its special tokens are for."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=limit, **dict(zip(names, SPECIAL, strict=True)), **more
    )
