"""Tables of runs that know how often each class is predicted: the class does not decide the number any more."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from records import column, record, run_of

from faithbench import comparison
from faithbench.errors import UserError
from faithbench.records.store import Store
from faithbench.tables.table import render, table

COUNTS = {"0": 600, "1": 400}
PREDICTED = {"classes": COUNTS, "texts": 1000, "of": 1000, "seconds": 1.0}
OTHER = "random(seed=0)"


def values_of(count: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes, of which this share is 1, and values that the class decides."""
    classes = (np.arange(count) < share * count).astype(int)
    return classes, np.where(classes == 1, 60.0, -8.0) + np.random.default_rng(seed).normal(0, 5, count)


def records_of(count: int, share: float, **changes: object) -> list:
    classes, values = values_of(count, share)
    return [record(v, i, target=int(c), **changes) for i, (c, v) in enumerate(zip(classes, values, strict=True))]


def post(classes: np.ndarray, values: np.ndarray) -> float:
    return 0.6 * values[classes == 0].mean() + 0.4 * values[classes == 1].mean()


def test_the_mean_is_that_of_the_split_and_the_raw_one_stands_beside(tmp_path: Path):
    for share in (0.2, 0.4, 0.7):
        (row,) = table([run_of(tmp_path / str(share), records_of(40, share), predicted=PREDICTED)]).itertuples()
        classes, values = values_of(40, share)
        assert row.post_stratified
        assert row.mean == pytest.approx(post(classes, values))
        assert row.raw_mean == pytest.approx(values.mean())
        assert row.low < row.mean < row.high
        assert abs(row.mean - 19.2) < 4


def test_a_raw_mean_that_is_far_off_is_shown(tmp_path: Path):
    far = render([run_of(tmp_path / "far", records_of(40, 0.8), predicted=PREDICTED)])
    near = render([run_of(tmp_path / "near", records_of(40, 0.4), predicted=PREDICTED)])
    assert "(raw 4" in far
    assert "(raw" not in near
    assert all("post-stratified by the predicted class" in text for text in (far, near))
    assert all("Raw means" not in text for text in (far, near))


@pytest.mark.parametrize(
    "predicted",
    [
        None,
        {**PREDICTED, "classes": {"0": 600, "1": 390, "2": 10}},  # of class 2 there is no text
        {**PREDICTED, "classes": {"0": 1000}},
    ],
)
def test_without_the_shares_of_its_classes_the_raw_mean_stands_and_is_said_to(predicted, tmp_path: Path):
    entry = {} if predicted is None else {"predicted": predicted}
    run = run_of(tmp_path / "run", records_of(40, 0.8), **entry)
    (row,) = table([run]).itertuples()
    assert not row.post_stratified
    assert row.mean == row.raw_mean == pytest.approx(values_of(40, 0.8)[1].mean())
    assert "Raw means over the texts measured" in render([run])
    assert "post-stratified by" not in render([run])


def test_several_targets_of_a_text_and_targets_against_another_are_not_post_stratified(tmp_path: Path):
    several = [*records_of(40, 0.8), record(3.0, 0, target=0, explainer=OTHER)]
    against = [record(1.0, i, target=faithful) for i, faithful in enumerate([0, 0, 1, 1])]
    against = [record(1.0, i, target=r.target) for i, r in enumerate(against)]
    assert not table([run_of(tmp_path / "several", several, predicted=PREDICTED)])["post_stratified"].any()
    assert table([run_of(tmp_path / "plain", against, predicted=PREDICTED)])["post_stratified"].all()


def test_of_another_training_the_shares_say_nothing(tmp_path: Path):
    old = records_of(40, 0.8, model_fingerprint="old")
    frame = table([run_of(tmp_path, [*old, *records_of(40, 0.8)], predicted=PREDICTED)]).set_index("model_fingerprint")
    assert frame["post_stratified"].to_dict() == {"old": False, "m": True}


def test_weights_of_records_count_and_failed_texts_do_not(tmp_path: Path):
    records = [
        record(10.0, 0, target=0, weight=1.0),
        record(20.0, 1, target=0, weight=3.0),
        record(50.0, 2, target=1, weight=2.0),
        record(math.nan, 3, target=1, weight=1.0),
        record(math.nan, 4, target=1, error="it broke"),
    ]
    (row,) = table([run_of(tmp_path, records, predicted=PREDICTED)]).itertuples()
    assert (row.n, row.undefined, row.failed) == (3, 1, 1)
    assert row.mean == pytest.approx((0.3 * (10 + 60) + 0.2 * 100) / (0.3 * 4 + 0.2 * 2))
    assert row.raw_mean == pytest.approx((10 + 60 + 100) / 6)


def test_by_class_nothing_is_post_stratified_and_nothing_said(tmp_path: Path):
    run = run_of(tmp_path, records_of(40, 0.8), predicted=PREDICTED)
    assert not table([run], by_class=True)["post_stratified"].any()
    assert "Raw means" not in render([run], by_class=True)


def test_each_training_is_post_stratified_by_its_own_shares(tmp_path: Path):
    first = records_of(40, 0.8)
    second = records_of(40, 0.5, model="conv-tiny(seed=7)", model_fingerprint="m7")
    run = run_of(tmp_path, [*first, *second], predicted=PREDICTED)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["models"]["conv-tiny(seed=7) on planted"]["predicted"] = {**PREDICTED, "classes": {"0": 100, "1": 900}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    means = table([run]).set_index("model_fingerprint")["mean"]
    (row,) = table([run], over_seeds=True).itertuples()
    classes, values = values_of(40, 0.5)
    assert means["m7"] == pytest.approx(0.1 * values[classes == 0].mean() + 0.9 * values[classes == 1].mean())
    assert row.mean == pytest.approx(means.mean())
    assert row.post_stratified
    assert row.raw_mean == pytest.approx((values.mean() + values_of(40, 0.8)[1].mean()) / 2)


def test_differences_of_explainers_are_post_stratified_too(tmp_path: Path):
    classes, values = values_of(40, 0.8)
    pairs = enumerate(zip(classes, values, strict=True))
    better = [record(v + 10 * c, i, target=int(c), explainer=OTHER) for i, (c, v) in pairs]
    run = run_of(tmp_path, [*records_of(40, 0.8), *better], predicted=PREDICTED)
    (row,) = comparison("random", "occlusion", [run]).table().itertuples()
    assert row.difference == pytest.approx(0.4 * 10)


@pytest.mark.parametrize(
    ("predicted", "word"),
    [
        ({**PREDICTED, "classes": {"a": 1}}, "names the class 'a'"),
        ({**PREDICTED, "classes": {"0": 0}}, "says 0 of class 0"),
        ({**PREDICTED, "classes": {}}, "counts more classes"),
        ({**PREDICTED, "classes": {"0": 1001}}, "counts more classes"),
        ({**PREDICTED, "classes": {"0": 3, "00": 2}}, "names the class '00', which is no number of one"),
        ({**PREDICTED, "seconds": -1.0}, "says -1.0 of seconds, which is no duration"),
        ({**PREDICTED, "seconds": math.nan}, "says nan of seconds, which is no duration"),
        ({**PREDICTED, "of": 10}, "counts more classes"),
    ],
)
def test_counts_that_cannot_be_are_refused(predicted: dict, word: str, tmp_path: Path):
    run = run_of(tmp_path, column([1.0, 2.0]), predicted=predicted)
    with pytest.raises(UserError, match=word):
        Store(run).manifest()
