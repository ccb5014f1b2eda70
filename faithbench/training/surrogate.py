"""A copy of a model that knows a few masks: the surrogate of F-Fidelity (Zheng et al. 2025, arXiv 2410.02970)."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from rich.console import Console
from torch import Tensor, nn

from faithbench.console import say
from faithbench.errors import QuestionError, UserError, WrongTypeError, describe
from faithbench.interfaces import WhiteBox
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.variants import Replaced
from faithbench.parameters import check_positive, check_seed, check_share, check_whole
from faithbench.paths import as_path
from faithbench.plugins.naming import build_dataset
from faithbench.questions import Row
from faithbench.training.checkpoint import load
from faithbench.training.encoding import encode_examples
from faithbench.training.fine_tuning import drawn
from faithbench.training.keeping import finishing
from faithbench.training.prepare import Setup, best_device, prepare
from faithbench.training.settings import training_dataset
from faithbench.types import Text

AGREEMENT = 500  # validation texts on which surrogate and model are compared, at most


class Surrogate(Replaced):
    """Within it, the model has the weights of a checkpoint of the same architecture.

    Args:
        classifier: whose model is changed.
        folder: of the checkpoint.

    Raises:
        QuestionError: it cannot be read, or its weights are those of another architecture.
    """

    def __init__(self, classifier: WhiteBox, folder: str) -> None:
        try:
            theirs = dict(load(Path(folder)).named_parameters())
        except Exception as error:
            raise QuestionError(f"the surrogate in {folder} cannot be read: {describe(error)}") from error
        own = dict(classifier.model.named_parameters())
        if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in theirs.items()}:
            raise QuestionError(f"the surrogate in {folder} is of another architecture than the model")
        super().__init__([(own[name], theirs[name].data.to(own[name])) for name in own])


def train_surrogate(
    model: str,
    dataset: Path | str,
    folder: Path | str,
    *,
    share: float = 0.1,
    epochs: int = 1,
    lr: float = 1e-5,
    batch_size: int = 16,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
    console: Console | None = None,
) -> Path:
    """Fine-tunes a copy of a model on texts with a few random masks, and saves it as a checkpoint.

    Of a text with n content tokens m are masked, m drawn uniformly from 0 … max(1, ⌊share · n⌋), anew in each epoch;
    nothing else is known of explanations. The loss is cross-entropy, of B-cos models binary cross-entropy as they are
    trained with; AdamW without weight decay, a constant learning rate, no dropout.

    Args:
        model: a spec, a checkpoint folder or a hub id.
        dataset: a spec, or a folder with `train` and `validation` files.
        folder: becomes the checkpoint; it must be new or empty, since results know a surrogate by its folder alone.
        share: of the content tokens that are masked at the most.
        epochs: over the training texts.
        lr: learning rate.
        batch_size: texts in a step.
        limit: training texts drawn at random; None for all.
        seed: draws texts, their order and masks.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        console: where progress goes; None for silence.

    Returns:
        The folder. `agreement` in its `training.json` is the share of validation texts, in percent, of which surrogate
        and model say the same.

    Raises:
        UserError: there is no such model or data set, the model cannot be trained so, or the folder holds something or
            cannot be written.
        WrongTypeError: model or folder is no such thing.
    """
    _check(share, epochs, lr, batch_size, limit, seed)
    if not isinstance(model, str):
        raise WrongTypeError(f"model is of type {type(model).__name__}; give a spec, a checkpoint folder or a hub id.")
    place = _new("folder", folder)
    component = training_dataset(build_dataset(str(dataset)))
    prepared = prepare(model, component, Setup(best_device(device), console=console))
    classifier = prepared.classifier
    if not isinstance(classifier, HuggingFaceClassifier) or classifier.task.link != "softmax":
        raise UserError(f"model {model!r} is no classifier of one class for each text, so it can have no surrogate.")
    rows = {split: component.object.load(split) for split in ("train", "validation")}
    rows = {split: drawn(rows[split], n, seed) for split, n in (("train", limit), ("validation", AGREEMENT))}
    texts = {split: encode_examples(prepared, component, some).texts for split, some in rows.items()}
    labelled = [text for text in texts["train"] if text.label is not None]
    if not labelled or not texts["validation"]:
        raise UserError(
            f"data set {component.label!r} has no texts with labels to train a surrogate on, or none beside."
        )
    of = {"model": prepared.identity, "fingerprint": prepared.fingerprint}  # before it is trained
    before = predictions(classifier, texts["validation"])
    losses = []
    with trainable(classifier.model):
        optimizer = torch.optim.AdamW(classifier.model.parameters(), lr=lr, weight_decay=0.0)
        for batch in batches(labelled, epochs, batch_size, share, seed):
            losses.append(_step(classifier, optimizer, batch))
    agreement = 100 * float(np.mean(before == predictions(classifier, texts["validation"])))
    say(console, f"Surrogate of {prepared.label}: it says the same of {agreement:.1f} % of {len(before):,} texts.")
    report = {
        "surrogate_of": of,
        "dataset": component.identity,
        "training": {"share": share, "epochs": epochs, "lr": lr, "batch_size": batch_size, "limit": limit},
        "seed": seed,
        "steps": len(losses),
        "loss": float(np.mean(losses[-20:])) if losses else math.nan,
        "agreement": agreement,
    }
    with finishing(place, report) as made:
        classifier.model.save_pretrained(made)
        classifier.tokenizer.save_pretrained(made)
    return place


def _check(share: float, epochs: int, lr: float, batch_size: int, limit: int | None, seed: int) -> None:
    """Raises a UserError for settings that make no sense."""
    try:
        check_positive("lr", lr)
        check_positive("share", share)
        check_share("share", share)
        check_whole("epochs", epochs, 1, 1_000_000)
        check_whole("batch_size", batch_size, 1, 1_000_000)
        check_whole("limit", 1 if limit is None else limit, 1, sys.maxsize)
        check_seed(seed)
    except ValueError as error:
        raise UserError(str(error)) from error


def _new(name: str, folder: object) -> Path:
    """A path at which nothing is that would be lost.

    Raises:
        UserError: something is there.
        WrongTypeError: it is no path.
    """
    place = as_path(name, folder)
    if place.is_symlink() or (place.exists() and not (place.is_dir() and next(place.iterdir(), None) is None)):
        raise UserError(f"{place} is there already and holds something; name a folder for the surrogate that is new.")
    return place


def predictions(classifier: HuggingFaceClassifier, texts: Sequence[Text]) -> Int[np.ndarray, "texts"]:
    """The classes that it says, text by text."""
    return np.array([classifier.logits([Row(text.ids, text.types)])[0].argmax() for text in texts], dtype=np.int64)


def batches(
    texts: Sequence[Text], epochs: int, size: int, share: float, seed: int
) -> Iterator[list[tuple[Text, Int[np.ndarray, "tokens"]]]]:
    """Texts in random order, epoch after epoch, each with its ids, of which a few are masked."""
    draws = np.random.default_rng(seed)
    for _ in range(epochs):
        order = draws.permutation(len(texts))
        for start in range(0, len(order), size):
            yield [(texts[i], masked(texts[i], share, draws)) for i in order[start : start + size]]


def masked(text: Text, share: float, draws: np.random.Generator) -> Int[np.ndarray, "tokens"]:
    """Ids of a text, of whose content tokens up to a share, or one, are masked."""
    ids, content = text.ids.copy(), text.content
    most = min(len(content), max(1, math.floor(share * len(content) + 1e-9)))
    ids[draws.permutation(content)[: draws.integers(most + 1)]] = text.mask_id
    return ids


@contextmanager
def trainable(network: nn.Module) -> Iterator[None]:
    """Within it, the parameters take gradients."""
    network.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(False)


def _step(
    classifier: HuggingFaceClassifier,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[tuple[Text, Int[np.ndarray, "tokens"]]],
) -> float:
    """One step of training; its loss."""
    texts, rows = zip(*batch, strict=True)
    ids = _padded(rows, classifier.pad_id).to(classifier.device)
    visible = _padded([np.ones(len(row), dtype=np.int64) for row in rows], 0).to(classifier.device) > 0
    typed = [text.types for text in texts]
    types = None if typed[0] is None else _padded(typed, 0).to(classifier.device)
    labels = torch.tensor([text.label for text in texts], device=classifier.device)
    logits = classifier.forward(ids, types, visible, whole=True)
    if getattr(classifier.model.config, "bcos", None) is None:
        loss = F.cross_entropy(logits, labels)
    else:
        loss = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, logits.shape[-1]).to(logits))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    optimizer.step()
    return loss.item()


def _padded(rows: Sequence[Int[np.ndarray, "_"]], fill: int) -> Int[Tensor, "rows tokens"]:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
