"""Runs that are published together: the parts of a divided plan make the board that the whole would have made."""

import json
from pathlib import Path

import pandas as pd
import pytest
from fixtures_run import call
from records import column, run_of

import faithbench
from faithbench.boards.joining import joined
from faithbench.errors import UserError

OTHER = {"model": "bcos-tiny(seed=42)", "model_fingerprint": "w"}
PLAN = 'datasets = ["planted"]\nmodels = ["conv-tiny", "bcos-tiny"]\nexplainers = ["occlusion", "saliency"]\n'


def change(run: Path, changed: dict[str, object]) -> Path:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, **changed}))
    return run


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plan run whole, and divided by model."""
    home = tmp_path_factory.mktemp("parts")
    found = {}
    for name, models in {"whole": ("conv-tiny", "bcos-tiny"), "a": ("conv-tiny",), "b": ("bcos-tiny",)}.items():
        plan = faithbench.Plan(
            datasets=("planted(train=300, validation=50, test=30)",),
            models=models,
            explainers=("random", "occlusion", "saliency"),
            metrics=("comprehensiveness", "entropy"),
            limit=12,
            training=faithbench.Training(epochs=1),
        )
        found[name] = home / name
        faithbench.run(plan, home / name)
    return found


def test_a_divided_plan_makes_the_same_board_as_the_whole(parts: dict[str, Path], tmp_path: Path, capsys):
    faithbench.publish(parts["whole"], tmp_path / "whole")
    assert call(capsys, "board", "publish", parts["a"], parts["b"], tmp_path / "both").status == 0
    tables = [pd.read_csv(tmp_path / name / "table.csv") for name in ("whole", "both")]
    pd.testing.assert_frame_equal(*tables)
    assert sorted(path.name for path in (tmp_path / "both").glob("plan*.toml")) == ["plan-a.toml", "plan-b.toml"]
    assert call(capsys, "board", "check", tmp_path / "both").status == 0
    manifest = joined([parts["a"], parts["b"]])
    assert manifest["models"].keys() == joined([parts["whole"]])["models"].keys()


def test_plans_of_a_person_are_asked_of_all_runs(parts: dict[str, Path], tmp_path: Path, capsys):
    board = tmp_path / "board"
    board.mkdir()
    text = (parts["whole"] / "plan.toml").read_text()
    (board / "plan.toml").write_text("# by hand\n" + text.partition("\n")[2])
    faithbench.publish([parts["a"], parts["b"]], board)
    assert [path.name for path in board.glob("plan*.toml")] == ["plan.toml"]
    assert call(capsys, "board", "check", board).status == 0
    faithbench.publish(parts["a"], board)
    assert call(capsys, "board", "check", board).status == 1  # what the plan asks for besides is missing


def test_a_board_says_nothing_of_models_that_its_plans_leave_out(parts: dict[str, Path], tmp_path: Path, capsys):
    board = tmp_path / "board"
    board.mkdir()
    text = (parts["whole"] / "plan.toml").read_text()
    (board / "plan.toml").write_text("# by hand\n" + text.partition("\n")[2].replace('"bcos-tiny",', ""))
    whole = json.loads((parts["whole"] / "manifest.json").read_text())
    faithbench.publish(parts["whole"], board)
    told = json.loads((board / "manifest.json").read_text())
    assert len(whole["models"]) == 2
    assert told["models"] == {name: entry for name, entry in whole["models"].items() if name.startswith("conv-tiny")}
    assert told["datasets"] == whole["datasets"]
    assert "bcos-tiny" not in (board / "table.md").read_text()
    assert call(capsys, "board", "check", board).status == 0


def test_what_runs_say_otherwise_is_that_of_the_most_texts(tmp_path: Path):
    few, many = run_of(tmp_path / "few", column([1.0])), run_of(tmp_path / "many", column([1.0] * 9, explainer="lime"))
    name = "conv-tiny(seed=42) on planted"
    for run, texts in ((few, 1), (many, 9)):
        entry = json.loads((run / "manifest.json").read_text())["models"][name]
        own = {"read": {"texts": texts, "sampling": "all", "probe": ""}, "notes": {f"of {texts}": {"gap": 0.0}}}
        change(run, {"models": {name: {**entry, **own, "unknown_tokens": float(texts)}}})
    for runs in ([few, many], [many, few]):
        entry = joined(runs)["models"][name]
        assert entry["unknown_tokens"] == 9
        assert entry["read"]["texts"] == 9
        assert entry["notes"].keys() == {"of 1", "of 9"}


NAME = "conv-tiny(seed=42) on planted"


def test_counts_of_classes_are_those_of_one_run_and_not_mixed(tmp_path: Path):
    """A borderline text is another class on another machine: both counts together would be of too many texts."""
    runs = []
    for name, classes in {"a": {"0": 9, "1": 1}, "b": {"0": 11}}.items():
        run = run_of(tmp_path / name, column([1.0] * 3, explainer=name))
        entry = json.loads((run / "manifest.json").read_text())["models"][NAME]
        predicted = {"classes": classes, "texts": sum(classes.values()), "of": 20, "seconds": 1.0}
        runs.append(change(run, {"models": {NAME: {**entry, "predicted": predicted}}}))
    assert (
        joined(runs)["models"][NAME]["predicted"]["classes"]
        == joined(runs[::-1])["models"][NAME]["predicted"]["classes"]
    )
    assert joined(runs)["models"][NAME]["predicted"]["classes"] == {"0": 11}


def until(texts: int, model: str) -> dict[str, object]:
    look = {"texts": texts, "level": 0.05, "width": 1.0, "planned": True}
    lead = {"model": model, "metric": "m", "leader": "a", "other": "b", "mean": 1.0, "low": 0.0, "high": 2.0}
    entry = {"fingerprint": "d", "until": 2.0, "split_texts": 20, "planned": 2, "looks": [look], "ended": "narrow"}
    return {"until": {"planted": {**entry, "leading": [lead]}}}


def test_texts_that_were_added_to_other_numbers_are_refused_and_leads_are_kept(tmp_path: Path):
    runs = [run_of(tmp_path / name, column([1.0], explainer=name)) for name in "ab"]
    for run, texts in zip(runs, (5, 8), strict=True):
        change(run, until(texts, run.name))
    with pytest.raises(
        UserError, match=r"number of texts \(until\) of planted, 2, 1 looks and 5 texts in the one and 2, "
    ):
        joined(runs)
    change(runs[1], until(5, "b"))
    assert [lead["model"] for lead in joined(runs)["until"]["planted"]["leading"]] == ["a", "b"]


def test_what_a_manifest_says_besides_is_left_as_it_is(tmp_path: Path):
    odd = {"note": "hello", "extra": {"a": {"texts": "many"}}}
    one, other = (change(run_of(tmp_path / name, column([1.0], explainer=name)), odd) for name in "ab")
    for runs in ([one], [one, other]):
        assert odd.items() <= joined(runs).items()
    faithbench.publish(one, tmp_path / "board")
    assert json.loads((tmp_path / "board" / "manifest.json").read_text())["note"] == "hello"


def test_one_run_twice_is_one_run(parts: dict[str, Path], tmp_path: Path):
    faithbench.publish([parts["a"], str(parts["a"])], tmp_path / "board")
    assert [path.name for path in (tmp_path / "board").glob("plan*.toml")] == ["plan.toml"]


def test_an_unfinished_one_of_several_is_not_laid_to_another(parts: dict[str, Path], tmp_path: Path):
    bad = run_of(tmp_path / "bad", column([1.0], **OTHER))
    text = (parts["a"] / "plan.toml").read_text()
    (bad / "plan.toml").write_text(text.replace("conv-tiny", "bcos-tiny"))
    versions = json.loads((parts["a"] / "manifest.json").read_text())["versions"]
    with pytest.raises(UserError, match=r"a and .*bad cannot be published as it is"):
        faithbench.publish([parts["a"], change(bad, {"versions": versions})], tmp_path / "board")


@pytest.mark.parametrize(
    ("changes", "entry", "said"),
    [
        (
            {"model_fingerprint": "else"},
            {},
            r"weights of conv-tiny\(seed=42\) on planted, m in the one and else in the other",
        ),
        ({"dataset_fingerprint": "else"}, {}, "content of planted, d in the one and else in the other"),
        ({}, {"versions": {"torch": "9"}}, "version of torch, none in the one and 9 in the other"),
    ],
)
def test_runs_of_other_weights_content_or_versions_are_refused(changes, entry, said, tmp_path: Path):
    one = run_of(tmp_path / "one", column([1.0, 2.0]))
    other = change(run_of(tmp_path / "other", column([1.0, 2.0], explainer="lime", **changes)), entry)
    with pytest.raises(UserError, match=said):
        faithbench.publish([one, other], tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_different_records_of_one_result_are_refused(tmp_path: Path):
    one, other = (run_of(tmp_path / name, column(values)) for name, values in {"one": [1.0], "other": [2.0]}.items())
    with pytest.raises(UserError, match="two different records"):
        faithbench.publish([one, other], tmp_path / "board")


def test_no_run_and_a_folder_that_is_none_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="publish needs a run"):
        faithbench.publish([], tmp_path / "board")
    with pytest.raises(UserError, match="is not a run"):
        faithbench.publish([run_of(tmp_path / "one", column([1.0])), tmp_path / "none"], tmp_path / "board")


def test_plans_of_one_name_get_names_of_their_own(tmp_path: Path):
    runs = [run_of(tmp_path / place / "run", column([1.0], **more)) for place, more in (("x", {}), ("y", OTHER))]
    for run in runs:
        (run / "plan.toml").write_text(PLAN)
    faithbench.publish(runs, tmp_path / "board")
    assert sorted(path.name for path in (tmp_path / "board").glob("plan*")) == ["plan-run-more.toml", "plan-run.toml"]
