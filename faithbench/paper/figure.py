"""A figure of the paper as data, which can be drawn."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faithbench.tables.figure import write_figure


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
        return write_figure("faithbench.paper.drawing:draw", path, self.name, self.data)
