"""Named language models made real: their texts, what they begin as, and the comparison with what was converted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from faithbench.bcos.convert import convert, is_bcos
from faithbench.console import say
from faithbench.errors import UserError
from faithbench.models.language_zoo import BcosLanguageModel, LanguageModel
from faithbench.models.vocabulary import check_tokenizer
from faithbench.plan import Training
from faithbench.plugins.spec import Component
from faithbench.training.blocks import Blocks, in_random_order, row_of
from faithbench.training.fine_tuning import drawn
from faithbench.training.hardware import has_bfloat16
from faithbench.training.language_backbones import make_network, make_tokenizer
from faithbench.training.language_modelling import Recipe, perplexity, train_language_model
from faithbench.training.loading import load_network
from faithbench.training.quiet import quiet
from faithbench.training.settings import with_precision
from faithbench.types import Example

MEASURED = 100_000  # tokens of validation texts, at most
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Begun:
    """A model before its training, its tokenizer, and what it was converted from, if that was trained."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str = ""


def train_named(
    model: Component,
    dataset: Component,
    folder: Path,
    source: str,
    training: Training,
    device: str,
    console: Console | None,
    named: str = "",
) -> Path:
    """Trains a named language model on the texts of a data set; a killed training continues.

    Args:
        model: of `faithbench.models.language_zoo`.
        dataset: with the splits `train` and `validation`; labels do not matter.
        folder: becomes the checkpoint.
        source: folder or hub id of what is converted; empty for random weights.
        training: epochs and lr must be given; where the precision is left open, the device decides.
        device: `cpu`, or what Trainer finds.
        console: where progress goes; None for silence.
        named: identity of what is converted, where that is a named model and lies in the cache.

    Returns:
        The folder.

    Raises:
        UserError: texts or what is converted cannot be had, or the training fails.
    """
    zoo: LanguageModel = model.object
    training = with_precision(training, has_bfloat16(device))
    texts = {split: _texts(zoo, dataset, split, training) for split in SPLITS}
    begun = _begun(zoo, source, texts["train"])
    blocks = _blocks(zoo, begun, texts, training)
    say(
        console,
        f"Training {model.label} on {dataset.label}: {len(blocks['train'].ids):,} tokens × {training.epochs} epochs in "
        f"batches of {training.batch_size} × {blocks['train'].length}, learning rate {training.lr:g}, in "
        f"{training.precision}, on {device}; kept in {folder}",
    )
    about: dict[str, Any] = {
        "model": model.identity,
        "dataset": dataset.identity,
        "texts": {split: len(rows) for split, rows in texts.items()},
    }
    if begun.source:
        about["start"] = {"model": named or begun.source, "validation": _measured(begun, blocks["validation"], device)}
    network = begun.network
    if isinstance(zoo, BcosLanguageModel):
        network = convert(network, b=zoo.b)
    return train_language_model(
        network, begun.tokenizer, blocks, folder, Recipe.of(zoo, training, device, console is not None), about
    )


def _texts(zoo: LanguageModel, dataset: Component, split: str, training: Training) -> list[Example]:
    """The rows of a split that have a text, or as many of them, at random, as are asked for."""
    rows = [row for row in _rows(zoo, dataset, split) if row.text.strip()]
    if not rows:
        raise UserError(f"no language model can be trained on {dataset.identity}: its {split} split has no texts.")
    return list(drawn(rows, training.limit if split == "train" else training.eval_limit, zoo.seed))


def _rows(zoo: LanguageModel, dataset: Component, split: str) -> Sequence[Example]:
    try:
        rows: Sequence[Example] = dataset.object.load(split)
    except UserError as error:
        if zoo.data:
            raise
        told = f"{str(error).removesuffix('.')}; or say with data=… on whose texts the language model is trained."
        raise UserError(told) from error
    return rows


def _begun(zoo: LanguageModel, source: str, texts: list[Example]) -> Begun:
    if not source:
        with quiet():
            tokenizer = make_tokenizer(zoo, in_random_order(texts, zoo.seed))
            return Begun(make_network(zoo, tokenizer), tokenizer)
    network, tokenizer, identity = load_network(source, AutoModelForCausalLM)
    if is_bcos(network):
        raise UserError(f"start={source!r} is not allowed: that model is B-cos already; name a conventional one.")
    try:
        check_tokenizer(network, tokenizer)
    except UserError as error:
        raise UserError(f"model {source!r}: {error}") from error
    return Begun(network.to(torch.float32), tokenizer, identity)


def _blocks(zoo: LanguageModel, begun: Begun, texts: dict[str, list[Example]], training: Training) -> dict[str, Blocks]:
    """Texts as they are read: no block is longer than the model's context, or than training or model allow."""
    positions = getattr(begun.network.config.get_text_config(), "max_position_embeddings", None)
    length = min(zoo.context, training.max_length, positions or zoo.context)
    limits = {"train": zoo.tokens, "validation": MEASURED}
    with quiet():
        rows = {
            split: row_of(in_random_order(some, zoo.seed), begun.tokenizer, limits[split])
            for split, some in texts.items()
        }
    return {split: Blocks(row, length) for split, row in rows.items()}


def _measured(begun: Begun, blocks: Blocks, device: str) -> dict[str, float]:
    """The perplexity of a model before it is converted.

    Raises:
        UserError: it has none.
    """
    found = perplexity(begun.network.to(device), blocks)
    if not math.isfinite(found["loss"]):
        raise UserError(f"model {begun.source!r} cannot be converted and trained on: its loss is no number.")
    return found
