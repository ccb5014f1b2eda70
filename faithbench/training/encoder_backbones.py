"""Encoders made here of texts alone: a tokenizer, ModernBERT with random weights, and masked language modelling."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from tokenizers import processors
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerBase

from faithbench.console import say
from faithbench.errors import UserError
from faithbench.files import cache_folder, remove_leftovers, set_aside
from faithbench.models.zoo import Backbone, Pretraining
from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset
from faithbench.training.backbones import SPECIAL, with_special
from faithbench.training.blocks import in_random_order
from faithbench.training.hardware import has_fast_bfloat16
from faithbench.training.keeping import VOCABULARIES, FinishedReport, fault, in_turn
from faithbench.training.language_backbones import byte_pairs
from faithbench.training.masked_modelling import cross_entropy, pretrain
from faithbench.training.settings import local_backbone, pretrained_as
from faithbench.types import Example

_, _, CLS, SEP, _ = SPECIAL


def encoder(backbone: Backbone, device: str, verbose: bool) -> Path:
    """The folder of a backbone that is made here: that of the user, that of the cache, or made now.

    Raises:
        UserError: its texts cannot be had, or the cache cannot be written.
    """
    assert backbone.pretraining is not None
    if (local := local_backbone(backbone)) is not None:
        return local
    recipe = backbone.pretraining
    folder = cache_folder("backbones", pretrained_as(backbone), backbone.name)
    remove_leftovers(folder.parent)
    out = Console(stderr=True) if verbose else None
    with in_turn(folder, lambda holder: say(out, f"Waiting for another training of {backbone.name}: {holder}.")):
        if folder.exists() and _is_broken(folder):
            set_aside(folder)
        if not folder.exists():
            examples = build_dataset(recipe.data).object.load("train")
            _make(backbone.name, recipe, examples, folder, device, out)
    return folder


def _is_broken(folder: Path) -> bool:
    vocabulary = any((folder / name).is_file() for name in VOCABULARIES)
    return fault(folder, FinishedReport) is not None or not vocabulary


def _make(
    name: str, recipe: Pretraining, examples: Sequence[Example], folder: Path, device: str, out: Console | None
) -> None:
    """Trains one into a folder."""
    pieces = [piece for text in in_random_order(examples, recipe.seed) for piece in pieces_of(text, recipe.words)]
    pieces = pieces[: recipe.limit]
    if not pieces:
        raise UserError(f"backbone {name!r} cannot be made: {recipe.data} has no texts.")
    tokenizer = make_tokenizer(pieces, recipe)
    torch.manual_seed(recipe.seed)
    network = ModernBertForMaskedLM(config_of(recipe, tokenizer))
    training = Training(
        epochs=recipe.epochs,
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        max_length=recipe.context,
        precision="bf16" if has_fast_bfloat16(device) else "float32",
    )
    say(
        out,
        f"Making backbone {name} of {recipe.data}, once: {len(pieces):,} pieces of texts × {recipe.epochs} epochs of "
        f"masked language modelling in batches of {recipe.batch_size}, in {training.precision}, on {device}; kept in "
        f"{folder}",
    )
    about = {"backbone": name, "pretraining": asdict(recipe)}
    pretrain(
        network,
        tokenizer,
        pieces,
        folder,
        training,
        recipe.seed,
        device,
        about,
        out is not None,
        recipe.masked,
        cross_entropy,
    )


def pieces_of(text: str, words: int) -> Iterator[str]:
    """A text, or one cut into pieces of so many words."""
    found = text.split()
    if len(found) <= words:
        yield from [text] * bool(found)
    else:
        yield from (" ".join(found[begin : begin + words]) for begin in range(0, len(found), words))


def make_tokenizer(texts: Iterable[str], recipe: Pretraining) -> PreTrainedTokenizerBase:
    """Byte-level BPE of the texts, with BERT's special tokens."""
    tokenizer = byte_pairs(texts, recipe.vocabulary, SPECIAL)
    template = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B {SEP}",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (CLS, SEP)],
    )
    tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, template])
    return with_special(tokenizer, recipe.context, model_input_names=["input_ids", "attention_mask"])


def config_of(recipe: Pretraining, tokenizer: PreTrainedTokenizerBase) -> ModernBertConfig:
    """Of transformers, with these sizes."""
    return ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )
