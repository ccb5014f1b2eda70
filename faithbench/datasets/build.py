"""A data set from what a user writes: a spec, or simply a path."""

from pathlib import Path

from faithbench.plugins import spec
from faithbench.plugins.spec import Component


def build_dataset(text: str) -> Component:
    """The data set of a spec such as `hatexplain(classes=3)`, or of a file or folder.

    Raises:
        UserError: there is none.
    """
    is_path = "(" not in text and ("/" in text or Path(text).suffix != "")
    return spec.build("dataset", spec.write("file", {"path": text}) if is_path else text)
