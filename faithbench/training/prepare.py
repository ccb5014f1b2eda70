"""From a model's text (name, folder or hub id) to a classifier that answers; trains a named model that is not there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from rich.console import Console

from faithbench.console import say
from faithbench.errors import UserError, short
from faithbench.files import cache_folder, remove_leftovers, set_aside
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language_zoo import LanguageModel
from faithbench.models.precision import FORWARD_ONLY
from faithbench.models.zoo import Bcos, Conventional, zoo_model
from faithbench.plan import Training
from faithbench.plugins import spec
from faithbench.plugins.faults import blaming
from faithbench.plugins.naming import ModelRef, build_dataset, is_folder, is_named, refer
from faithbench.plugins.spec import Component
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.finished_model import FINISHED
from faithbench.training.keeping import REPORT, fault, forget_work, in_turn, report_of, weights_hash, work_place
from faithbench.training.loading import OWN, load_classifier
from faithbench.training.origins import Origin, origin_of
from faithbench.training.plugin_model import plugin_classifier
from faithbench.training.settings import (
    complete_training,
    learnt_from,
    pretrained_as,
    report_kind,
    start_of,
    start_training,
    training_data,
)
from faithbench.types import SPLITS

INITIAL, FINE_TUNING, LANGUAGE = (  # imported where a model is trained: transformers' Trainer is much to load
    "faithbench.training.initial_models",
    "faithbench.training.fine_tuning",
    "faithbench.training.language_models",
)
TASKS = ("lm", "classification")
READY = 2  # models that are remembered within a run: one that is measured, and one that judges


@dataclass(frozen=True)
class Setup:
    """How to make a model real: where, in which precision (or `loading.OWN`), and whether it may be trained first.

    The precision is one that is decided (`faithbench.running.drift.resolve`), never `auto`.
    """

    device: str = "cpu"
    dtype: str = "float32"
    training: Training = field(default_factory=Training)
    train: bool = True
    console: Console | None = None  # None: silence

    def say(self, text: str) -> None:
        """A plain line, if anybody listens."""
        say(self.console, text)


@dataclass(frozen=True)
class Prepared:
    """A classifier with its identity and label, and what is known of its training (empty if nothing is)."""

    classifier: Classifier
    identity: str
    label: str
    report: Mapping[str, Any]
    made_for: str = ""  # identity of the data set whose labels are its classes; that of its training if left empty
    origin: Origin | None = None  # None of a model that is in this process alone

    @property
    def own_data(self) -> str:
        """Identity of the data set whose labels are the model's classes as they are; "" if there is none."""
        return self.made_for or str(self.report.get("dataset", ""))

    @cached_property
    def fingerprint(self) -> str:
        """The classifier's, taken once: whoever changes weights takes another `Prepared`."""
        return self.classifier.fingerprint()


@dataclass(frozen=True)
class Checkpoint:
    """The folder of a finished training, and its report."""

    folder: Path
    report: Mapping[str, Any]


def best_device(wanted: str | None) -> str:
    """`wanted` if it is there, or the best there is.

    Raises:
        UserError: it is not there.
    """
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number or "0").isdecimal():
        raise UserError(f"device {wanted!r} is not known; use cpu, cuda or mps.")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= there:
        raise UserError(f"device {wanted!r} was asked for, but this machine has none; use cpu.")
    return wanted


def prepare(model: ModelRef | str, dataset: Component, setup: Setup) -> Prepared:
    """The classifier that is named, for a data set.

    Args:
        model: a spec such as `bcos-bert(b=2.0)`, a checkpoint folder, or a hub id, `owner/name` or with `@revision`.
        dataset: what a named model is trained on, or made of the texts of that.
        setup: device, precision, training.

    Raises:
        UserError: no such model, the hub cannot be reached, or the model is not one for this data set.
    """
    return Workshop(setup).prepare(_referred(model), dataset)


class Workshop:
    """Makes models real, each once for all data sets that are made of the same texts.

    Args:
        setup: device, precision, training.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._ready: dict[tuple[str, str, str], Prepared] = {}

    def prepare(self, model: ModelRef, dataset: Component, dtype: str | None = None) -> Prepared:
        """As `prepare`, in the set-up's precision or another; the last `READY` models are remembered."""
        setup = self.setup if dtype is None else replace(self.setup, dtype=dtype)
        base = training_data(model, dataset)
        key = (model.identity, base.identity if model.component else "", setup.dtype)
        if key not in self._ready:
            if len(self._ready) == READY:
                del self._ready[next(iter(self._ready))]
            self._ready[key] = _made(model, base, setup)
        if not _reads_any(model):
            _check_data(model.text, self._ready[key], base)
        return self._ready[key]


def _reads_any(model: ModelRef) -> bool:
    """Whether a model need not have been trained on the data set at hand, as language models."""
    named = zoo_model(model.root)
    return named is not None and isinstance(named.object, LanguageModel)


def _made(model: ModelRef, base: Component, setup: Setup) -> Prepared:
    """The classifier, whether or not it fits the data set."""
    if made_of := model.made_of:
        return _changed(model, _made(made_of, base, setup), base, setup)
    if model.component is None or isinstance(model.component.object, FINISHED):
        return load_model(model, setup)
    if zoo := zoo_model(model):
        checkpoint = trained(zoo, base, setup)
        classifier = load_classifier(str(checkpoint.folder), setup.device, setup.dtype).classifier
        origin = origin_of(str(checkpoint.folder))
        return Prepared(classifier, model.identity, model.label, checkpoint.report, origin=origin)
    dtype = "float32" if setup.dtype == OWN else setup.dtype  # which the plugin knows
    if dtype in FORWARD_ONLY:
        raise UserError(
            f"dtype={dtype!r} is not to be had of model {model.text!r}, which a plugin prepares; use float32."
        )
    found, fingerprint = plugin_classifier(model.component, base.object, setup.device, dtype)
    origin = Origin(component=model.component, data=base)
    made = Prepared(found, model.identity, model.label, {}, base.identity, origin)
    vars(made)["fingerprint"] = fingerprint  # taken already
    return made


def _changed(model: ModelRef, made_of: Prepared, data: Component | None, setup: Setup) -> Prepared:
    """A model that is another one changed, which is made already.

    Raises:
        UserError: it cannot be changed so.
    """
    assert model.component is not None
    if not isinstance(made_of.classifier, HuggingFaceClassifier):
        raise UserError(
            f"model {model.label} cannot be had: {made_of.label} is prepared by a plugin in its own way; name a model "
            "of transformers."
        )
    changed, report = model.component.object, dict[str, Any]()
    with blaming(f"model {model.label} cannot be had"):
        if hasattr(changed, "learn"):
            changed, report = changed.learn(model, made_of.classifier, data, setup)
        classifier: Classifier = changed.change(made_of.classifier)
    kept = {name: made_of.report[name] for name in ("dataset", "training") if name in made_of.report}
    of = {"model": made_of.identity, "fingerprint": made_of.fingerprint}
    origin = made_of.origin and Origin(made_of=made_of.origin, changed=changed)
    return Prepared(
        classifier, model.identity, model.label, {**report, **kept, "made_of": of}, made_of.made_for, origin
    )


def load_model(model: ModelRef | str, setup: Setup) -> Prepared:
    """The classifier in a checkpoint folder or on the hub.

    Raises:
        UserError: there is none, or the text is the name of a model to be fine-tuned on some data set.
    """
    model = _referred(model)
    if made_of := model.made_of:
        return _changed(model, load_model(made_of, setup), None, setup)
    if model.component is not None:
        return _finished_model(model, model.component, setup)
    loaded = load_classifier(model.text, setup.device, setup.dtype)
    report = report_of(Path(model.text)) if is_folder(model.text) else None
    origin = origin_of(loaded.identity)
    return _said(Prepared(loaded.classifier, loaded.identity, loaded.label, report or {}, origin=origin), setup)


def _finished_model(model: ModelRef, component: Component, setup: Setup) -> Prepared:
    """The classifier of a spec that names one."""
    if not isinstance(component.object, FINISHED):
        raise UserError(f"model {model.text!r} is fine-tuned for a data set; say for which.")
    classifier = component.object.prepare(None, setup.device, setup.dtype)
    return _said(Prepared(classifier, model.identity, model.label, {}, origin=origin_of(component)), setup)


def _said(prepared: Prepared, setup: Setup) -> Prepared:
    """Says what is out of the usual in how a model is read."""
    for note in getattr(prepared.classifier, "notes", ()):
        setup.say(f"{prepared.label}: {note}.")
    return prepared


def check_model(model: ModelRef, dataset: Component, setup: Setup) -> None:
    """What can be said of a model before anything is loaded or trained.

    Raises:
        UserError: the model would have to be trained although `setup.train` is False, or was trained otherwise.
    """
    if made_of := model.made_of:
        check_model(made_of, dataset, setup)
        _check_learnt(model, training_data(model, dataset), setup)
    elif zoo := zoo_model(model):
        _finished(zoo, training_data(model, dataset), setup)


def finished_folder(model: ModelRef, data: Component | None, setup: Setup) -> Path | None:
    """Where the weights of a named model are that was trained on a data set; None of others."""
    zoo = zoo_model(model)
    found = _finished(zoo, data, setup) if zoo and data else None
    return None if found is None else found.folder


def _check_learnt(model: ModelRef, data: Component, setup: Setup) -> None:
    """What a model learns that is another one changed has been learnt, or may be.

    Raises:
        UserError: not so.
    """
    assert model.component is not None
    learnt = getattr(model.component.object, "learnt", None)
    if not setup.train and learnt is not None and not learnt(model, data, setup):
        raise UserError(untrained(model.identity, data.identity))


def untrained(model: str, data: str, why: str = "") -> str:
    """The sentence on a model that would have to be trained and may not be."""
    return f"{model} has not been trained on {data}{why}, and training is switched off; `faithbench train` does it."


def is_plugins(model: ModelRef) -> bool:
    """Whether a package of its own prepares the model, in its own way."""
    model = model.root
    of_ours = model.component is None or isinstance(model.component.object, FINISHED)
    return not of_ours and zoo_model(model) is None


def _referred(model: ModelRef | str) -> ModelRef:
    return refer(model) if isinstance(model, str) else model


def _finished(model: Component, dataset: Component, setup: Setup) -> Checkpoint | None:
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


def train(
    model: str,
    dataset: Path | str,
    training: Training = Training(),
    *,
    seed: int | None = None,
    masking: str | None = None,
    task: str | None = None,
    device: str | None = None,
    console: Console | None = None,
) -> tuple[Path, Mapping[str, Any]]:
    """Trains a named model on a data set, unless that has been done; a killed training continues.

    Args:
        model: a spec, such as `bcos-minilm` or `bcos-bert(b=2.0)`.
        dataset: a spec, or a folder with `train`, `validation` and `test` files.
        training: the settings.
        seed: of the model, where its spec does not say.
        masking: likewise, of classifiers: `half` masks half of each batch, `none` nothing.
        task: `classification` or, of language models, `lm`; None for that of the model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        console: where progress goes; None for silence.

    Returns:
        The checkpoint's folder, and the report: accuracies in percent or the perplexity, settings, hardware.

    Raises:
        UserError: a name is not known, or there is a checkpoint that was trained with other settings.
    """
    if not is_named(model):
        raise UserError(f"model {model!r} is a folder or hub id; only named models can be trained.")
    told = {name: value for name, value in (("seed", seed), ("masking", masking)) if value is not None}
    ref = ModelRef(model, spec.build("model", model, told))
    setup = Setup(best_device(device), training=training, console=console)
    if ref.made_of is not None:
        return _train_changed(ref, build_dataset(str(dataset)), setup)
    zoo = zoo_model(ref)
    if zoo is None:
        raise UserError(f"model {model!r} is a plugin's own and cannot be trained by this command.")
    _check_task(model, zoo, task, masking)
    data = training_data(ModelRef(zoo.spec, zoo), build_dataset(str(dataset)))
    checkpoint = trained(zoo, data, setup)
    return checkpoint.folder, checkpoint.report


def _train_changed(model: ModelRef, dataset: Component, setup: Setup) -> tuple[Path, Mapping[str, Any]]:
    """What a model learns that is another one changed."""
    assert model.component is not None
    assert model.made_of is not None
    if not hasattr(model.component.object, "learnt"):
        raise UserError(f"model {model.label} learns nothing; train what it is made of, {model.made_of.label}.")
    prepared = prepare(model, dataset, setup)
    folder = Path(getattr(prepared.origin and prepared.origin.changed, "folder", ""))
    return folder, prepared.report


def _check_task(text: str, model: Component, task: str | None, masking: str | None) -> None:
    """The model is for the task, if one is named, and can be masked if it is to be.

    Raises:
        UserError: not so.
    """
    own = "lm" if isinstance(model.object, LanguageModel) else "classification"
    if task is not None and task not in TASKS:
        raise UserError(f"task={short(task)} is not allowed; use {' or '.join(TASKS)}.")
    if task not in (None, own):
        others = "conv-gpt2 or bcos-llama" if task == "lm" else "conv-minilm or bcos-bert"
        raise UserError(
            f"task={task} is not allowed for model {text!r}, whose task is {own}; use {others}, for instance."
        )
    if own == "lm" and masking is not None:
        raise UserError(f"masking={masking!r} is not allowed for model {text!r}: language models are not masked.")


def trained(model: Component, dataset: Component, setup: Setup) -> Checkpoint:
    """The checkpoint of a named model for a data set: from the cache, else trained now.

    Raises:
        UserError: it has to be trained and `setup.train` is False, or was trained with other settings than asked for.
    """
    folder = checkpoint_folder(model, dataset)
    remove_leftovers(folder.parent)
    finished = _finished(model, dataset, setup)
    if finished is None:
        title = f"{model.label} on {dataset.label}"
        with in_turn(folder, lambda holder: setup.say(f"Waiting for another training of {title}: {holder}.")):
            finished = _finished(model, dataset, setup)  # by another, since
            if finished is None:
                return _train_now(model, dataset, folder, setup)
    forget_work(folder)  # of a training that was killed after its last step
    _say_settings(model, dataset, finished.report["training"], setup)
    return finished


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


def checkpoint_folder(model: Component, dataset: Component) -> Path:
    """Where the checkpoint of a named model for a data set is kept."""
    mlm_data = getattr(model.object, "mlm_data", "")
    read = [dataset, *([build_dataset(mlm_data)] if mlm_data else [])]
    identity = " ".join([model.identity, *(f"{each.identity}{each.content}" for each in read), *_begun(model, dataset)])
    return cache_folder("checkpoints", identity, dataset.label, model.label)


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


def _check_data(text: str, prepared: Prepared, dataset: Component) -> None:
    trained_on = prepared.report.get("dataset")
    names = [spec.parse(identity)[0] for identity in (trained_on, dataset.identity) if identity]
    if len(set(names)) > 1 and "file" not in names:
        raise UserError(f"model {text!r} was trained on {trained_on}, not on {dataset.identity}.")
