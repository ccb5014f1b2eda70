"""Is A better than B: names, evidence, sentences, and what is refused."""

import io
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import COMP, ENTROPY, SUFF, column, run_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

import faithbench
from faithbench.comparing.pairs import matches
from faithbench.errors import UserError

N = 60
GENERATOR = np.random.default_rng(0)
BASE = GENERATOR.normal(50, 10, N)
BETTER, LEVEL = BASE + 3 + GENERATOR.normal(0, 2, N), BASE + GENERATOR.normal(0, 2, N)
MODELS = {"conv-tiny(seed=42)": "m", "bcos-tiny(b=2.0, seed=42)": "w"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Occlusion better than saliency, and lower in entropy; saliency level with lime."""
    records = []
    for name, values in {"occlusion(window=1)": BETTER, "saliency": BASE, "lime(n_samples=9)": LEVEL}.items():
        records += column(values, explainer=name)
        records += column(-values, explainer=name, metric=SUFF)
        records += column(-values / 100, explainer=name, metric=ENTROPY)
    return run_of(tmp_path / "run", records)


@pytest.mark.slow
def test_the_evidence_is_that_of_other_libraries(run: Path):
    found = faithbench.comparison("occlusion", "saliency", [run], test="wilcoxon").table().set_index("metric")
    gaps = BETTER - BASE
    row = found.loc[COMP]
    assert row["difference"] == pytest.approx(gaps.mean())
    assert row["p_alone"] == pytest.approx(stats.wilcoxon(gaps).pvalue)
    np.testing.assert_allclose(found["p"], multipletests(found["p_alone"], method="holm")[1])
    assert row["effect"] == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert row["low"] < 3 < row["high"]
    assert (row["share_a_higher"], row["n"], row["left_out"]) == ((gaps > 0).mean(), N, 0)
    assert found["better"].to_dict() == {COMP: "occlusion(window=1)", SUFF: "occlusion(window=1)", ENTROPY: ""}


def test_the_answer_is_a_sentence_in_the_metrics_direction(run: Path):
    comp, entropy, suff = faithbench.comparison("saliency", "occ", [run]).sentences()
    wins = f"{100 * (BASE > BETTER).mean():.0f} % of 60 texts"
    assert comp.startswith(
        "planted, conv-tiny(masking=none), comprehensiveness (higher is better): occlusion is better than saliency ("
    )
    assert f"difference saliency − occlusion −{(BETTER - BASE).mean():.2f}, 95 % interval −" in comp
    assert "p < 0.001, Holm-corrected over all 3 pairs of explainers; effect size d_z −" in comp
    assert f"saliency is better on {wins}" in comp
    assert (
        "sufficiency (lower is better): occlusion is better than saliency (difference saliency − occlusion 3." in suff
    )
    assert f"saliency is better on {wins}" in suff
    assert "entropy (no better or worse): saliency is higher than occlusion (" in entropy
    assert "saliency is higher on" in entropy


def test_what_is_not_shown_comes_with_what_could_have_been_seen(run: Path):
    found = faithbench.comparison("saliency", "lime", [run], metrics=["comprehensiveness"])
    (sentence,) = found.sentences()
    detectable = found.table()["detectable"].iloc[0]
    assert "it is not shown that saliency and lime(n_samples=9) differ (" in sentence
    assert f"Such a sample would have shown, 8 times in 10, a true difference of {detectable:.3g} or more." in sentence
    assert "Holm-corrected over all 3 pairs of explainers" in sentence
    spread = (BASE - LEVEL).std(ddof=1)
    closed = (stats.norm.ppf(1 - 0.025 / 3) + stats.norm.ppf(0.8)) * spread / math.sqrt(N)
    assert detectable == pytest.approx(closed, rel=0.03)
    alone = faithbench.comparison("saliency", "lime", [run], metrics=["comp"], test="wilcoxon").table()["detectable"]
    assert alone[0] < detectable  # one comparison instead of three
    both = faithbench.comparison("saliency", "lime", [run], test="wilcoxon")
    assert "Holm-corrected over 3 comparisons" in both.sentences()[0]


def test_the_verdict_is_that_of_the_table(tmp_path: Path):
    generator = np.random.default_rng(1)
    base, records = generator.normal(50, 10, N), []
    for i in range(6):
        records += column(base + 0.45 * i + generator.normal(0, 1, N), explainer=f"e{i}")
        records += column(-base - 0.1 * i + generator.normal(0, 1, N), explainer=f"e{i}", metric=SUFF)
    records += column(base[:20], explainer="few")
    run = run_of(tmp_path / "run", records)
    frame = faithbench.table([run])
    verdicts = set()
    for a, b in combinations([f"e{i}" for i in range(6)], 2):
        found = faithbench.comparison(a, b, [run])
        for cell in found.cells:
            group = frame[frame["metric"] == cell.pair.metric].set_index("explainer")["rank_group"]
            better = found.better(cell)
            if group[a] == group[b]:
                assert better is None
            if better is not None:
                assert group[better] < group[a if better == b else b]
            verdicts.add(better is None)
            assert cell.tests == 15
    assert verdicts == {True, False}
    few = faithbench.comparison("e5", "few", [run]).table().iloc[0]  # no rank in the table: on the texts in common
    assert (few["tests"], few["n"], few["better"]) == (1, 20, "e5")


def test_a_negligible_difference_is_none_however_sure(tmp_path: Path):
    values = np.random.default_rng(0).normal(50, 10, 30)
    for gap, better in ((0.00002, ""), (0.1, "b")):
        run = run_of(tmp_path / str(gap), column(values, explainer="a") + column(values + gap, explainer="b"))
        found = faithbench.comparison("a", "b", [run])
        assert found.table()["better"].tolist() == [better]
        assert found.table()["p_alone"].iloc[0] < 0.001
        assert faithbench.table([run])["rank_group"].tolist() == [1, 1] if not better else [2, 1]
        assert ("A difference below 0.00500 counts as none." in found.sentences()[0]) == (not better)
    models = [r for m, w in MODELS.items() for r in column(values + 2e-5 * (w == "w"), model=m, model_fingerprint=w)]
    assert faithbench.comparison("conv", "bcos", [run_of(tmp_path / "m", models)]).table()["better"].tolist() == [""]


def test_equal_scores_and_too_few_texts_are_said(tmp_path: Path):
    same = run_of(tmp_path / "same", column(BASE, explainer="a") + column(BASE, explainer="b"))
    assert faithbench.comparison("a", "b", [same]).sentences()[0].endswith("a and b are equal on all 60 texts.")
    few = run_of(tmp_path / "few", column(BASE[:5], explainer="a") + column(BETTER[:5] + 9, explainer="b"))
    sentence = faithbench.comparison("a", "b", [few]).sentences()[0]
    assert "it is not shown that a and b differ" in sentence
    assert sentence.endswith("Fewer than 6 texts could not show any.")


def test_two_models_are_compared_under_each_explainer_on_their_common_texts(tmp_path: Path):
    records = []
    for shift, (model, weights) in zip((0.0, 3.0), MODELS.items(), strict=True):
        for name in ("saliency", "occlusion(window=1)"):
            values = BASE + shift + np.random.default_rng(int(shift) + len(name)).normal(0, 1, N)
            of = column(values, explainer=name, model=model, model_fingerprint=weights)
            records += of[5:] if shift else of
    run = run_of(tmp_path / "run", records)
    found = faithbench.comparison("conv", "bcos", [run]).table()
    assert found["explainer"].tolist() == ["occlusion(window=1)", "saliency"]
    assert found["better"].tolist() == ["bcos-tiny(b=2.0, seed=42)"] * 2
    assert (found["n"].tolist(), found["left_out"].tolist()) == ([N - 5] * 2, [0] * 2)
    assert found["difference"].tolist() == pytest.approx([-3.0, -3.0], abs=0.5)
    again = run_of(tmp_path / "again", column(BASE, model="conv-tiny(seed=42)", model_fingerprint="later"))
    with pytest.raises(UserError, match=r"2 trainings of conv-tiny\(seed=42\) on planted: weights later, m"):
        faithbench.comparison("conv", "bcos", [run, again])


def test_pairs_without_a_value_are_left_out_and_counted(tmp_path: Path):
    a, b = np.arange(8.0), np.arange(8.0) + 1
    a[:3], b[2:5] = math.nan, math.nan
    some = run_of(tmp_path / "some", column(a, explainer="a") + column(b, explainer="b"))
    row = faithbench.comparison("a", "b", [some]).table().iloc[0]
    assert (row["n"], row["left_out"]) == (3, 5)
    assert "; 5 texts left out for want of a value)" in faithbench.comparison("a", "b", [some]).sentences()[0]
    one = run_of(tmp_path / "one", column(a[2:], explainer="a") + column(np.arange(6.0) + 1, explainer="b"))
    assert "; 1 text left out for want of a value)" in faithbench.comparison("a", "b", [one]).sentences()[0]
    none = run_of(tmp_path / "none", column(a[:3], explainer="a") + column(b[:3], explainer="b"))
    assert faithbench.comparison("a", "b", [none]).sentences()[0].endswith("for no text has a value for both.")


def test_names_are_those_of_the_table_or_unique_beginnings(run: Path, tmp_path: Path):
    short = faithbench.comparison("occlusion", "lime(n", [run])
    assert (short.a, short.b) == ("occlusion(window=1)", "lime(n_samples=9)")
    more = run_of(tmp_path / "more", column(BASE, explainer="saliency(of=all)") + column(BASE))
    assert faithbench.comparison("saliency", "occlusion(", [run, more]).a == "saliency"
    elsewhere = run_of(tmp_path / "elsewhere", column(BASE, explainer="lime(n_samples=5)", dataset="imdb"))
    with pytest.raises(UserError, match=r"'lime' may be lime\(n_samples=5\) or lime\(n_samples=9\); write out which"):
        faithbench.comparison("saliency", "lime", [run, elsewhere])
    assert faithbench.comparison("saliency", "lime", [run, elsewhere], dataset="planted").b == "lime(n_samples=9)"


def test_the_name_that_is_several_is_named_and_not_one_that_another_kind_has_too(tmp_path: Path):
    columns = [
        column(BASE, explainer=name, model="bcos-tiny") for name in ("bcos", "lime(n_samples=5)", "lime(n_samples=9)")
    ]
    run = run_of(tmp_path / "run", [record for each in columns for record in each])
    with pytest.raises(UserError, match=r"^'lime' may be lime\(n_samples=5\) or lime\(n_samples=9\); write out which"):
        faithbench.comparison("bcos", "lime", [run])


def test_an_explainer_and_the_beginning_of_models_are_not_laid_to_the_models(tmp_path: Path):
    names = ("bcos-tiny", "bcos-tiny(seed=1)", "bcos-tiny(seed=2)")
    columns = [column(BASE, explainer=each, model=name) for each in ("bcos", "random") for name in names]
    run = run_of(tmp_path / "run", [record for each in columns for record in each])
    for a, b in (("bcos", "bcos-tiny"), ("bcos-tiny", "bcos"), ("bcos", "bcos-tiny(s")):
        with pytest.raises(UserError, match="are an explainer and a model; two of one kind are needed"):
            faithbench.comparison(a, b, [run])
    with pytest.raises(UserError, match=r"^'bcos-tiny\(s' may be bcos-tiny\(seed=1.* or bcos-tiny\(seed=2"):
        faithbench.comparison("bcos-tiny", "bcos-tiny(s", [run])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ("salency", "lime", {}, r"'salency' is not a known explainer or model of the runs; did you mean saliency\?"),
        ("sal", "saliency", {}, "'sal' and 'saliency' are both saliency; two are needed to compare"),
        ("saliency", "conv-tiny", {}, "'saliency' and 'conv-tiny' are an explainer and a model; two of one kind"),
        ("", "saliency", {}, "'' may be lime.* or .*; write out which"),
        ("saliency", "lime", {"metrics": ["sufficency"]}, r"did you mean sufficiency\?"),
        (
            "saliency",
            "lime",
            {"model": "bcos-tiny"},
            "'bcos-tiny' is not a known model of the runs; known: conv-tiny",
        ),
        ("saliency", "lime", {"dataset": "imdb"}, "'imdb' is not a known dataset of the runs; known: planted"),
        ("saliency", "lime", {"test": "t"}, "test 't' is not known; use permutation or wilcoxon"),
        ("saliency", "lime", {"alpha": 0.0}, "alpha 0.0 is not allowed; it lies between 0 and 1"),
    ],
)
def test_mistakes_are_said_in_a_sentence(run: Path, a: str, b: str, options: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        faithbench.comparison(a, b, [run], **options)


def test_what_was_measured_on_other_data_alone_is_said_so(run: Path, tmp_path: Path):
    some = [*column(BASE, explainer="bcos", dataset="imdb"), *column(BASE, explainer="random", dataset="imdb")]
    several = [record for model in ("bcos-a", "bcos-b") for record in column(BASE, model=model, dataset="imdb")]
    folders = [run, run_of(tmp_path / "elsewhere", [*some, *several])]
    there = r"was not measured on that data set; name one on which it was: planted\.$"
    with pytest.raises(UserError, match=f"^'lime' {there}"):
        faithbench.comparison("bcos", "lime", folders, dataset="imdb")
    with pytest.raises(UserError, match=f"^'lime' {there}"):
        faithbench.against_all("lime", folders, dataset="imdb")
    with pytest.raises(UserError, match=r"^'lima' is not a known explainer or model of the runs"):
        faithbench.comparison("bcos", "lima", folders, dataset="imdb")
    seeds = [record for seed in (1, 2) for record in column(BASE, model=f"conv-tiny(seed={seed})")]
    both = [run_of(tmp_path / "seeds", seeds), folders[1]]
    for dataset in (None, "planted", "imdb"):  # put together, a training has no name of its own on any
        with pytest.raises(UserError, match=r"^'conv-tiny\(seed=1\)' is not a known explainer or model of the runs"):
            faithbench.comparison("conv-tiny(seed=1)", "bcos-a", both, dataset=dataset, over_seeds=True)


def test_nothing_in_common_is_an_error(run: Path, tmp_path: Path):
    other = run_of(tmp_path / "other", column(BASE, explainer="random(seed=0)", dataset="imdb"))
    with pytest.raises(UserError, match="nothing, of what was asked for, that was measured for both random and lime"):
        faithbench.comparison("random", "lime", [run, other])


def test_the_command_prints_sentences_or_csv(run: Path, capsys: pytest.CaptureFixture[str]):
    shown = call(capsys, "compare", "occlusion", "saliency", run, "--metric", "sufficiency", "--test", "wilcoxon")
    assert shown.status == 0
    assert "occlusion is better than saliency (" in shown.out
    assert "Wilcoxon's signed-rank tests over texts" in shown.out
    csv = call(capsys, "compare", "occlusion", "saliency", run, "--format", "csv").out
    assert pd.read_csv(io.StringIO(csv))["metric"].tolist() == [COMP, ENTROPY, SUFF]
    ended = call(capsys, "compare", "occlusion", "saliency", run, "--format", "html")
    assert (ended.status, len(ended.complaints)) == (2, 1)
    assert "'html' is not known; use text or csv" in ended.err


def test_a_data_set_or_model_is_meant_by_the_words_of_a_plan():
    documents = "seqpg(dataset='hatexplain(classes=2)', judge='conv-tiny(seed=42)', segment=25, segments=2)"
    known = [documents, documents.replace("hatexplain(classes=2)", "imdb"), "imdb", "planted(train=400, test=40)"]
    for words, meant in (
        ("seqpg(dataset=hatexplain)", known[:1]),
        ("seqpg(hatexplain)", known[:1]),
        ("seqpg(hatexplain, dataset=imdb)", []),
        ("seqpg(dataset=imdb, segment=25)", known[1:2]),
        ("seqpg(dataset=imdb, segment=64)", []),
        ("seqpg(segment=25)", known[:2]),
        ("planted(test=40)", known[3:]),
        ("planted(test=41)", []),
        ("imdb", ["imdb"]),
        ("seqpg(imdb)", known[1:2]),
        ("no-such-data(imdb)", []),
        ("./seqpg(", []),
    ):
        assert matches("dataset", words, known) == meant, words
