"""Resolution of names: a text may name a component's spec, a path, a checkpoint folder, a hub id; without torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path

from faithbench.errors import UserError, brief, unknown
from faithbench.plugins import finding, spec
from faithbench.plugins.faults import blaming
from faithbench.plugins.spec import Component
from faithbench.plugins.traits import read_traits

HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
HUB_NAME = re.compile(r"(?!conv-|bcos-)[A-Za-z0-9][\w.-]{,39}")  # as of the hub's oldest models, which have no owner
HUB = "a model of the hub is named lm({}), if it is a language model, or owner/name"
FILE = re.compile(r"\.\w+$")


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
    def spec(self) -> str:
        """A text that `refer` makes the same of."""
        return self.text if self.component is None else self.component.spec

    @property
    def label(self) -> str:
        """Without what is left to its default."""
        return self.text if self.component is None else self.component.label

    @property
    def made_of(self) -> "ModelRef | None":
        """The model that it is a changed form of; None if of none."""
        return refer(self.component.object.model) if self.component and self.component.traits.change else None

    @property
    def root(self) -> "ModelRef":
        """The model that is there before any change; itself if it is no changed form."""
        return self if self.made_of is None else self.made_of.root


def refer(text: str) -> ModelRef:
    """What a text names.

    Raises:
        UserError: there is no model of that name.
    """
    named = is_named(text)
    if named and HUB_NAME.fullmatch(text) and text not in (known := finding.find("model")):
        raise unknown("model", text, known, HUB.format(text))
    return ModelRef(text, spec.build("model", text) if named else None)


def build_dataset(text: str | PathLike[str]) -> Component:
    """The data set of a spec such as `hatexplain(classes=3)`, of a file or folder, or of the hub, as `owner/name`.

    Raises:
        UserError: there is none.
    """
    return spec.build("dataset", dataset_spec(text))


def build_texts(text: str | PathLike[str], what: str) -> Component:
    """A data set of texts.

    Args:
        text: whatever names it.
        what: is made of it, or done with it: the beginning of a sentence.

    Raises:
        UserError: there is none, or it is one of neurons.
    """
    dataset = build_dataset(text)
    if dataset.traits.unit != "text":
        raise UserError(
            f"{what} takes texts, and {brief(dataset.label)} is about the neurons of a model, which faithbench run "
            "describes; name the data set that its documents are of."
        )
    return dataset


def dataset_spec(text: str | PathLike[str], columns: Mapping[str, str] | None = None) -> str:
    """A data set's text as a spec: `file(…)` for a path, `hub(…)` for a hub id; what is one already stays.

    Args:
        text: whatever names a data set. A path that exists is a path, unless it is the name of a data set.
        columns: parameters to be added, such as `text` and `label`.

    Raises:
        UserError: columns are given, and the text names neither a path nor a hub id.
    """
    text, chosen = fspath(text), dict(columns or {})
    if is_path(text):
        return spec.write("file", {"path": text, **chosen})
    if hub_id := HUB_ID.fullmatch(text.strip()):
        repo, revision = hub_id.groups()
        return spec.write("hub", {"repo": repo, **({"revision": revision} if revision else {}), **chosen})
    if chosen:
        options = " and ".join(f"--{name}" for name in chosen)
        raise UserError(
            f"{options} name columns of a file or of a hub's data set, and {brief(repr(text))} is neither; leave them "
            "out, or say them in the spec, as in file(path=…, text=…)."
        )
    return text


def is_path(text: str) -> bool:
    """Whether a data set's text is a path: there is one, or it looks like nothing else."""
    if exists(text):
        return text not in finding.find("dataset")
    named = "(" in text and spec.SHAPE.fullmatch(text) is not None
    return not named and (FILE.search(text) is not None or ("/" in text and HUB_ID.fullmatch(text.strip()) is None))


def is_named(text: str) -> bool:
    """Whether a text is a component's spec, rather than a folder or hub id."""
    written = "(" in text and spec.SHAPE.fullmatch(text) is not None
    return ("/" not in text or written) and not is_folder(text)


def exists(text: str) -> bool:
    """Whether there is such a file or folder."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name that is too long, for instance
        return False


def is_folder(text: str) -> bool:
    """Whether there is such a folder."""
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # a name that is too long, for instance
        return False


def resolve(dataset: Component, model: ModelRef) -> Component:
    """A data set as it is for a model: one that depends on the model says by whom its texts are judged."""
    if not dataset.traits.for_model:
        return dataset
    name = spec.parse(dataset.identity)[0]
    with blaming(f"dataset {name!r} cannot be had for the model {brief(model.text)}"):
        made = dataset.object.for_model(model)
        written = {field.name: getattr(made, field.name) for field in fields(made)}
    return Component(spec.write(name, written), dataset.label, made, read_traits("dataset", made, f"dataset {name!r}"))
