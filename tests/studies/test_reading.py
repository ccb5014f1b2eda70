"""What answers say: checked against scipy, against sums by hand, and against answers that nobody should believe."""

import json
import math
import re
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from studies import a_text, run_with_texts
from typer.testing import CliRunner

import faithbench
from faithbench.cli import app
from faithbench.statistics.paired_tests import detectable
from faithbench.studies.answers import Ratings
from faithbench.studies.key import QUESTIONS, digest, read_key
from faithbench.studies.results import comparisons, differences, means, units_needed
from faithbench.tables.writers import FORMATS

TEXTS = [a_text(f"t{i}", f"the club from town {i} won the cup".split(), i % 2) for i in range(12)]
SAID = {"conv-x": [i % 2 for i in range(12)], "bcos-x": [i % 2 for i in range(12)]}


DRAWN = np.random.default_rng(4).integers(1, 6, (3, 8, 3, 2))


@pytest.fixture
def made(tmp_path):
    return faithbench.make_study([run_with_texts(tmp_path / "run", TEXTS, SAID)], items=8, raters=3)


def rating(rater, text, method, question):
    """Drawn once."""
    return int(DRAWN[rater - 1, text, method, QUESTIONS.index(question)])


def write_answers(made, raters=(1, 2, 3), change=None, rate=rating):
    key, paths = read_key(made.page.parent), []
    for rater in raters:
        own = {
            name: {question: rate(rater, text, method, question) for question in QUESTIONS}
            for text, item in enumerate(key["items"])
            for method, name in enumerate(item["explanations"])
        }
        answers = {"format": 1, "study": key["study"], "rater": rater, "consent": True, "answers": own}
        if change is not None:
            change(answers)
        paths.append(made.page.parent / f"answers-{rater}.json")
        paths[-1].write_text(json.dumps(answers))
    return paths


def entered(question, rate=rating):
    return np.array([[[rate(r, t, m, question) for m in range(3)] for t in range(8)] for r in (1, 2, 3)], dtype=float)


def test_means_are_those_of_what_was_entered(made):
    write_answers(made)
    results = faithbench.read_study(made.page.parent)
    for one in results.means:
        values = entered(one.question)[:, :, one.method]
        assert one.value == pytest.approx(values.mean())
        assert one.texts[0] <= one.value <= one.texts[1]
        people = values.mean(axis=1)
        low, high = stats.t.interval(0.95, 2, people.mean(), stats.sem(people))
        assert one.raters == pytest.approx((max(1, low), min(5, high)))
        assert one.n == 24


@pytest.mark.parametrize(("unit", "reduced"), [("text", 0), ("rater", 1), ("rating", None)])
def test_t_tests_are_those_of_scipy_and_bonferroni_is_a_product(made, unit, reduced):
    write_answers(made)
    found = faithbench.read_study(made.page.parent, unit=unit).comparisons
    assert [(one.question, one.a, one.b) for one in found] == [
        (question, a, b) for question in QUESTIONS for a, b in combinations(range(3), 2)
    ]
    for one in found:
        values = entered(one.question)
        values = values.reshape(-1, 3) if reduced is None else values.mean(axis=reduced)
        a, b = values[:, one.a], values[:, one.b]
        theirs = stats.ttest_rel(a, b)
        assert one.t == pytest.approx(theirs.statistic)
        assert one.p_alone == pytest.approx(theirs.pvalue)
        assert one.p == pytest.approx(min(1, 6 * theirs.pvalue))
        assert (one.low, one.high) == pytest.approx(tuple(theirs.confidence_interval()))
        assert one.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
        assert one.n == len(values)


def test_a_missing_rating_leaves_out_its_pairs_alone(made):
    key = read_key(made.page.parent)
    gone = key["items"][0]["explanations"][1]
    write_answers(made, change=lambda answers: answers["rater"] == 2 and answers["answers"].pop(gone))
    results = faithbench.read_study(made.page.parent)
    values = entered("agreement")
    values[1, 0, 1] = np.nan
    np.testing.assert_array_equal(results.ratings.of["agreement"], values)
    gaps = values[:, :, 0] - values[:, :, 1]
    assert results.comparisons[3].difference == pytest.approx(np.nanmean(gaps, axis=0).mean())
    assert len(differences(values, 0, 1, "rating")) == 23
    assert "Rater 2 has left out 2 of 48 ratings" in results.render("markdown")


def test_raters_who_said_nothing_and_those_who_always_say_the_same_are_named(made):
    def empty(answers):
        if answers["rater"] == 3:
            answers["answers"] = {}

    write_answers(made, change=empty, rate=lambda rater, *_: rater)
    told = faithbench.read_study(made.page.parent).render("terminal")
    assert "Nothing is there of rater 3." in told
    assert "Rater 1 has given 1 for interpretability every time." in told


def test_equal_ratings_are_no_difference_and_ratings_always_apart_have_the_p_of_a_sign_test(made):
    write_answers(made, rate=lambda rater, text, method, question: 3 - (method == 2))
    results = faithbench.read_study(made.page.parent)
    first, second, _ = results.comparisons[:3]
    assert (first.p, first.difference, first.effect) == (1, 0, 0)
    assert (second.p_alone, second.difference, second.effect) == (2.0 ** (1 - second.n), 1, math.inf)
    assert second.p == min(1.0, second.p_alone * len(results.comparisons))
    for writer in FORMATS:
        assert "nan" not in results.render(writer).casefold().replace("financ", "")


@pytest.mark.parametrize(("unit", "raters", "texts"), [("text", 1, 2), ("text", 1, 3), ("rater", 2, 2), ("text", 3, 6)])
def test_where_no_method_is_better_few_ratings_seldom_show_one(unit: str, raters: int, texts: int):
    draws, shown = np.random.default_rng(0), 0
    for _ in range(60):
        ratings = {
            question: np.clip(np.round(3 + draws.normal(0, 1, (raters, texts, 4))), 1, 5) for question in QUESTIONS
        }
        shown += any(one.p < 0.05 for one in comparisons(Ratings(tuple(range(raters)), ratings), unit))
    assert shown <= 6  # of 60 studies: 5 % and chance


def test_the_table_says_by_rule_who_is_rated_highest(made):
    write_answers(made, rate=lambda r, t, m, q: 5 - m - (r + t) % 2 + (m > 0) * (t % 4 == 0))
    told = faithbench.read_study(made.page.parent).render("markdown")
    assert (
        "Interpretability: bcos of bcos-x is rated highest (4.50); above occlusion of conv-x and random of conv-x, "
        in told
    )
    assert "Bonferroni's method for all 6 tests" in told
    assert "a method can be liked and unfaithful" in told


def test_every_format_is_written_whatever_methods_are_called(tmp_path):
    name = "a|b_<script>alert(1)</script>&$%"
    run = run_with_texts(tmp_path / "run", TEXTS, {name: SAID["conv-x"]}, models={name: {"x|_y": 1.0, "<b>z": 2.0}})
    made = faithbench.make_study([run], items=8, raters=3)
    key = read_key(made.page.parent)
    for rater in (1, 2):
        own = {
            n: dict.fromkeys(QUESTIONS, 1 + (rater + i) % 5)
            for i, item in enumerate(key["items"])
            for n in item["explanations"]
        }
        (tmp_path / f"{rater}.json").write_text(
            json.dumps({"format": 1, "study": made.name, "rater": rater, "consent": True, "answers": own})
        )
    results = faithbench.read_study(made.page.parent, [tmp_path / "1.json", tmp_path / "2.json"])
    assert not re.search(r"(?<!\\)<b>", results.render("markdown"))
    assert all(results.render(writer) for writer in FORMATS)
    assert "<b>z" not in results._repr_html_()
    assert "&lt;b&gt;z" in results._repr_html_()
    assert "rated highest" in results.__rich__().plain


def test_numbers_of_texts_and_raters_that_would_do():
    needed = units_needed(1.0, 0.3, 0.05)
    assert needed == 90  # of tables of the paired t-test's power
    assert detectable(needed, 1.0, 0.05) <= 0.3 < detectable(needed - 1, 1.0, 0.05)
    assert math.isinf(units_needed(100.0, 0.3, 0.05))


def test_one_rater_and_one_text_have_no_intervals():
    alone = Ratings((1,), {"agreement": np.array([[[1.0, 4.0]]])})
    assert all(math.isnan(number) for one in means(alone) for number in (*one.texts, *one.raters))
    (one,) = comparisons(alone)
    assert (one.difference, one.n) == (-3, 1)
    assert math.isnan(one.p)


BAD = {
    "another study": (lambda a: a.update(study="0" * 16), "is of study '0000000000000000'"),
    "no such rater": (lambda a: a.update(rater=9), "rater is 9, and the study has 1 to 3"),
    "no consent": (lambda a: a.update(consent=False), "consent"),
    "unknown explanation": (lambda a: a["answers"].update(x={}), "rates 'x', which is no explanation"),
    "unknown question": (lambda a: next(iter(a["answers"].values())).update(beauty=3), "'beauty' is not asked"),
    "too high": (lambda a: next(iter(a["answers"].values())).update(agreement=6), "a rating is 6"),
    "a word": (lambda a: next(iter(a["answers"].values())).update(agreement="5"), "no whole number"),
    "true": (lambda a: next(iter(a["answers"].values())).update(agreement=True), "no whole number"),
    "half": (lambda a: next(iter(a["answers"].values())).update(agreement=4.5), "no whole number"),
    "no ratings": (lambda a: a.update(answers={}), "hold no ratings"),
    "another format": (lambda a: a.update(format=2), "format is 2"),
    "no study": (lambda a: a.pop("study"), "study is missing"),
}


@pytest.mark.parametrize(("change", "sentence"), BAD.values(), ids=list(BAD))
def test_answers_that_cannot_be_believed_are_refused_in_a_sentence(made, change, sentence):
    paths = write_answers(made, (1,), change)
    with pytest.raises(faithbench.UserError, match=sentence) as refused:
        faithbench.read_study(made.page.parent, paths)
    assert len(str(refused.value)) < 400


FORGED = {
    "raters": (lambda key: key.update(raters=10**12), "out of its range"),
    "seed": (lambda key: key.update(seed=-1), "out of its range"),
    "no text": (lambda key: key.update(items=[]), "no text"),
    "one method": (lambda key: key["methods"].pop(), "not one explanation for each method"),
    "twice": (lambda key: key["items"][0].update(explanations=["a", "a", "a"]), "an explanation twice"),
    "a word for a number": (lambda key: key.update(seed="0"), "no whole number"),
}


@pytest.mark.parametrize(("change", "sentence"), FORGED.values(), ids=list(FORGED))
def test_a_key_that_no_study_has_is_refused_whatever_its_digest(made, change, sentence):
    key = json.loads(made.key.read_text())
    change(key)
    made.key.write_text(json.dumps(key | {"study": digest(key)}))
    with pytest.raises(faithbench.UserError, match=sentence):
        faithbench.read_study(made.page.parent)


def test_two_files_of_one_rater_no_files_and_no_study(made, tmp_path):
    with pytest.raises(faithbench.UserError, match=r"holds no answers\*\.json"):
        faithbench.read_study(made.page.parent)
    (path,) = write_answers(made, (1,))
    copy = path.with_name("answers-again.json")
    copy.write_bytes(path.read_bytes())
    with pytest.raises(faithbench.UserError, match="are both of rater 1"):
        faithbench.read_study(made.page.parent)
    path.write_text("{" * 100_000)
    with pytest.raises(faithbench.UserError, match="is not JSON"):
        faithbench.read_study(made.page.parent, [path])
    with pytest.raises(faithbench.UserError, match="is not a study"):
        faithbench.read_study(tmp_path)
    with pytest.raises(faithbench.UserError, match="unit 'word' is not known"):
        faithbench.read_study(made.page.parent, unit="word")


def test_the_commands(made, tmp_path):
    runner = CliRunner()
    told = runner.invoke(app, ["study", "make", str(tmp_path / "run"), "--out", str(tmp_path / "s"), "--items", "8"])
    assert told.exit_code == 0, told.output
    write_answers(made)
    shown = runner.invoke(app, ["study", "read", str(made.page.parent), "--format", "csv"])
    assert shown.exit_code == 0, shown.output
    assert len(list(product(QUESTIONS, range(3)))) * 2 + 6 + 4 + 1 == len(shown.output.splitlines())
