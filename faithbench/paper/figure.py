"""A figure of the paper as data, which can be drawn."""

import pkgutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faithbench.errors import UserError
from faithbench.meta import FIGURES


@dataclass(frozen=True)
class PaperFigure:
    """The data of a figure, a row for each bar or point, and sentences on what is missing."""

    name: str
    data: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def ours(self) -> pd.DataFrame:
        """The data without what was published."""
        return self.data[self.data["source"] == "ours"] if "source" in self.data else self.data

    def plot(self, path: Path | str) -> Path:
        """Draws it.

        Raises:
            UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
        """
        path = Path(path)
        if path.suffix not in FIGURES:
            raise UserError(f"figure {str(path)!r} does not end in {' or '.join(FIGURES)}.")
        try:
            draw = pkgutil.resolve_name("faithbench.paper.drawing:draw")
        except ImportError as error:
            raise UserError(f"a figure needs matplotlib ({error}): pip install 'faithbench[plot]'.") from error
        try:
            draw(self.name, self.data, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error
        return path
