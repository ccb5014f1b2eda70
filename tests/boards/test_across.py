"""The same cell on two boards: what does not go together is said, and fails nothing by itself."""

from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from records import column, record, run_of

import faithbench
from faithbench.boards.across import compare_boards
from faithbench.boards.folder import read_board

NORMAL = np.random.default_rng(0).normal(0, 1, 40)


def board_of(name: str, values: np.ndarray, sampling: str = "random", **changes: object) -> Path:
    run = run_of(Path(f"run-{name}"), column(values, **changes))
    text = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(
        text.replace('"fingerprint": "d"', f'"fingerprint": "d", "sampling": "{sampling}"')
    )
    faithbench.publish(run, Path(name))
    return Path(name)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(*folders: Path) -> list[tuple[int, str]]:
    return list(compare_boards([read_board(folder) for folder in folders]))


def test_nothing_is_said_of_numbers_that_go_together_and_of_other_cells():
    boards = board_of("a", 25 + NORMAL), board_of("b", 25.1 + NORMAL)
    assert said(*boards) == []
    for number, other in enumerate([{"model_fingerprint": "other"}, {"dataset": "imdb"}, {"explainer": "other"}]):
        assert said(boards[0], board_of(f"c{number}", 90 + NORMAL, **other)) == []


def test_intervals_that_do_not_overlap_are_named(capsys):
    boards = board_of("a", 25 + NORMAL), board_of("b", 34.6 + NORMAL[:20])
    ((number, sentence),) = said(*boards)
    assert number == 1
    assert sentence.startswith("1 result is on a too: the intervals of 1 do not overlap, such as comprehens")
    assert "on 40 texts there, 34." in sentence
    assert sentence.endswith("on 20 texts here")
    ended = call(capsys, "board", "check", *boards)
    assert f"b: note: {sentence}" in ended.out.splitlines()


def test_another_way_of_drawing_texts_is_named():
    boards = board_of("a", 25 + NORMAL), board_of("b", 25 + NORMAL, "stratified")
    assert said(*boards) == [
        (
            1,
            "1 result is on a too: texts drawn at random, raw means, there; texts drawn by label, raw means, here",
        )
    ]


def test_post_stratified_means_are_compared_as_such():
    predicted = {"classes": {"0": 500, "1": 500}, "texts": 1000, "of": 1000, "seconds": 1.0}
    boards = []
    for name, share in (("few", 0.2), ("many", 0.8)):
        classes = (np.arange(40) < 40 * share).astype(int)
        records = [record(60 * c + NORMAL[i], i, target=int(c)) for i, c in enumerate(classes)]
        for kind, entry in (("raw", {}), ("post", {"predicted": predicted})):
            faithbench.publish(run_of(Path(f"run-{name}-{kind}"), records, **entry), Path(f"{name}-{kind}"))
            boards.append(Path(f"{name}-{kind}"))
    raw, post = [boards[0], boards[2]], [boards[1], boards[3]]
    assert "the intervals of 1 do not overlap" in said(*raw)[0][1]
    assert said(*post) == []
