"""Rank agreement of metrics, with each other and with the ground truth."""

import io
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import COMP, ENTROPY, SUFF, column, run_of
from scipy import stats

import faithbench
from faithbench.comparing.agreement import tau_b
from faithbench.errors import UserError

EXPLAINERS = [f"e{i}" for i in range(6)]
MEANS = {COMP: [1, 2, 3, 4, 5, 6], SUFF: [-1, -3, -2, -4, -6, -5], "evidence": [2, 1, 3, 4, 5, 6], ENTROPY: [3] * 6}
N = 20


def records_of(
    means: dict[str, list[float]], noise: float = 0.0, explainers: list[str] = EXPLAINERS, **changes: object
):
    generator = np.random.default_rng(0)
    return [
        r
        for metric, each in means.items()
        for name, mean in zip(explainers, each, strict=True)
        for r in column(mean + noise * generator.normal(size=N), explainer=name, metric=metric, **changes)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_scipys_with_ties(seed: int):
    x, y = np.random.default_rng(seed).integers(0, 4, (2, 3, 7)).astype(float)
    expected = [stats.kendalltau(*pair).statistic for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(tau_b(x, y), expected, rtol=1e-12)
    assert math.isnan(tau_b(np.ones(4), np.arange(4.0)))


def test_agreement_is_that_of_the_rankings_with_higher_better(tmp_path: Path):
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records_of(MEANS))])
    assert found.metrics == ("evidence", COMP, SUFF)  # ground truth first; entropy has no better or worse
    taus = found.pairs.set_index(["metric_a", "metric_b"])["tau"]
    assert taus["evidence", COMP] == pytest.approx(stats.kendalltau(MEANS["evidence"], MEANS[COMP]).statistic)
    assert taus[COMP, SUFF] == pytest.approx(stats.kendalltau(MEANS[COMP], -np.array(MEANS[SUFF])).statistic)
    assert set(found.pairs["explainers"]) == {6}
    matrix = found.matrix()
    assert matrix.loc["sufficiency", "comprehensiveness"] == matrix.loc["comprehensiveness", "sufficiency"]
    assert set(found.pairs["over"]) == {"explainers"}  # no variance over texts, no width


def test_intervals_are_over_texts_and_hold_weak_agreement(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of({COMP: MEANS[COMP], SUFF: MEANS[SUFF]}, noise=3.0))
    one, same = (faithbench.meta_evaluation([run]).pairs.iloc[0] for _ in range(2))
    assert one["low"] < one["tau"] <= one["high"]
    assert one["high"] - one["low"] > 0.1
    assert one.equals(same)


def test_agreement_is_averaged_over_models(tmp_path: Path):
    turned = {COMP: MEANS[COMP], SUFF: [-x for x in MEANS[SUFF]]}
    records = records_of({COMP: MEANS[COMP], SUFF: MEANS[SUFF]}) + records_of(turned, model="bcos-tiny(b=2.0, seed=42)")
    row = faithbench.meta_evaluation([run_of(tmp_path / "run", records)]).pairs.iloc[0]
    assert row["tau"] == pytest.approx(0.0, abs=1e-12)
    assert row["places"] == 2


def test_metrics_of_different_data_sets_are_compared_under_models_of_one_name_over_common_explainers(tmp_path: Path):
    here = records_of({COMP: MEANS[COMP]}, dataset="hatexplain", dataset_fingerprint="h", model_fingerprint="x")
    there = records_of({"evidence": [6, 2, 3, 4, 5]}, explainers=[*EXPLAINERS[:4], "else"])
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", here + there)])
    row = found.pairs.iloc[0]
    assert (bool(row["across"]), row["explainers"]) == (True, 4)
    assert row["tau"] == pytest.approx(stats.kendalltau([6, 2, 3, 4], [1, 2, 3, 4]).statistic)
    assert "0.00*" in found.render()
    assert "* never measured on one data set" in found.render()
    other = [r for r in there if r.model != "conv-tiny(seed=42)"] + records_of(
        {"evidence": [6, 2, 3, 4, 5, 1]}, model="bcos-tiny(b=2.0, seed=42)"
    )
    with pytest.raises(UserError, match="no two metrics with a better and worse ranked the same 3 explainers"):
        faithbench.meta_evaluation([run_of(tmp_path / "other", here + other)])


def test_metrics_are_listed_by_how_well_they_predict_the_truth_with_their_cost(tmp_path: Path):
    records = records_of({"evidence": MEANS["evidence"], SUFF: MEANS[SUFF]}, rows=10) + records_of(
        {COMP: MEANS[COMP]}, rows=4
    )
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records)])
    assert found.truth["metric"].tolist() == [COMP, SUFF]
    assert found.truth["rows a text"].tolist() == [4.0, 10.0]
    assert found.truth["tau"].iloc[0] == pytest.approx(stats.kendalltau(MEANS["evidence"], MEANS[COMP]).statistic)
    text = found.render()
    assert text.index("Which metric predicts the ground truth?") < text.index("| comprehensiveness | faithfulness")


def test_a_ground_truth_that_is_not_the_models_is_left_out_and_said(tmp_path: Path):
    there = records_of(MEANS)
    other = {**MEANS, "evidence": [6, 5, 4, 3, 2, 1]}
    here = records_of(other, model="conv-tiny(seed=7)")
    checks = {"accuracy with trigger": 99.0, "accuracy without trigger": 98.0}
    doubted = run_of(tmp_path / "doubted", here, checks=checks)
    run = run_of(tmp_path / "run", there)
    found = faithbench.meta_evaluation([run, doubted])
    pd.testing.assert_frame_equal(found.truth, faithbench.meta_evaluation([run]).truth)
    assert found.doubted[0].startswith("conv-tiny(seed=7, masking=none) on planted: the ground truth does not hold")
    assert "left out where it does not hold. conv-tiny" in found.render()
    assert not faithbench.meta_evaluation([run]).doubted
    holds = run_of(tmp_path / "holds", here, checks={**checks, "accuracy without trigger": 50.0})
    assert faithbench.meta_evaluation([run, holds]).truth["tau"].iloc[0] < found.truth["tau"].iloc[0]
    alone = faithbench.meta_evaluation([doubted])
    assert alone.truth.empty
    assert len(alone.pairs) == 1
    elsewhere = faithbench.meta_evaluation([doubted], kept=lambda records: records[records["metric"] != "evidence"])
    assert not elsewhere.doubted  # nothing was left out
    pd.testing.assert_frame_equal(elsewhere.pairs, alone.pairs)
    few = run_of(tmp_path / "few", records_of({"evidence": MEANS["evidence"], COMP: MEANS[COMP]}), checks=checks)
    with pytest.raises(
        UserError, match=r"5 explainers|6 explainers\. Metrics of the ground truth are left out .* planted"
    ):
        faithbench.meta_evaluation([few])


@pytest.mark.parametrize("name", ["conv-tiny(seed=42)", "models/tuned on imdb"])
def test_a_ground_truth_is_doubted_of_the_weights_that_were_checked_alone(name: str, tmp_path: Path):
    fails = {"accuracy with trigger": 99.0, "accuracy without trigger": 98.0}
    other = {**MEANS, "evidence": [6, 5, 4, 3, 2, 1]}
    doubted = run_of(tmp_path / "doubted", records_of(other, model=name, model_fingerprint="w2"), checks=fails)
    run = run_of(tmp_path / "run", records_of(MEANS, model=name, model_fingerprint="w1"))
    found = faithbench.meta_evaluation([run, doubted])
    pd.testing.assert_frame_equal(found.truth, faithbench.meta_evaluation([run]).truth)
    assert len(found.doubted) == 1


def test_whether_the_ranking_survives_the_operator(tmp_path: Path):
    names = {operator: f"comprehensiveness(protocol=strict, operator={operator})" for operator in ("mask", "pad")}
    records = records_of({names["mask"]: MEANS[COMP], names["pad"]: MEANS["evidence"], SUFF: MEANS[SUFF]})
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records)])
    row = found.operators.iloc[0]
    assert len(found.operators) == 1
    assert (row["metric"], row["operator a"], row["operator b"]) == (
        "comprehensiveness(protocol=strict)",
        "mask",
        "pad",
    )
    assert row["tau"] == pytest.approx(stats.kendalltau(MEANS[COMP], MEANS["evidence"]).statistic)
    assert "survive the perturbation operator" in found.render()


def test_explainers_without_a_value_and_equal_rankings_are_left_out(tmp_path: Path):
    means = {COMP: [1, 2, 3, 4, 5, math.nan], SUFF: [-2, -1, math.nan, -3, -4, -9], "evidence": [5] * 6}
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records_of(means))]).pairs
    assert found[["metric_a", "metric_b"]].to_numpy().tolist() == [[COMP, SUFF]]  # all tie by evidence: no ranking
    assert found["explainers"].iloc[0] == 4
    assert found["tau"].iloc[0] == pytest.approx(stats.kendalltau([1, 2, 4, 5], [2, 1, 3, 4]).statistic)


def test_two_explainers_are_no_ranking(tmp_path: Path):
    means = {COMP: [1, 2], SUFF: [2, 1]}
    run = run_of(tmp_path / "run", records_of(means, explainers=["a", "b"]))
    with pytest.raises(UserError, match="the runs hold 2 such metrics and 2 explainers"):
        faithbench.meta_evaluation([run])


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = run_of(tmp_path / "run", records_of(MEANS, noise=1.0))
    ended = call(capsys, "meta", run, "--plot", tmp_path / "map.svg")
    assert (ended.status, ended.out) == (0, faithbench.meta_evaluation([run]).render())
    drawn = (tmp_path / "map.svg").read_text()
    matrix = faithbench.meta_evaluation([run]).matrix()
    for name in matrix.index:
        assert f">{name}  " in drawn
    for value in matrix.to_numpy()[np.triu_indices(3, 1)]:
        assert f">{value:.2f}<" in drawn
    assert call(capsys, "meta", run, "--plot", tmp_path / "again.svg").status == 0
    assert (tmp_path / "again.svg").read_text() == drawn
    csv = call(capsys, "meta", run, "--format", "csv").out
    assert len(pd.read_csv(io.StringIO(csv))) == 3


def test_mistakes_are_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = faithbench.meta_evaluation([run_of(tmp_path / "run", records_of(MEANS))])
    with pytest.raises(UserError, match=r"'.*map.txt' does not end in .svg or .png or .pdf"):
        found.plot(tmp_path / "map.txt")
    with pytest.raises(UserError, match="cannot be written: No such file"):
        found.plot(tmp_path / "none" / "map.svg")
    with pytest.raises(UserError, match="format 'docx' is not known; use markdown or "):
        found.render("docx")
    for name in ("faithbench.comparing.heatmap", "faithbench.tables.drawing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(faithbench, "heatmap", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"a figure needs matplotlib .*: pip install 'faithbench\[plot\]'"):
        found.plot(tmp_path / "map.svg")


def test_rankings_are_of_the_same_texts_for_all_explainers(tmp_path: Path):
    records = records_of(MEANS)
    easy = [  # e0, the worst of all, on many more texts, on which everything is high
        r for text in range(N, 3 * N // 2) for r in column([0] * text + [99.0], explainer="e0", metric=COMP)[-1:]
    ]
    rare = column([99.0] * 5, explainer="rare", metric=COMP)  # on fewer than half of the texts
    plain = faithbench.meta_evaluation([run_of(tmp_path / "plain", records)])
    mixed = faithbench.meta_evaluation([run_of(tmp_path / "mixed", [*records, *easy, *rare])])
    pd.testing.assert_frame_equal(mixed.matrix(), plain.matrix())
    assert set(mixed.pairs["explainers"]) == {6}


def test_explainers_with_equal_scores_count_once(tmp_path: Path):
    means = {COMP: MEANS[COMP], SUFF: MEANS[SUFF]}
    records = records_of(means, noise=1.0)
    copies = [replace(r, explainer=f"z{r.explainer}") for r in records if r.explainer in ("e0", "e5")]
    short = [r for r in copies if not (r.explainer == "ze0" and r.metric == SUFF)]
    plain = faithbench.meta_evaluation([run_of(tmp_path / "plain", records)])
    for name, more in (("copies", copies), ("short", short)):
        found = faithbench.meta_evaluation([run_of(tmp_path / name, [*records, *more])])
        pd.testing.assert_frame_equal(found.pairs, plain.pairs)
        here = "for conv-tiny(masking=none) on planted"
        told = f"count once: ze0 = e0 {here}; ze5 = e5 {here}."
        assert told in found.render()
    assert "count once" not in plain.render()


def test_an_equal_explainer_stands_in_where_the_first_has_no_value(tmp_path: Path):
    records = records_of({COMP: MEANS[COMP], SUFF: MEANS[SUFF]}, noise=1.0)
    split = [r for r in records if not (r.explainer == "e0" and r.metric == SUFF)]
    split += [replace(r, explainer="ze0") for r in records if r.explainer == "e0"]
    plain, found = (
        faithbench.meta_evaluation([run_of(tmp_path / name, each)]).pairs
        for name, each in (("plain", records), ("split", split))
    )
    pd.testing.assert_frame_equal(found, plain)
