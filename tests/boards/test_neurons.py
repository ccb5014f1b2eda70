"""A board of a study of neurons: published without texts, checked, with controls, densities and every layer."""

from neuron_records import DATA, SCORE, TOPK, neurons, run_of_neurons, sites, unit

from faithbench.boards.checking import check
from faithbench.boards.publishing import build, publish
from faithbench.plan import Plan, write_plan
from faithbench.plugins.spec import build as component

MODEL = component("model", "crate-tiny").identity


def test_a_study_of_neurons_is_published_checked_and_shown(tmp_path):
    data, score, describer = (
        component(kind, name).identity for kind, name in (("dataset", DATA), ("score", SCORE), ("describer", TOPK))
    )
    names = {"model": MODEL, "dataset": data, "metric": score, "explainer": describer}
    records = neurons([(10, 20, 30, 40), (50, 60, 70, 80)], **names)
    density = {(MODEL, unit(layer, n)): 0.01 * (n + 1) for layer in (0, 1) for n in range(4)}
    run = run_of_neurons(tmp_path / "run", records, density, **sites(4, 4))
    plan = Plan((DATA,), ("crate-tiny",), ("token_topk",), ("random_only",))
    (run / "plan.toml").write_text(write_plan(plan))
    board = tmp_path / "board"
    made = {path.name for path in publish(run, board)}
    assert {"table.md", "table-layers.md", "table-layers.csv"} <= made
    page = (board / "table.md").read_text()
    assert "8 neurons." in page
    assert "Controls" in page
    assert "by decile of density" in page
    assert "fires on 'a'" not in "".join(path.read_bytes().decode("latin-1") for path in board.rglob("*.parquet"))
    assert build([board]) == []
    problems = [each for one in check([board]) for each in one.problems]
    assert [each for each in problems if "does not say how" not in each] == []  # nobody trained this model
