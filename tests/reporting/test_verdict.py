"""The verdict of a report: a sentence by rule for each way in which a contest of explainers can end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records import ENTROPY, column, run_of
from reports import COMP, RANDOM, SRG, SUFF, records_of, values_of

import faithbench
from faithbench.records.results import panels, predicted_classes, read
from faithbench.reporting.contest import Contest, contest, leading_metric
from faithbench.reporting.verdict import headline, remarks, trusted, verdict

A, B, C = (
    "occlusion(window=1, baseline=mask, contrastive=False)",
    "saliency(contrastive=False)",
    "attention(variant=raw)",
)


def contest_of(folder: Path, records) -> Contest | None:
    run = run_of(folder / "run", records)
    (panel,) = panels(read([run]), predicted=predicted_classes([run]))
    return contest(panel, faithbench.table([run]), {}, np.nan)


def said(folder: Path, values: dict[str, float], n: int = 40, metric: str = SRG) -> str:
    return verdict(contest_of(folder, records_of(values_of(n, **values), metric)))


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        (
            {A: 20, B: 20, C: 0, RANDOM: 0},
            "Trust {A} and {B}, which cannot be told apart; not {C}, which is not shown to beat random (srg, n = 40, "
            "detects ",
        ),
        ({A: 20, B: 10, RANDOM: 0}, "Trust {A}, the best; {B} beats random too, but is behind (srg, n = 40"),
        ({A: 20, B: 10, C: 5, RANDOM: 0}, "Trust {A}, the best; {B} and {C} beat random too, but are behind (srg"),
        ({A: 20, B: -10, RANDOM: 0}, "Trust {A}, the best; not {B}, which is worse than random (srg, n = 40"),
        ({A: 0, B: 0, RANDOM: 0}, "Do not trust {A} or {B}: none is shown to beat random (srg, n = 40"),
        ({A: 0, RANDOM: 0}, "Do not trust {A}: it is not shown to beat random (srg, n = 40"),
        ({A: -9, RANDOM: 0}, "Do not trust {A}: it is worse than random (srg, n = 40"),
        (
            {A: 0, B: -9, RANDOM: 0},
            "Do not trust {A}: it is not shown to beat random; not {B}, which is worse than random",
        ),
        ({A: 9, RANDOM: 0}, "Trust {A} (srg, n = 40"),
        (
            {A: 9, B: 9},
            "{A} and {B} cannot be told apart; it is not known whether they beat chance, for random scores were not "
            "measured (--explainer random) (srg, n = 40",
        ),
        ({A: 9, B: 2}, "{A} is the best, ahead of {B}; it is not known whether it beats chance"),
        ({A: 9}, "Only {A} was measured, and there is nothing to compare it with: random scores were not measured"),
        ({RANDOM: 0}, "Only random scores were measured, so there is nothing to judge (srg, n = 40"),
    ],
)
def test_every_end_of_a_contest_has_its_sentence(tmp_path: Path, means: dict[str, float], sentence: str):
    names = {"A": "occlusion", "B": "saliency", "C": "attention"}
    found = said(tmp_path, means)
    assert found.startswith(sentence.format(**names)), found
    assert found.endswith(").")


def test_a_short_verdict_is_the_headline(tmp_path: Path):
    found = contest_of(tmp_path, records_of(values_of(40, **{A: 9, RANDOM: 0}), SRG))
    assert headline(found) == (verdict(found), "")


def test_of_a_long_verdict_the_headline_says_who_is_trusted_and_why(tmp_path: Path):
    others = {B: 10, "integrated_gradients": 9, "input_x_gradient": 8, "decompx": 7}
    found = contest_of(tmp_path, records_of(values_of(40, **{A: 20, C: 0, RANDOM: 0, **others}), SRG))
    lead, rest = headline(found)
    assert lead.startswith("Trust occlusion, the best (better than random by srg, n = 40, detects ")
    assert lead.endswith(").")
    assert rest.endswith("beat random too, but are behind. Not attention, which is not shown to beat random.")


def noisy(n: int, base: dict[str, float], loud: str) -> dict[str, np.ndarray]:
    """Values of which one explainer's scatter so much that little is shown of it."""
    values, draws = values_of(n, **base), np.random.default_rng(1)
    noise = draws.normal(0, 15, n)
    return {**values, loud: values[loud] + noise - noise.mean()}


def test_ties_are_not_passed_on_so_who_is_behind_one_of_the_best_is_not_said_to_be_behind_all(tmp_path: Path):
    values = noisy(40, {A: 3, B: 1.5, C: 0, RANDOM: -30}, B)
    found = contest_of(tmp_path, records_of(values))
    assert verdict(found).startswith(
        "Trust occlusion and saliency, which cannot be told apart; attention beats random too, but is behind some of "
        "the best (srg"
    )
    del values[RANDOM]
    (tmp_path / "bare").mkdir()
    assert verdict(contest_of(tmp_path / "bare", records_of(values))).startswith(
        "occlusion and saliency are the best and cannot be told apart; attention is behind some of the best; it is not"
    )


def test_who_is_trusted_alone_is_not_the_best_where_another_is_level_with_it(tmp_path: Path):
    found = contest_of(tmp_path, records_of(noisy(40, {A: 3, B: 1.5, RANDOM: 0}, B)))
    assert [(each.label, each.group) for each in found.judged] == [("occlusion", 1), ("saliency", 1)]
    assert verdict(found).startswith("Trust occlusion; not saliency, which is not shown to beat random (srg")


@pytest.mark.slow
def test_where_no_explainer_is_better_than_random_hardly_ever_one_is_trusted(tmp_path: Path):
    trusting, names, draws = 0, (A, B, C, "lime(n_samples=500)", "attention(variant=rollout)", RANDOM), (12, 40)
    for repetition in range(60):
        random, n = np.random.default_rng(repetition), draws[repetition % 2]
        common = random.normal(0, 5, n)
        values = {name: common + random.exponential(3, n) * (random.random(n) < 0.5) for name in names}
        trusting += bool(trusted(contest_of(tmp_path / str(repetition), records_of(values))))
    assert trusting <= 4  # of 60: at most 2.5 %, the better half of 5 %, and chance


def test_where_lower_is_better_the_lowest_is_trusted(tmp_path: Path):
    found = said(tmp_path, {A: -20, B: 20, RANDOM: 0}, metric=SUFF)
    assert found.startswith("Trust occlusion, the best; not saliency, which is worse than random (sufficiency, n = 40")


def test_too_few_texts_are_said_to_be_too_few(tmp_path: Path):
    found = said(tmp_path, {A: 20, B: 10, RANDOM: 0}, n=4)
    assert found == "No verdict: 4 texts are too few to rank occlusion and saliency, which takes 7 by srg."


def test_a_metric_without_better_or_worse_gives_no_verdict(tmp_path: Path):
    assert contest_of(tmp_path, column([1.0, 2.0], metric=ENTROPY)) is None
    assert verdict(None) == "No metric here says which explainer is better, so there is no verdict."
    assert list(remarks(None)) == []


def test_who_has_fewer_texts_is_not_ranked_and_the_remarks_say_so(tmp_path: Path):
    values = values_of(40, **{A: 20, B: 10, RANDOM: 0})
    values[B] = values[B][:10]
    found = contest_of(tmp_path, records_of(values))
    assert verdict(found).startswith("Trust occlusion (srg, n = 40")
    told = list(remarks(found))
    assert told[0] == "Not ranked, for want of texts that all were measured on: saliency (10 of 40 texts)."
    assert told[1].startswith("Detects ")
    assert told[1].endswith(
        " 40 texts would have shown a true difference of that size between two explainers 8 times in 10, at 5 % over "
        "all pairs (the median over these)."
    )


def test_explainers_with_the_same_scores_are_said_to_have_them(tmp_path: Path):
    values = values_of(40, **{A: 20, RANDOM: 0})
    found = contest_of(tmp_path, records_of({**values, B: values[A]}))
    assert "The same scores on all texts, so one place for both: saliency = occlusion." in remarks(found)
    assert [each.label for each in trusted(found)] == ["occlusion", "saliency"]


def test_random_scores_on_too_few_texts_are_not_called_unmeasured(tmp_path: Path):
    values = values_of(40, **{A: 20, B: 10, RANDOM: 0})
    values[RANDOM] = values[RANDOM][:10]
    assert "for random scores were measured on too few texts" in verdict(contest_of(tmp_path, records_of(values)))


def test_the_leading_metric_is_srg_then_comprehensiveness_then_another_that_ranks(tmp_path: Path):
    values = values_of(20, **{A: 9, RANDOM: 0})
    for metrics, leader in (
        ((SUFF, COMP, SRG), SRG),
        ((SUFF, COMP), COMP),
        ((SUFF, ENTROPY), SUFF),
        ((ENTROPY,), None),
    ):
        records = [one for metric in metrics for one in records_of(values, metric)]
        rows = faithbench.table([run_of(tmp_path / f"run-{'-'.join(name[:4] for name in metrics)}", records)])
        assert leading_metric(rows) == leader


def test_of_several_forms_the_usual_one_leads(tmp_path: Path):
    values = values_of(20, **{A: 9, RANDOM: 0})
    other = "comprehensiveness(protocol=strict, operator=delete)"
    records = [*records_of(values, other), *records_of(values, COMP)]
    assert leading_metric(faithbench.table([run_of(tmp_path / "run", records)])) == COMP


def test_what_a_contest_detects_is_what_compare_says(tmp_path: Path):
    records = records_of(values_of(40, **{A: 20, RANDOM: 10}))
    found = contest_of(tmp_path, records)
    row = faithbench.comparison("occlusion", "random", [tmp_path / "run"]).table().iloc[0]
    gap = found.entrants[0].from_random
    assert (gap.mean, gap.low, gap.high, gap.p, gap.n) == pytest.approx(
        (*row[["difference", "low", "high", "p"]], row["n"])
    )
    assert found.detects == pytest.approx(row["detectable"])


def test_where_the_best_are_not_shown_to_beat_random_but_another_is_nobody_is_trusted_yet(tmp_path: Path):
    found = contest_of(tmp_path, records_of(values_of(40, **{A: 20, B: 10, RANDOM: 0})))
    first, second, random = found.entrants
    unsure = replace(first, from_random=replace(first.from_random, p=0.2))
    said = verdict(replace(found, entrants=(unsure, second, random)))
    assert said.startswith(
        "Trust none yet: of the best none is shown to beat random, though saliency does (srg, n = 40"
    )
