"""Judging metrics by degraded explanations, and what leaving explainers out makes of agreement."""

import math
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from records import COMP, ENTROPY, SUFF, column, run_of
from scipy import stats

import faithbench
from faithbench.comparing.jackknife import jackknife
from faithbench.comparing.judges import degrades, judged
from faithbench.plugins import spec
from faithbench.records.results import read

WHOLE = ("occlusion(baseline='mask', contrastive=False, window=1)", "saliency", "random(seed=0)")
WHOLE = tuple(spec.build("explainer", name).identity for name in WHOLE)
N = 12


def copy(explainer: str, share: float) -> str:
    return spec.build("explainer", f"degraded({explainer}, share={share})").identity


def of(values: dict[str, list[float]], metric: str = COMP, **changes: object):
    return [r for name, each in values.items() for r in column(each, explainer=name, metric=metric, **changes)]


def judge(folder: Path, records) -> dict[str, object]:
    (row,) = judged(read([run_of(folder, records)])).to_dict("records")
    return row


def test_diagnosticity_counts_texts_on_which_an_explanation_beats_its_copies(tmp_path: Path):
    one = WHOLE[0]
    values = {one: [5.0] * 8, copy(one, 0.5): [4, 4, 4, 4, 5, 5, 6, math.nan], copy(one, 1.0): [4] * 8}
    row = judge(tmp_path / "run", of(values))
    # of the first copy 4 of 7 texts, 2 ties and 1 lost; of the second all
    texts = [100, 100, 100, 100, 75, 75, 50, 100]
    assert row["diagnosticity"] == pytest.approx(np.mean(texts))
    assert row["low"] <= row["diagnosticity"] <= row["high"]
    assert (row["texts"], row["metric"], row["kind"], row["rows"]) == (8, COMP, "faithfulness", 3)
    assert row["defined"] == 100  # of the explanation itself
    turned = {name: [-value for value in each] for name, each in values.items()}
    assert judge(tmp_path / "lower", of(turned, SUFF))["diagnosticity"] == pytest.approx(row["diagnosticity"])
    assert judge(tmp_path / "higher", of(turned))["diagnosticity"] == pytest.approx(100 - row["diagnosticity"])


def test_spearman_is_scipys_of_the_means_and_the_share_left(tmp_path: Path):
    means = [5.0, 3.0, 4.0, 1.0]
    one, shares = WHOLE[0], (0.0, 0.25, 0.5, 1.0)
    names = [one, *(copy(one, share) for share in shares[1:])]
    row = judge(tmp_path / "run", of({name: [mean] * N for name, mean in zip(names, means, strict=True)}))
    assert row["spearman"] == pytest.approx(stats.spearmanr(means, [1 - share for share in shares]).statistic)
    several = of({name: [mean] * N for name, mean in zip(names, means, strict=True)}) + of(
        {WHOLE[1]: [1] * N, copy(WHOLE[1], 0.5): [2] * N, copy(WHOLE[1], 1.0): [3] * N}
    )
    both = judge(tmp_path / "both", several)
    assert both["spearman"] == pytest.approx((row["spearman"] - 1) / 2)
    two = judge(tmp_path / "two", of({one: [2] * N, copy(one, 0.5): [1] * N}))
    assert math.isnan(two["spearman"])  # two means have no order to speak of
    assert two["diagnosticity"] == 100


def test_rows_are_of_one_explanation_that_is_no_copy(tmp_path: Path):
    one, several = WHOLE[0], spec.build("explainer", "random").identity
    records = (
        column([5.0] * 8, explainer=one, metric=COMP, rows=10)
        + column([1.0] * 8, explainer=copy(one, 1.0), metric=COMP, rows=400)
        + column([0.0] * 8, explainer=several, metric=COMP, rows=50)  # the sum over draws
    )
    assert judge(tmp_path / "run", records)["rows"] == 10
    only = of({several: [1.0] * 8, copy("random", 1.0): [0.0] * 8})
    assert math.isnan(judge(tmp_path / "copies", only)["rows"])


def test_defined_is_of_explanations_that_did_not_fail(tmp_path: Path):
    one = WHOLE[0]
    records = of({one: [1.0, math.nan, math.nan, 2.0], copy(one, 1.0): [math.nan] * 4}) + column(
        [math.nan], explainer=WHOLE[1], metric=COMP, error="no"
    )
    assert judge(tmp_path / "run", records)["defined"] == 50


def test_metrics_without_better_or_worse_and_explainers_without_copies_are_not_judged(tmp_path: Path):
    one = WHOLE[0]
    values = {one: [1.0] * N, copy(one, 1.0): [0.0] * N}
    assert judged(read([run_of(tmp_path / "entropy", of(values, ENTROPY))])).empty
    assert judged(read([run_of(tmp_path / "alone", of({name: [1.0] * N for name in WHOLE}))])).empty
    assert judged(read([run_of(tmp_path / "other", of({WHOLE[1]: [1.0] * N, copy(one, 1.0): [0.0] * N}))])).empty
    assert degrades("nobody") is None


def ranked(extra: bool = False):
    """Three explainers by three metrics, and perhaps copies of one that would turn the ranking round."""
    records = []
    for metric, means in ((COMP, [3, 2, 1]), (SUFF, [-3, -2, -1]), ("evidence", [2, 3, 1])):
        values = {name: [float(mean)] * N for name, mean in zip(WHOLE, means, strict=True)}
        if extra:
            values |= {copy(WHOLE[0], share): [-50.0 * share] * N for share in (0.5, 1.0)}
        records += of(values, metric)
    return records


def test_copies_stand_in_no_ranking_and_are_printed_as_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plain = faithbench.meta_evaluation([run_of(tmp_path / "plain", ranked())])
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", ranked(extra=True))])
    assert found.pairs.equals(plain.pairs)
    assert set(found.pairs["explainers"]) == {3}
    assert found.judges["metric"].tolist() == ["evidence", COMP, SUFF]
    assert found.judges["diagnosticity"].tolist() == [100, 100, 0]
    ended = call(capsys, "meta", tmp_path / "run")
    assert ended.status == 0
    assert "What can a metric tell?" in ended.out
    rows = [line for line in ended.out.splitlines() if line.startswith("| comprehensiveness | faithfulness")]
    assert "100.0" in rows[-1]
    assert "What can a metric tell?" not in call(capsys, "meta", tmp_path / "plain").out


EXPLAINERS = [f"e{i}" for i in range(6)]
MEANS = {COMP: [1.0, 2, 3, 4, 5, 6], "evidence": [6.0, 2, 3, 4, 5, 1]}


def test_leaving_one_out_gives_range_and_interval(tmp_path: Path):
    records = [
        r
        for m, means in MEANS.items()
        for n, x in zip(EXPLAINERS, means, strict=True)
        for r in column([x] * N, explainer=n, metric=m)
    ]
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records)])
    row = found.pairs.iloc[0]
    without = []
    for gone in range(6):
        a, b = (np.delete(np.array(MEANS[m]), gone) for m in (COMP, "evidence"))
        without.append(stats.kendalltau(a, b).statistic)
    assert (row["least"], row["most"]) == pytest.approx((min(without), max(without)))
    error = math.sqrt(5 / 6 * sum((each - np.mean(without)) ** 2 for each in without))
    assert row["over"] == "explainers"  # nothing varies over texts
    assert (row["low"], row["high"]) == pytest.approx(
        (max(-1, row["tau"] - 1.96 * error), min(1, row["tau"] + 1.96 * error)), abs=1e-4
    )
    truth = found.truth.iloc[0]
    assert (truth["least"], truth["most"]) == pytest.approx((min(without), max(without)))
    text = found.render()
    assert "† over explainers (jackknife), which is wider than over texts" in text
    assert f"{min(without):.2f} to {max(without):.2f}".replace("-", "−") in text


def test_the_interval_over_texts_stays_where_it_is_wider(tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=(2, 6, N)) * 8
    means = {COMP: [1.0, 2, 3, 4, 5, 6], "evidence": [1.0, 2, 3, 4, 5, 6]}
    records = [
        r
        for k, (m, each) in enumerate(means.items())
        for i, x in enumerate(each)
        for r in column(x + noise[k, i], explainer=EXPLAINERS[i], metric=m)
    ]
    row = faithbench.meta_evaluation([run_of(tmp_path / "run", records)]).pairs.iloc[0]
    left = jackknife({"a": row["least"], "b": row["most"]})
    assert row["over"] in ("texts", "explainers")
    assert row["high"] - row["low"] > 0.3
    assert left.least <= left.most


def test_a_jackknife_of_less_than_two_says_nothing():
    assert math.isnan(jackknife({"a": 0.5}).error)
    assert math.isnan(jackknife({}).least)
    assert jackknife({"a": 0.5, "b": 0.5}).interval(0.5) == (0.5, 0.5)
