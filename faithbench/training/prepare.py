"""From a model's text (name, folder or hub id) to a classifier that answers; trains a named model that is not there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language_zoo import LanguageModel
from faithbench.models.precision import FORWARD_ONLY
from faithbench.models.zoo import zoo_model
from faithbench.plugins import spec
from faithbench.plugins.faults import blaming
from faithbench.plugins.naming import ModelRef, is_folder, refer
from faithbench.plugins.spec import Component
from faithbench.training.finished_model import FINISHED
from faithbench.training.keeping import report_of
from faithbench.training.loading import OWN, load_classifier
from faithbench.training.named_models import finished, trained, untrained
from faithbench.training.origins import Origin, origin_of
from faithbench.training.plugin_model import plugin_classifier
from faithbench.training.settings import training_data
from faithbench.training.setup import Setup

READY = 2  # models that are remembered within a run: one that is measured, and one that judges


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
        finished(zoo, training_data(model, dataset), setup)


def finished_folder(model: ModelRef, data: Component | None, setup: Setup) -> Path | None:
    """Where the weights of a named model are that was trained on a data set; None of others."""
    zoo = zoo_model(model)
    found = finished(zoo, data, setup) if zoo and data else None
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


def is_plugins(model: ModelRef) -> bool:
    """Whether a package of its own prepares the model, in its own way."""
    model = model.root
    of_ours = model.component is None or isinstance(model.component.object, FINISHED)
    return not of_ours and zoo_model(model) is None


def _referred(model: ModelRef | str) -> ModelRef:
    return refer(model) if isinstance(model, str) else model


def _check_data(text: str, prepared: Prepared, dataset: Component) -> None:
    trained_on = prepared.report.get("dataset")
    names = [spec.parse(identity)[0] for identity in (trained_on, dataset.identity) if identity]
    if len(set(names)) > 1 and "file" not in names:
        raise UserError(f"model {text!r} was trained on {trained_on}, not on {dataset.identity}.")
