"""Figures as files, drawn with matplotlib, which is an extra."""

import hashlib
import pkgutil
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from faithbench.errors import UserError
from faithbench.files import replacing, writing
from faithbench.paths import as_path

ENDINGS = (".svg", ".png", ".pdf")


def description(data: pd.DataFrame) -> str:
    """A hash of a figure's data, which drawings note: it tells drawings of two versions of matplotlib apart."""
    text = data.to_csv(float_format="%.6g")
    return f"data {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def check_drawing() -> None:
    """To be called before anything long is computed for a figure.

    Raises:
        UserError: matplotlib is not there.
    """
    if find_spec("matplotlib") is None:
        raise _missing("No module named 'matplotlib'")


def write_figure(drawer: str, path: Path | str, *data: object) -> Path:
    """Draws data into a file, whole or not at all.

    Args:
        drawer: `"module:function"`, called with the data and the path; its module imports matplotlib.
        path: of the file.
        data: what is drawn.

    Raises:
        UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
    """
    path = as_path("figure", path)
    if path.suffix not in ENDINGS:
        raise UserError(f"figure {str(path)!r} does not end in {' or '.join(ENDINGS)}.")
    try:
        draw = pkgutil.resolve_name(drawer)
    except ImportError as error:
        raise _missing(str(error)) from error
    with writing(path), replacing(path) as temporary:
        draw(*data, temporary)
    return path


def _missing(why: str) -> UserError:
    return UserError(f"a figure needs matplotlib ({why}): pip install 'faithbench[plot]'.")
