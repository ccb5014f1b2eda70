"""One explainer against all others: differences, corrected p, verdicts, formats, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import COMP, ENTROPY, SUFF, column, run_of
from statsmodels.stats.multitest import multipletests

import faithbench
from faithbench.errors import UserError

N = 60
GENERATOR = np.random.default_rng(0)
BASE = GENERATOR.normal(50, 10, N)
MINE, LEVEL = BASE + 3 + GENERATOR.normal(0, 2, N), BASE + 3 + GENERATOR.normal(0, 2, N)
EXPLAINERS = {"occlusion(window=1)": MINE, "saliency": BASE, "lime(n_samples=9)": LEVEL, "random(seed=0)": BASE / 2}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Occlusion better than saliency and random, level with lime; a degraded copy of it; two metrics and entropy."""
    records = []
    for name, values in {**EXPLAINERS, "degraded(explainer=occlusion, share=0.5, seed=0)": BASE}.items():
        records += column(values, explainer=name)
        records += column(-values, explainer=name, metric=SUFF)
        records += column(values / 10, explainer=name, metric=ENTROPY)
    return run_of(tmp_path / "run", records)


def test_each_other_explainer_has_a_row_with_its_verdict(run):
    found = faithbench.against_all("occlusion", [run]).table()
    verdicts = found.pivot_table(index="other", columns="metric", values="verdict", aggfunc="first")
    assert set(verdicts.index) == set(EXPLAINERS) - {"occlusion(window=1)"}
    assert verdicts.loc["saliency"].to_dict() == {COMP: "better", SUFF: "better", ENTROPY: "higher"}
    assert verdicts.loc["lime(n_samples=9)", COMP] == "not shown"
    worse = faithbench.against_all("saliency", [run], ["comp"]).table().set_index("other")["verdict"]
    assert worse.to_dict() == {"lime(n_samples=9)": "worse", "occlusion(window=1)": "worse", "random(seed=0)": "better"}


def test_p_is_corrected_over_the_others_of_a_metric(run):
    found = faithbench.against_all("occlusion", [run], test="wilcoxon").table()
    assert set(found["tests"]) == {3}
    for _, rows in found.groupby("metric"):
        np.testing.assert_allclose(rows["p"], multipletests(rows["p_alone"], method="holm")[1])


def test_the_numbers_are_those_of_two_alone(run):
    row = faithbench.against_all("occlusion", [run], ["comp"]).table().set_index("other").loc["saliency"]
    alone = faithbench.comparison("occlusion", "saliency", [run], ["comp"]).table().iloc[0]
    for name in ("difference", "low", "high", "effect", "n"):
        assert row[name] == pytest.approx(alone[name])


@pytest.mark.parametrize("words", [["--against", "all"], ["all"]])
def test_the_command_prints_a_table_in_a_pipe(words, run, capsys):
    ended = call(capsys, "compare", "occlusion", *words, run, "--metric", "comp")
    assert ended.status == 0
    assert ended.out.startswith("**occlusion against all others**: conv-tiny(masking=none) on planted\n")
    assert "*comprehensiveness (higher is better)*" in ended.out
    (row,) = [line for line in ended.out.splitlines() if line.startswith("| saliency")]
    assert "better" in row
    assert "Holm-corrected over the others of a metric" in ended.out


def test_the_command_writes_csv(run, capsys):
    ended = call(capsys, "compare", "occlusion", "all", run, "--format", "csv")
    frame = pd.read_csv(io.StringIO(ended.out))
    assert len(frame) == 9
    assert {"difference", "low", "high", "p", "effect", "n", "verdict"} <= set(frame)


def test_two_are_compared_with_against_as_without(run, capsys):
    told = call(capsys, "compare", "occlusion", "saliency", run).out
    assert call(capsys, "compare", "occlusion", "--against", "saliency", run).out == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["oclusion", "all", "RUN"], "did you mean occlusion"),
        (["occlusion", "all"], "behind the names"),
        (["occlusion", "all", "RUN", "--alpha", "2"], "between 0 and 1"),
        (["occlusion", "all", "RUN", "--test", "t"], "permutation"),
        (["occlusion", "all", "RUN", "--format", "pdf"], "'pdf'"),
    ],
)
def test_mistakes_are_a_sentence(words, said, run, capsys):
    ended = call(capsys, "compare", *(str(run) if word == "RUN" else word for word in words))
    assert ended.status == 2
    assert said in ended.complaints[0]


def test_without_another_there_is_nothing_to_compare(tmp_path):
    alone = run_of(tmp_path / "run", column(BASE))
    with pytest.raises(UserError, match="for occlusion and another"):
        faithbench.against_all("occlusion", [alone])
