"""Resolution of names: a text may name a component's spec, a path, a checkpoint folder, a hub id; without torch."""

from dataclasses import dataclass, fields
from pathlib import Path

from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.plugins.traits import read_traits


@dataclass(frozen=True)
class ModelRef:
    """A model as a plan names it: a component, or (`component` None) a checkpoint folder or a hub id."""

    text: str
    component: Component | None = None

    @property
    def identity(self) -> str:
        """All parameters written out; a folder or hub id as it is."""
        return self.text if self.component is None else self.component.identity

    @property
    def label(self) -> str:
        """Without what is left to its default."""
        return self.text if self.component is None else self.component.label


def refer(text: str) -> ModelRef:
    """What a text names.

    Raises:
        UserError: there is no model of that name.
    """
    return ModelRef(text, spec.build("model", text) if is_named(text) else None)


def build_dataset(text: str) -> Component:
    """The data set of a spec such as `hatexplain(classes=3)`, or of a file or folder.

    Raises:
        UserError: there is none.
    """
    is_path = "(" not in text and ("/" in text or Path(text).suffix != "")
    return spec.build("dataset", spec.write("file", {"path": text}) if is_path else text)


def is_named(text: str) -> bool:
    """Whether a text is a component's spec, rather than a folder or hub id."""
    return "/" not in text and not is_folder(text)


def is_folder(text: str) -> bool:
    """Whether there is such a folder."""
    try:
        return Path(text).is_dir()
    except OSError:  # a name that is too long, for instance
        return False


def resolve(dataset: Component, model: ModelRef) -> Component:
    """A data set as it is for a model: one that depends on the model says by whom its texts are judged."""
    if not dataset.traits.for_model:
        return dataset
    made = dataset.object.for_model(model)
    written = {field.name: getattr(made, field.name) for field in fields(made)}
    name = spec.parse(dataset.identity)[0]
    return Component(spec.write(name, written), dataset.label, made, read_traits("dataset", made, f"dataset {name!r}"))
