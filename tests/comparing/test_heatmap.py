"""The map of rank agreement: what is written below it has room, however few metrics there are."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from faithbench.comparing import heatmap


@pytest.mark.parametrize("metrics", [2, 3, 5, 6, 14])
def test_words_below_the_map_do_not_stand_in_each_other(tmp_path: Path, monkeypatch, metrics: int):
    boxes: list[Bbox] = []

    def look(figure: Figure, *_: object) -> None:
        figure.draw_without_rendering()
        boxes.extend(label.get_window_extent() for label in figure.axes[1].get_xticklabels())

    monkeypatch.setattr(heatmap, "save", look)
    names = [f"comprehensiveness {i}" for i in range(metrics)]
    matrix = pd.DataFrame(np.full((metrics, metrics), 0.36), names, names)
    heatmap.draw(matrix, [False] * metrics, "n = 60 texts.", tmp_path / "a.svg")
    assert len(boxes) >= 3
    assert [a for a, b in pairwise(boxes) if a.x1 > b.x0] == []
