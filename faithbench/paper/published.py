"""The numbers of arXiv 2502.12992 as its tables print them; their rows and columns are the layout of ours."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from faithbench.errors import UserError

PAPER = "arXiv 2502.12992"
PACKAGE = Path(__file__).parent.parent
FOLDERS = (PACKAGE / "published", PACKAGE.parent / "leaderboards" / "paper" / "published")  # installed; in a checkout


def published(file: str, where: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The rows of a file for which the columns of `where` have these values, all as text, in the paper's order.

    Raises:
        UserError: the file is neither beside the package nor in the checkout.
    """
    found = next((folder / file for folder in FOLDERS if (folder / file).is_file()), None)
    if found is None:
        raise UserError(f"published numbers {file} are in neither {FOLDERS[0]} nor {FOLDERS[1]}; install again.")
    frame = pd.read_csv(found, dtype=str, keep_default_na=False)
    for column, value in (where or {}).items():
        frame = frame[frame[column] == value]
    return frame.reset_index(drop=True)


def number(text: str) -> float:
    """A published number; those of two phases, such as 1+4.33, are added up. NaN where nothing is published."""
    return sum(float(part) for part in text.split("+")) if text else float("nan")
