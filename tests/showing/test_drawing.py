"""Pictures of coloured lines: what is measured is what is drawn, and letters that no font has are no complaint."""

import warnings

import numpy as np
import pytest
from matplotlib.textpath import TextPath

from faithbench.showing.drawing import SIZE, _Drawing, draw_lines
from faithbench.showing.marked import line


def test_a_piece_is_as_wide_as_its_letters():
    word = "superb" * 6
    assert _Drawing()._width(word, SIZE) == pytest.approx(
        TextPath((0, 0), word, size=SIZE).get_extents().width, rel=0.01
    )


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_letters_that_no_font_has_are_no_complaint(tmp_path, ending):
    source = "a\nb \U0001f469\u200d\U0001f52c \u0939\u093f \x00\ue000"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_lines([("one", line(source, [(0, 3), (4, 7)], np.array([1.0, -1.0])))], "title", tmp_path / f"x{ending}")
    assert (tmp_path / f"x{ending}").stat().st_size
