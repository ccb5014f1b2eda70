"""Checkpoints of named models for a data set: where they are kept, found if they are there, and else trained."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from faithbench.errors import UserError
from faithbench.files import cache_folder, remove_leftovers, set_aside
from faithbench.models.language_zoo import LanguageModel
from faithbench.models.zoo import Bcos, Conventional
from faithbench.plan import Training
from faithbench.plugins.naming import ModelRef, build_dataset, is_folder
from faithbench.plugins.spec import Component
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.keeping import REPORT, fault, forget_work, in_turn, report_of, weights_hash, work_place
from faithbench.training.settings import (
    complete_training,
    learnt_from,
    pretrained_as,
    report_kind,
    start_of,
    start_training,
    training_data,
)
from faithbench.training.setup import Setup
from faithbench.types import SPLITS

INITIAL, FINE_TUNING, LANGUAGE = (  # imported where a model is trained: transformers' Trainer is much to load
    "faithbench.training.initial_models",
    "faithbench.training.fine_tuning",
    "faithbench.training.language_models",
)


@dataclass(frozen=True)
class Checkpoint:
    """The folder of a finished training, and its report."""

    folder: Path
    report: Mapping[str, Any]


def trained(model: Component, dataset: Component, setup: Setup) -> Checkpoint:
    """The checkpoint of a named model for a data set: from the cache, else trained now.

    Raises:
        UserError: it has to be trained and `setup.train` is False, or was trained with other settings than asked for.
    """
    folder = checkpoint_folder(model, dataset)
    remove_leftovers(folder.parent)
    found = finished(model, dataset, setup)
    if found is None:
        title = f"{model.label} on {dataset.label}"
        with in_turn(folder, lambda holder: setup.say(f"Waiting for another training of {title}: {holder}.")):
            found = finished(model, dataset, setup)  # by another, since
            if found is None:
                return _train_now(model, dataset, folder, setup)
    forget_work(folder)  # of a training that was killed after its last step
    _say_settings(model, dataset, found.report["training"], setup)
    return found


def checkpoint_folder(model: Component, dataset: Component) -> Path:
    """Where the checkpoint of a named model for a data set is kept."""
    mlm_data = getattr(model.object, "mlm_data", "")
    read = [dataset, *([build_dataset(mlm_data)] if mlm_data else [])]
    identity = " ".join([model.identity, *(f"{each.identity}{each.content}" for each in read), *_begun(model, dataset)])
    return cache_folder("checkpoints", identity, dataset.label, model.label)


def finished(model: Component, dataset: Component, setup: Setup) -> Checkpoint | None:
    """The finished checkpoint, None if there is none yet and it may be trained."""
    folder = checkpoint_folder(model, dataset)
    wrong = fault(folder, report_kind(model)) if folder.exists() else None
    report = None if wrong else report_of(folder)
    if report is not None:
        _check_settings(model, dataset, folder, report["training"], setup.training)
        return Checkpoint(folder, report)
    if alike := _trained_alike(model, dataset, setup):
        return alike
    if not setup.train:
        broken = f" (the checkpoint {folder} is broken: {wrong})" if wrong else ""
        raise UserError(untrained(model.identity, dataset.identity, broken))
    return None


def _trained_alike(model: Component, dataset: Component, setup: Setup) -> Checkpoint | None:
    """A checkpoint that training the model would make again, but for its test split, as of `planted(test=n)` for any n.

    Unlike one of the very data set, it must have the settings asked for where none were, too.
    """
    if not getattr(dataset.object, "test_only", ()):
        return None
    learnt = learnt_from(dataset.identity, dataset)
    asked = replace(complete_training(model, dataset, setup.training), eval_limit=None)
    for path in sorted(checkpoint_folder(model, dataset).parent.glob(f"*/{REPORT}")):
        with suppress(UserError):  # somebody else's report may say anything
            report = report_of(path.parent) or {}
            trained_on = str(report.get("dataset", ""))
            if report.get("model") != model.identity or learnt_from(trained_on, dataset) != learnt:
                continue
            same_content = checkpoint_folder(model, build_dataset(trained_on)) == path.parent
            if not same_content or fault(path.parent, report_kind(model)):
                continue
            if not asked.differences({**report["training"], "eval_limit": None}):
                return Checkpoint(path.parent, report)
    return None


def _train_now(model: Component, dataset: Component, folder: Path, setup: Setup) -> Checkpoint:
    """Trains into a folder; what is there is no checkpoint and is set aside."""
    if folder.exists():
        wrong, aside = fault(folder, report_kind(model)), set_aside(folder)
        setup.say(f"{folder} is broken: {wrong}. It is now {aside.name}, and {model.label} is trained anew.")
    keep_freed_memory()
    if isinstance(model.object, LanguageModel):
        return _train_language_model(model, dataset, folder, setup)
    zoo: Conventional | Bcos = model.object
    training = complete_training(model, dataset, setup.training)
    splits = {split: dataset.object.load(split) for split in SPLITS}
    texts = min(len(splits["train"]), training.limit or len(splits["train"]))
    setup.say(
        f"Training {model.label} on {dataset.label}: {texts:,} texts × {training.epochs} epochs in batches of "
        f"{training.batch_size}, learning rate {training.lr:g}, on {setup.device}; kept in {folder}"
    )
    verbose = setup.console is not None
    begun = initial_model(zoo, dataset, splits, work_place(folder), training, setup.device, verbose)
    about = {"model": model.identity, "dataset": dataset.identity, **begun.about}
    network, tokenizer = begun.network, begun.tokenizer
    device = setup.device
    fine_tune(network, tokenizer, splits, folder, training, zoo.seed, device, about, begun.loss, verbose, zoo.masking)
    return Checkpoint(folder, report_of(folder) or {})


def _train_language_model(model: Component, dataset: Component, folder: Path, setup: Setup) -> Checkpoint:
    """The same of a language model; what it is converted from is trained before, unless it is there."""
    start = start_of(model)
    if start is None or isinstance(start, str):
        source, named = start or "", ""
    else:
        begun = replace(setup, training=start_training(setup.training))
        source = str(trained(start, training_data(ModelRef(start.spec, start), dataset), begun).folder)
        named = start.identity
    training = complete_training(model, dataset, setup.training)
    train_named = resolve_name(f"{LANGUAGE}:train_named")
    train_named(model, dataset, folder, source, training, setup.device, setup.console, named)
    return Checkpoint(folder, report_of(folder) or {})


def initial_model(zoo: Conventional | Bcos, *job: Any) -> Any:
    """The model as fine-tuning finds it; see `faithbench.training.initial_models`."""
    return resolve_name(f"{INITIAL}:initial_model")(zoo, resolve_name(f"{INITIAL}:TrainingJob")(*job))


def fine_tune(*arguments: Any) -> None:
    """See `faithbench.training.fine_tuning`."""
    resolve_name(f"{FINE_TUNING}:fine_tune")(*arguments)


def _say_settings(model: Component, dataset: Component, had: Mapping[str, object], setup: Setup) -> None:
    """Where no setting was asked for, a word on those of the checkpoint that are not the usual ones."""
    usual = complete_training(model, dataset, Training())
    apart = [f"{name}={there}" for name, _, there in usual.differences(had) if name in had]
    if apart and setup.training.recipe == Training():
        setup.say(f"{model.label} was trained on {dataset.label} with {', '.join(apart)}.")


def _check_settings(
    model: Component, dataset: Component, folder: Path, had: Mapping[str, object], asked: Training
) -> None:
    """Where any setting was asked for, all must be those of the checkpoint; where none was, any checkpoint will do."""
    if asked.recipe == Training():
        return
    for name, value, there in complete_training(model, dataset, asked).differences(had):
        raise UserError(
            f"{model.label} was trained with {name}={there}, not {value}; delete {folder} to train it anew, or keep "
            "other checkpoints in another folder with FAITHBENCH_CACHE."
        )


def _begun(model: Component, dataset: Component) -> list[str]:
    """What pins the weights that a model begins with, as far as its own name and data do not."""
    if isinstance(model.object, (Conventional, Bcos)):
        return list(filter(None, [pretrained_as(model.object.backbone)]))
    start = start_of(model)
    if start is None:
        return []
    if isinstance(start, str):
        return [weights_hash(Path(start))] if is_folder(start) else []
    data = training_data(ModelRef(start.spec, start), dataset)
    return [] if data.identity == dataset.identity else [f"{data.identity}{data.content}"]


def untrained(model: str, data: str, why: str = "") -> str:
    """The sentence on a model that would have to be trained and may not be."""
    return f"{model} has not been trained on {data}{why}, and training is switched off; `faithbench train` does it."
