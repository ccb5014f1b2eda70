"""A copy of a model that knows a few masks: the surrogate of F-Fidelity (Zheng et al. 2025, arXiv 2410.02970)."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor, nn

from faithbench.console import say
from faithbench.errors import QuestionError, UserError, WrongTypeError, describe
from faithbench.interfaces import WhiteBox
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.variants import Replaced
from faithbench.parameters import check_choice, check_positive, check_seed, check_share, check_whole
from faithbench.paths import as_path
from faithbench.plan import PRECISIONS, Training
from faithbench.plugins.naming import build_dataset
from faithbench.questions import Row
from faithbench.training.accumulation import Accumulation
from faithbench.training.checkpoint import load
from faithbench.training.encoding import encode_examples
from faithbench.training.fine_tuning import check_precision, drawn
from faithbench.training.keeping import finishing
from faithbench.training.prepare import prepare
from faithbench.training.settings import training_dataset
from faithbench.training.setup import Setup, best_device
from faithbench.training.trainer import accumulate
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
    precision: str = "float32",
    gradient_accumulation_steps: int = 1,
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
        precision: `bf16` computes in bfloat16 where autocast does so, with weights, loss and optimizer in float32.
        gradient_accumulation_steps: parts in which a batch is read, for less memory.
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
    _check(share, epochs, lr, batch_size, limit, seed, precision)
    how = Training(batch_size=batch_size, precision=precision, gradient_accumulation_steps=gradient_accumulation_steps)
    where = best_device(device)
    check_precision(precision, where)
    if not isinstance(model, str):
        raise WrongTypeError(f"model is of type {type(model).__name__}; give a spec, a checkpoint folder or a hub id.")
    place = _new("folder", folder)
    component = training_dataset(build_dataset(str(dataset)))
    prepared = prepare(model, component, Setup(where, console=console))
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
    losses, accumulation = [], Accumulation(how.batch_size, how.gradient_accumulation_steps, partial(say, console))
    with trainable(classifier.model):
        optimizer = torch.optim.AdamW(classifier.model.parameters(), lr=lr, weight_decay=0.0)
        for batch in batches(labelled, epochs, batch_size, share, seed):
            losses.append(_step(classifier, optimizer, batch, accumulation, how.precision))
    agreement = 100 * float(np.mean(before == predictions(classifier, texts["validation"])))
    say(console, f"Surrogate of {prepared.label}: it says the same of {agreement:.1f} % of {len(before):,} texts.")
    report = {
        "surrogate_of": of,
        "dataset": component.identity,
        "training": {"share": share, "epochs": epochs, "lr": lr, "batch_size": batch_size, "limit": limit}
        | {"precision": precision, "gradient_accumulation_steps": accumulation.steps},
        "seed": seed,
        "steps": len(losses),
        "loss": float(np.mean([loss.item() for loss in losses[-20:]])) if losses else math.nan,
        "agreement": agreement,
    }
    with finishing(place, report) as made:
        classifier.model.save_pretrained(made)
        classifier.tokenizer.save_pretrained(made)
    return place


def _check(share: float, epochs: int, lr: float, batch_size: int, limit: int | None, seed: int, precision: str) -> None:
    """Raises a UserError for settings that make no sense."""
    try:
        check_positive("lr", lr)
        check_positive("share", share)
        check_share("share", share)
        check_whole("epochs", epochs, 1, 1_000_000)
        check_whole("batch_size", batch_size, 1, 1_000_000)
        check_whole("limit", 1 if limit is None else limit, 1, sys.maxsize)
        check_seed(seed)
        check_choice("precision", precision, PRECISIONS)
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
    accumulation: Accumulation,
    precision: str,
) -> Float[Tensor, ""]:
    """One step of training; its loss."""
    inputs = _inputs(classifier, batch)

    def loss_of(part: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(classifier.device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = classifier.forward(part["ids"], part.get("types"), part["visible"], whole=True)
        return _loss(classifier, logits.to(torch.promote_types(logits.dtype, torch.float32)), part["labels"])

    optimizer.zero_grad()
    loss = accumulation.run(lambda size: accumulate(loss_of, inputs, size), optimizer.zero_grad)
    optimizer.step()
    return loss


def _inputs(
    classifier: HuggingFaceClassifier, batch: Sequence[tuple[Text, Int[np.ndarray, "tokens"]]]
) -> dict[str, Tensor]:
    """What the model is given, and the labels."""
    texts, rows = zip(*batch, strict=True)
    inputs = {
        "ids": _padded(rows, classifier.pad_id),
        "visible": _padded([np.ones(len(row), dtype=np.int64) for row in rows], 0) > 0,
        "labels": torch.tensor([text.label for text in texts]),
    }
    if texts[0].types is not None:
        inputs["types"] = _padded([text.types for text in texts], 0)
    return {name: value.to(classifier.device) for name, value in inputs.items()}


def _loss(
    classifier: HuggingFaceClassifier, logits: Float[Tensor, "rows classes"], labels: Int[Tensor, "rows"]
) -> Float[Tensor, ""]:
    """As the model was trained with."""
    if getattr(classifier.model.config, "bcos", None) is None:
        return F.cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, logits.shape[-1]).to(logits))


def _padded(rows: Sequence[Int[np.ndarray, "_"]], fill: int) -> Int[Tensor, "rows tokens"]:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
