"""Tables as pure functions of records."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from records import COMP, ENTROPY, SUFF, column, record, run_of
from scipy import stats

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.tables.table import failures, models, render, table


def cells(text: str, explainer: str) -> list[list[str]]:
    """The cells of an explainer's lines in all tables, its name left out."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [line[1:] for line in lines if line[0] == explainer]


def ranked(tmp_path: Path, n: int = 60, metric: str = COMP) -> Path:
    """By the means a before b before c before d; a and b differ by nothing that could be shown."""
    generator = np.random.default_rng(0)
    base, records = generator.normal(50, 20, n), []
    for name, shift in {"a": 20.0, "b": 19.9, "c": 10.0, "d": 0.0}.items():
        sign = 1 if metric == COMP else -1
        records += column(sign * (base + shift + generator.normal(0, 2, n)), explainer=name, metric=metric)
    return run_of(tmp_path / metric[:4], records)


def test_means_and_intervals_are_those_of_the_values(tmp_path: Path):
    values = np.random.default_rng(0).normal(10, 3, 50)
    row = table([run_of(tmp_path / "run", column(values))]).iloc[0]
    expected = stats.bootstrap(
        (np.array([values[i] for i in sorted(range(50), key=str)]),),  # texts are drawn in the order of their ids
        np.mean,
        n_resamples=1999,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), rel=1e-9)
    assert (row["interval"], row["n"], row["undefined"], row["failed"]) == ("bca", 50, 0, 0)


def test_means_are_weighted_and_a_missing_weight_is_one(tmp_path: Path):
    records = [record(1.0, 0, weight=3.0), record(5.0, 1, weight=1.0), record(8.0, 2, weight=math.nan)]
    run = run_of(tmp_path / "run", records)
    assert table([run]).iloc[0]["mean"] == pytest.approx((3 * 1 + 5 + 8) / 5)
    path = next((run / "records").iterdir())
    pd.read_parquet(path).drop(columns="weight").to_parquet(path)  # as published before there were weights
    assert table([run]).iloc[0]["mean"] == pytest.approx((1 + 5 + 8) / 3)


def test_undefined_and_failed_texts_are_counted_and_not_averaged(tmp_path: Path):
    records = [record(4.0, 0), record(6.0, 1), record(math.nan, 2), record(math.nan, 3, error="ValueError: no")]
    folder = run_of(tmp_path / "run", records)
    row = table([folder]).iloc[0]
    assert (row["mean"], row["n"], row["undefined"], row["failed"]) == (5.0, 2, 1, 1)
    assert cells(render([folder]), "occlusion") == [["5.0 ± 1.0 (1 failed, 1 undefined)"]]
    assert failures([folder]).iloc[0].to_dict()["error"] == "ValueError: no"


def test_cells_that_were_not_run_are_empty_and_never_zero(tmp_path: Path):
    records = [record(1.0, 0), record(2.0, 0, explainer="random(seed=0)", metric=SUFF)]
    assert cells(render([run_of(tmp_path / "run", records)]), "occlusion") == [["1.00", ""]]


@pytest.mark.parametrize("metric", [COMP, SUFF])
def test_the_best_and_those_level_with_it_are_bold_in_the_metrics_direction(tmp_path: Path, metric: str):
    run = ranked(tmp_path, metric=metric)
    frame = table([run]).set_index("explainer")
    assert frame["rank_group"].to_dict() == {"a": 1, "b": 1, "c": 2, "d": 3}
    assert frame["tied_with_best"].to_dict() == {"a": True, "b": True, "c": False, "d": False}
    text = render([run])
    assert [cells(text, name)[0][0].startswith("**") for name in "abcd"] == [True, True, False, False]
    assert f"{'Higher' if metric == COMP else 'Lower'} is better: {metric.partition('(')[0]}." in text


def test_a_metric_without_better_or_worse_has_no_best(tmp_path: Path):
    run = run_of(tmp_path / "run", column([1, 2, 3], metric=ENTROPY) + column([4, 5, 6], metric="gone(from=here)"))
    frame = table([run])
    assert frame["rank_group"].isna().all()
    assert frame["tied_with_best"].isna().all()
    text = render([run])
    assert "**1" not in text
    assert "**2" not in text
    assert "No better or worse: entropy, gone(from=here)." in text


def test_too_few_texts_give_no_rank_and_a_lone_explainer_is_not_bold(tmp_path: Path):
    for n, group in ((5, None), (6, 1)):  # the smallest p of 5 texts is 1/16
        run = run_of(tmp_path / str(n), column([1.0] * n, explainer="a") + column([9.0] * n, explainer="random"))
        frame = table([run]).set_index("explainer")
        assert frame.loc["a", "rank_group"] is pd.NA if group is None else frame.loc["a", "rank_group"] == 2
        assert ("**9" in render([run])) == (n == 6)
        assert ("5 texts. Too few texts to rank explainers, which takes 6: comprehensive" in render([run])) == (n == 5)
    assert "fewer than 6 texts could show nothing" in render([run])
    lone = run_of(tmp_path / "lone", column([9, 8, 9]))
    assert "**9" not in render([lone])
    nothing = run_of(tmp_path / "none", column([9, 8], explainer="a") + column([math.nan] * 2, explainer="b"))
    frame = table([nothing]).set_index("explainer")
    assert pd.isna(frame.loc["b", "rank_group"])
    assert cells(render([nothing]), "b") == [["(2 undefined)"]]


def test_who_was_measured_on_fewer_texts_has_no_rank_and_makes_nobody_tie(tmp_path: Path):
    generator = np.random.default_rng(0)
    base = generator.normal(40, 20, 150)
    records = column(base + 20, explainer="good") + column(base, explainer="random(seed=0)")
    records += column(base[:5] + 30, explainer="costly")  # the highest mean, which 5 texts cannot tell from anything
    run = run_of(tmp_path / "run", records)
    frame = table([run]).set_index("explainer")
    assert frame["rank_group"].astype(object).where(frame["rank_group"].notna(), None).to_dict() == {
        "costly": None,
        "good": 1,
        "random(seed=0)": 2,
    }
    text = render([run])
    assert cells(text, "costly")[0][0].endswith("; too few texts (5 of 150)")
    assert [cells(text, name)[0][0].startswith("**") for name in ("good", "random", "costly")] == [True, False, False]


def test_no_text_in_common_is_no_tie(tmp_path: Path):
    one, other = column(range(30), explainer="a"), column(range(60), explainer="b")[30:]
    frame = table([run_of(tmp_path / "run", one + other)])
    assert frame["rank_group"].isna().all()
    assert frame["tied_with_best"].isna().all()


def test_undefined_values_cost_no_rank_and_failures_on_most_texts_do(tmp_path: Path):
    values = np.random.default_rng(0).normal(50, 10, 60)
    some = np.where(np.arange(60) < 20, math.nan, values - 5)
    records = column(values, explainer="a") + column(some, explainer="b")
    records += column(values[:7] + 50, explainer="c")
    records += [record(math.nan, text, explainer="c", error="no") for text in range(7, 60)]
    run = run_of(tmp_path / "run", records)
    frame = table([run]).set_index("explainer")
    assert (frame.loc["a", "rank_group"], frame.loc["b", "rank_group"]) == (1, 2)
    assert frame.loc["c", "rank_group"] is pd.NA
    assert cells(render([run]), "c")[0][0].endswith("; too few texts (7 of 60)")


def test_who_is_beaten_shares_no_rank_with_the_winner_whatever_the_best_shows(tmp_path: Path):
    generator = np.random.default_rng(0)
    base = generator.normal(30, 1, 60)
    scattered = np.where(np.arange(60) < 3, 100.0, -70.0) * np.sign(generator.normal(size=60)) + 45
    records = column(scattered + 38 - scattered.mean(), explainer="noisy")
    records += column(base + 5, explainer="steady") + column(base, explainer="random(seed=0)")
    frame = table([run_of(tmp_path / "run", records)]).set_index("explainer")
    assert frame["mean"].idxmax() == "noisy"
    assert frame["rank_group"].to_dict() == {"noisy": 1, "steady": 1, "random(seed=0)": 2}


def test_equal_scores_count_once_in_ranks_and_tests(tmp_path: Path):
    generator = np.random.default_rng(0)
    base = generator.normal(50, 10, 40)
    records = []
    for name, shift in {"a": 0.0, "b": 1.0, "c": 2.0}.items():
        records += column(base + shift + generator.normal(0, 1, 40), explainer=name)
    alone = table([run_of(tmp_path / "alone", records)]).set_index("explainer")
    copies = column([r.value + 1e-6 for r in records if r.explainer == "a"], explainer="copy")
    copies += column([r.value for r in records if r.explainer == "c"][:9], explainer="short")
    run = run_of(tmp_path / "run", [*records, *copies])
    frame = table([run]).set_index("explainer")
    assert frame.loc["copy", ["equal_to", "equal_on"]].tolist() == ["a", 40]
    assert frame.loc["copy", "rank_group"] == frame.loc["a", "rank_group"]
    assert frame.loc["short", ["equal_to", "equal_on"]].tolist() == ["c", 9]
    assert frame.loc["short", "rank_group"] is pd.NA
    assert list(frame.loc[["a", "b", "c"], "rank_group"]) == list(alone["rank_group"])
    assert set(frame["texts_needed"]) == set(alone["texts_needed"]) == {7}  # 3 pairs, not 6 or 10
    text = render([run])
    here = "(equal on all 40 texts) for conv-tiny(masking=none) on planted"
    assert f"count once in ranks and tests: copy = a {here}; short = c" in text
    other = column([r.value + 5 * (r.unit == "7") for r in records if r.explainer == "a"], explainer="other")
    assert set(table([run_of(tmp_path / "other", [*records, *other])])["equal_to"]) == {""}


def test_degraded_copies_are_not_ranked_and_cost_others_no_test(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = {"occlusion": rng.normal(10, 1, 40), "saliency": rng.normal(8, 1, 40)}
    copies = {f"degraded(occlusion, share={share})": rng.normal(20, 1, 40) for share in (0.25, 0.5, 0.75)}
    copies["degraded(occlusion, share=0.0)"] = values["occlusion"]  # equal to what is ranked, and first by name

    def run(name: str, given: dict[str, np.ndarray]) -> pd.DataFrame:
        named = {spec.build("explainer", each).identity: column for each, column in given.items()}
        records = [r for each, column_ in named.items() for r in column(column_, explainer=each)]
        return table([run_of(tmp_path / name, records)]).set_index("explainer")

    both, alone = run("both", values | copies), run("alone", values)
    ranks = ["rank_group", "ranked_on", "texts_needed", "equal_to", "equal_on", "tied_with_best"]
    pd.testing.assert_frame_equal(both.loc[alone.index, ranks], alone[ranks])
    assert both.drop(alone.index)[["rank_group", "ranked_on", "equal_on"]].isna().all(axis=None)
    assert both["mean"].notna().all()
    text = render([tmp_path / "both"])
    assert "Degraded copies of explainers are not ranked" in text
    assert "Degraded" not in render([tmp_path / "alone"])
    assert not any("**" in line for line in text.splitlines() if line.startswith("| degraded"))
    only = run("only", copies)
    assert only["rank_group"].isna().all()
    assert "too few texts" not in render([tmp_path / "only"]).lower()


def test_a_negligible_mean_difference_is_none_where_values_are_not_equal(tmp_path: Path):
    values = np.random.default_rng(0).normal(40, 10, 30)
    for gap, groups in ((0.0045, {1}), (0.0065, {1, 2})):  # half of the texts are further apart than what is negligible
        gaps = gap + np.where(np.arange(30) % 2, 0.001, -0.001)
        run = run_of(tmp_path / str(gap), [*column(values), *column(values + gaps, explainer="other")])
        frame = table([run])
        assert (set(frame["rank_group"]), set(frame["equal_to"])) == (groups, {""})


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_negligible_is_a_share_of_the_range_whatever_the_unit(tmp_path: Path, unit: float):
    values = unit * np.random.default_rng(0).uniform(-8, 0, 30)  # of a metric whose range has no ends
    for gap, groups in ((1e-5, {1}), (1e-3, {1, 2})):
        pair = column(values, metric="log_odds") + column(values + gap * unit, metric="log_odds", explainer="other")
        assert set(table([run_of(tmp_path / str(gap), pair)])["rank_group"]) == groups


def test_kinds_of_metrics_have_tables_of_their_own(tmp_path: Path):
    records = [
        r
        for metric in (COMP, ENTROPY, "evidence", "rationale_auprc(annotators=union)")
        for r in column([1.0, 2.0], metric=metric)
    ]
    text = render([run_of(tmp_path / "run", records)])
    headings = [line.strip("*").partition(":")[0] for line in text.splitlines() if line.startswith("*") and ":" in line]
    assert headings == ["ground truth", "faithfulness", "plausibility", "simplicity"]
    assert "*plausibility: agreement with people, not faithfulness*" in text
    assert len(cells(text, "occlusion")) == 4
    frame = table([tmp_path / "run"]).set_index("metric")
    assert frame.loc["evidence", "kind"] == "ground truth"


def test_lopsided_intervals_are_written_out_and_decimals_follow_the_width(tmp_path: Path):
    generator = np.random.default_rng(0)
    records = column(100 * generator.beta(0.05, 3, 40), explainer="lopsided") + column(
        generator.normal(50, 5, 400), explainer="even"
    )
    text = render([run_of(tmp_path / "run", records)])
    row = table([tmp_path / "run"]).set_index("explainer").loc["lopsided"]
    assert row["high"] - row["mean"] > 1.2 * (row["mean"] - row["low"])
    assert cells(text, "lopsided")[0][0].startswith(f"{row['mean']:.1f} ({row['low']:.1f}, {row['high']:.1f}); too few")
    assert cells(text, "even")[0][0].strip("*").split(" ± ")[1] == "0.5"
    narrow = run_of(tmp_path / "narrow", column(generator.normal(2.5, 0.2, 100), metric=ENTROPY))
    assert cells(render([narrow]), "occlusion")[0][0].partition(" ± ")[2] == "0.04"


def test_means_that_look_alike_are_tied_whatever_a_test_says(tmp_path: Path):
    values = np.random.default_rng(0).normal(40, 10, 30)
    for gap, tied in ((0.004, True), (0.006, False)):  # the same on every text: p is as small as it can be
        other = column(values + gap, explainer="random(seed=0)")
        run = run_of(tmp_path / str(gap), [*column(values), *other])
        frame = table([run]).set_index("explainer")
        assert list(frame.loc[["occlusion", "random(seed=0)"], "tied_with_best"]) == [tied, True]


def test_cells_of_fewer_texts_say_so(tmp_path: Path):
    few = column([1.0, math.nan, 3.0], explainer="random(seed=0)")
    text = render([run_of(tmp_path / "ranked", [*column(range(5)), *few])])
    assert "of" not in cells(text, "occlusion")[0][0]
    assert cells(text, "random")[0][0].endswith("(1 undefined); too few texts (3 of 5)")
    unranked = [r for number in (5, 3) for r in column(range(number), explainer=str(number), metric=ENTROPY)]
    assert cells(render([run_of(tmp_path / "unranked", unranked)]), "3")[0][0].endswith("(of 3 texts)")


def test_a_zero_has_no_sign(tmp_path: Path):
    text = render([run_of(tmp_path, column([-0.0001, 0.00005, -0.0002]))])
    assert cells(text, "occlusion")[0] == ["0.00 ± 0.00"]


def test_components_that_would_have_one_name_are_written_out(tmp_path: Path):
    other = "comprehensiveness(protocol=strict, operator=mask)"
    text = render([run_of(tmp_path / "run", [record(1.0, 0), record(2.0, 0, metric=other)])])
    assert cells(text, "occlusion") == [["1.00", "2.00"]] or cells(text, "occlusion") == [["2.00", "1.00"]]
    assert other in text


def test_a_model_trained_anew_is_a_line_of_its_own(tmp_path: Path):
    folder = run_of(tmp_path / "run", [record(1.0, 0), record(3.0, 0, model_fingerprint="other")])
    assert sorted(table([folder])["mean"]) == [1.0, 3.0]
    assert render([folder]).count("**conv-tiny") == 2


def test_seeds_are_put_together_and_their_spread_kept_apart_from_that_over_texts(tmp_path: Path):
    values = np.random.default_rng(0).normal(50, 10, 40)
    shifts = {1: 0.0, 2: 3.0, 3: 9.0}
    records = [
        r
        for seed, shift in shifts.items()
        for r in column(values + shift, model=f"conv-tiny(seed={seed})", model_fingerprint=f"w{seed}")
    ]
    run = run_of(tmp_path / "run", [*records, *column(values, model="owner/model", model_fingerprint="w0")])
    frame = table([run], over_seeds=True).set_index("model")
    merged, single = frame.loc["conv-tiny"], frame.loc["owner/model"]
    assert merged["mean"] == pytest.approx(values.mean() + 4)
    assert (merged["seeds"], merged["n"]) == (3, 40)
    assert merged["seed_deviation"] == pytest.approx(np.std([0, 3, 9], ddof=1))
    over_trainings = stats.ttest_1samp(values.mean() + np.array([0, 3, 9]), 0).confidence_interval()
    assert (merged["seed_low"], merged["seed_high"]) == pytest.approx(tuple(over_trainings), rel=1e-9)
    assert (merged["low"] - 4, merged["high"] - 4) == pytest.approx((single["low"], single["high"]), rel=1e-8)
    assert single["seeds"] == 1
    assert all(math.isnan(single[name]) for name in ("seed_deviation", "seed_low", "seed_high"))
    text = render([run], over_seeds=True)
    assert f"; seeds ± {np.std([0, 3, 9], ddof=1):.1f}" in text
    assert "3 trainings" in text
    assert "are put together" in text
    other = render([run_of(tmp_path / "none", column(values, model="owner/model"))], over_seeds=True)
    assert "Nothing was put together over seeds: nowhere have two models" in other
    assert "are put together" not in other


def test_each_training_counts_alike_whatever_its_weights_and_gaps(tmp_path: Path):
    one = column([10, 20, 30], model="conv-tiny(seed=1)", weight=5.0)
    two = column([50, math.nan, 90], model="conv-tiny(seed=2)", model_fingerprint="x")
    failed = [record(math.nan, 3, model="conv-tiny(seed=2)", model_fingerprint="x", error="no")]
    row = table([run_of(tmp_path / "run", one + two + failed)], over_seeds=True).iloc[0]
    assert row["mean"] == pytest.approx((20 + 70) / 2)
    assert (row["n"], row["undefined"], row["failed"], row["seeds"]) == (3, 0, 1, 2)


def test_two_records_of_one_identity_in_two_runs_are_an_error_unless_equal(tmp_path: Path):
    one = run_of(tmp_path / "one", [record(1.0, 0)])
    same, other = run_of(tmp_path / "same", [record(1.0, 0)]), run_of(tmp_path / "other", [record(2.0, 0)])
    assert len(table([one, same])) == 1
    with pytest.raises(UserError, match="two different records"):
        table([one, other])


def test_what_failed_in_one_run_may_have_worked_in_another_and_only_the_latest_version_counts(tmp_path: Path):
    failed = run_of(tmp_path / "failed", [record(math.nan, 0, error="no")])
    worked = run_of(tmp_path / "worked", [record(1.0, 0)])
    for order in ([failed, worked], [worked, failed]):
        assert (table(order)["mean"].tolist(), table(order)["failed"].tolist()) == ([1.0], [0])
    versions = [record(1.0, 0, version="1.9"), record(2.0, 0, version="1.10"), record(5.0, 1, version="1.9")]
    assert table([run_of(tmp_path / "versions", versions)])["mean"].tolist() == [2.0]


def test_by_class_keeps_the_classes_explained_apart(tmp_path: Path):
    folder = run_of(tmp_path / "run", [record(1.0, 0), record(3.0, 1), record(8.0, 2, target=0)])
    frame = table([folder], by_class=True)
    assert list(zip(frame["target"], frame["mean"], frame["n"], strict=True)) == [(0, 8.0, 1), (1, 2.0, 2)]
    assert "conv-tiny(masking=none)** on planted, class explained: 0\n" in render([folder], by_class=True)


def test_checks_of_a_training_stand_beside_its_accuracy(tmp_path: Path):
    checks = {"accuracy with trigger": 99.1, "by class": [52.0, 48.5]}
    run = run_of(tmp_path / "run", [record(1.0, 0)], checks=checks)
    row = models([run]).iloc[0]
    assert (row["accuracy with trigger"], row["by class"]) == (99.1, "52.00 / 48.50")
    assert cells(render([run]), "planted")[0][-2:] == ["99.10", "52.00 / 48.50"]


def test_csv_is_tidy(tmp_path: Path):
    text = render([run_of(tmp_path / "run", [record(1.25, 0), record(1.75, 1)])], "csv")
    assert text.splitlines()[0] == (
        "dataset,dataset_fingerprint,model,model_fingerprint,explainer,metric,kind,mean,low,high,interval,raw_mean,"
        "post_stratified,n,undefined,failed,rank_group,ranked_on,texts_needed,equal_to,equal_on,tied_with_best"
    )
    assert text.splitlines()[1].endswith(
        ",faithfulness,1.5000,1.2500,1.7500,percentile,1.5000,False,2,0,0,1,2,1,,,True"
    )


def test_an_unknown_format_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="format 'latx' is not known; use markdown or latex or terminal or html or csv"):
        render([run_of(tmp_path / "run", [record(1.0, 0)])], "latx")


def test_what_explainers_noted_is_said_with_model_and_data(tmp_path: Path):
    run = run_of(tmp_path / "run", column([1.0, 2.0]), notes={"occlusion": {"completeness_gap": 0.25}})
    assert (
        "occlusion on conv-tiny(masking=none), planted: mean absolute completeness gap 0.25."
        in render([run]).splitlines()
    )


TWO = {"class_names": ["no", "yes"]}


@pytest.mark.parametrize(
    ("models", "entry", "dataset", "told"),
    [
        (("conv-tiny(seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42)"), TWO, "planted", True),
        (("conv-tiny(seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42, loss=ce)"), TWO, "planted", False),
        (("bcos-tiny(b=1.5, qkv=False, loss=ce)", "bcos-tiny(b=1.5, qkv=False)"), TWO, "planted", True),
        (("bcos-tiny(b=1.0, qkv=False, seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42)"), TWO, "planted", False),
        (("conv-gpt2(layers=4)", "bcos-gpt2(layers=4)"), TWO, "blimp", False),
        (("conv-tiny(seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42)"), {"class_names": [*"abc"]}, "planted", False),
        (("conv-tiny(seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42)"), {}, "planted", False),
        (("conv-tiny(seed=42)", "bcos-tiny(b=1.5, qkv=False, seed=42)"), TWO, "seqpg(dataset=planted)", False),
        (("folder", "bcos-tiny(b=1.5, qkv=False, seed=42)"), TWO, "planted", False),  # of an unknown loss
    ],
)
def test_models_whose_outputs_were_trained_by_two_losses_are_said_to_be_on_two_scales(
    models, entry, dataset, told, tmp_path: Path
):
    for model in models:
        run_of(tmp_path / model, column([1.0, 2.0], model=model, dataset=dataset), **entry)
    assert ("trained with binary cross-entropy" in render([tmp_path / model for model in models])) is told


def test_a_folder_is_of_the_loss_that_its_model_was_trained_with(tmp_path: Path):
    trained = {"model": "bcos-tiny(b=1.5, qkv=False, seed=42)"}
    bcos = run_of(tmp_path / "bcos", column([1.0], model="folder"), training=trained, **TWO)
    assert "trained with binary cross-entropy" not in render([bcos])
    for dataset, told in (("planted", True), ("elsewhere", False)):
        other = run_of(tmp_path / dataset, column([1.0], model="conv-tiny(seed=42)", dataset=dataset), **TWO)
        assert ("trained with binary cross-entropy" in render([bcos, other])) is told
