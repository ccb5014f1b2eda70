"""Where a model in this process is from, so that another process can make the same once more."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.plugins.naming import is_folder
from faithbench.plugins.spec import Component
from faithbench.training.finished_model import FinishedModel, LanguageModel
from faithbench.training.loading import load_classifier
from faithbench.training.plugin_model import plugin_classifier


@dataclass(frozen=True)
class Origin:
    """Where a model is from. Can be pickled; paths are absolute.

    Args:
        source: the folder of a checkpoint, or a hub id at a revision; "" where a component makes the model.
        component: that does.
        data: that it makes the model for.
        made_of: where the model is from that it is a changed form of.
        changed: has the method `change`, by which it is.
    """

    source: str = ""
    component: Component | None = None
    data: Component | None = None
    made_of: "Origin | None" = None
    changed: Any = None

    def load(self, device: str, dtype: str) -> Classifier:
        """The model, on a device and in a precision.

        Raises:
            UserError: it cannot be had.
        """
        if self.made_of is not None:
            changed: Classifier = self.changed.change(self.made_of.load(device, dtype))
            return changed
        if self.component is None:
            return load_classifier(self.source, device, dtype).classifier
        if self.data is None:
            made: Classifier = self.component.object.prepare(None, device, dtype)
            return made
        return plugin_classifier(self.component, self.data.object, device, dtype)[0]


def origin_of(source: str | Component) -> Origin:
    """That of a finished model: a folder, a hub id at a revision, or the spec of one."""
    if isinstance(source, str):
        return Origin(_absolute(source))
    finished: FinishedModel | LanguageModel = source.object
    return Origin(component=replace(source, object=replace(finished, path=_absolute(finished.path))))


def load_same(origin: Origin, device: str, dtype: str, fingerprint: str, label: str) -> Classifier:
    """The model of another process: with the same weights, read in the same way.

    Raises:
        UserError: it cannot be had here, or it is another.
    """
    classifier = origin.load(device, dtype)
    here = classifier.fingerprint()
    if here != fingerprint:
        raise UserError(
            f"model {label} is another one in a worker: its fingerprint is {here} there and {fingerprint} in the run; "
            "if it has just been changed, run again, and if it is made anew each time, leave out workers."
        )
    return classifier


def _absolute(source: str) -> str:
    return str(Path(source).absolute()) if is_folder(source) else source
