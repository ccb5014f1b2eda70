"""A published board is gone on with: an explainer more, nothing measured twice, and a board that checks."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures_run import DATA, TRAINING, call, trained_cache, use_cache

import faithbench
from faithbench.boards.continuing import weights_of_board
from faithbench.boards.folder import read_board
from faithbench.errors import UserError
from faithbench.plan import read_plan, write_plan
from faithbench.plugins.spec import build
from faithbench.records.commands import read_commands

PLAN = faithbench.Plan(
    (DATA,), ("conv-tiny",), ("random", "integrated_gradients"), ("entropy", "evidence"), limit=7, training=TRAINING
)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder with `leaderboards/tiny`, whose plan a person wrote; the run it was made of is gone."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, trained_cache())
        patch.chdir(home)
        Path("leaderboards/tiny").mkdir(parents=True)
        Path("leaderboards/tiny/plan.toml").write_text(write_plan(PLAN))
        faithbench.run(PLAN, Path("run"), device="cpu")
        faithbench.publish(Path("run"), Path("leaderboards/tiny"))
        shutil.rmtree("run")
    return home


@pytest.fixture
def board(published: Path, tmp_path: Path, monkeypatch) -> Path:
    shutil.copytree(published / "leaderboards", tmp_path / "leaderboards")
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)
    return Path("leaderboards/tiny")


def test_an_explainer_is_added_to_a_board(board: Path, capsys):
    before = read_board(board).records
    ended = call(capsys, "board", "continue", board, "runs/more", "--explainer", "saliency")
    assert ended.status == 0
    assert (board / "plan-saliency.toml").is_file()
    said = [line.strip() for line in ended.out.splitlines()]
    commands = [line.split()[1:] for line in said if line.startswith(("faithbench run", "faithbench board"))]
    for words in commands:
        assert call(capsys, *words).status == 0
    checked = call(capsys, "board", "check", board)
    assert (checked.status, checked.err) == (0, "")
    after = read_board(board).records
    assert set(after["explainer"]) - set(before["explainer"]) == {build("explainer", "saliency").identity}
    assert len(after) == len(before) * 3 // 2
    kept = after[after["explainer"].isin(before["explainer"])]
    columns = ["explainer", "metric", "unit", "value", "seconds"]
    assert kept[columns].sort_values(columns).values.tolist() == before[columns].sort_values(columns).values.tolist()
    table = (board / "table.md").read_text()
    assert "saliency" in table
    assert "completeness gap" in table  # noted by an explainer whose attributions are no longer there


def test_a_board_that_is_published_again_from_its_own_records_is_the_same_bytes(board: Path):
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    faithbench.continue_board(board, "runs/more")
    faithbench.publish("runs/more", board)
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


def test_recipe_and_fingerprint_are_said(board: Path, capsys):
    ended = call(capsys, "board", "continue", board, "runs/more")
    (entry,) = json.loads((board / "manifest.json").read_text())["models"].values()
    weights, recipe = ended.out.splitlines()[:2]
    assert weights.endswith(f": weights {entry['fingerprint']}")
    assert recipe.split()[:4] == ["faithbench", "train", "--model", "conv-tiny"]
    assert "--epochs 4 --lr 0.005" in recipe
    trained = call(capsys, *["train", "--model", "conv-tiny", "--dataset", DATA, *recipe.split()[-4:]])
    assert trained.status == 0  # the settings are those of the checkpoint there is
    assert not list(board.glob("plan-*"))


def test_a_recipe_says_the_precision_where_it_is_not_the_usual_one():
    classifier = {"epochs": 4, "precision": "float32"}
    language = {"training": classifier, "schedule": "linear"}
    models = {
        f"conv-tiny on {DATA}": {"fingerprint": "a", "training": {"training": classifier}},
        f"conv-gpt2-tiny on {DATA}": {"fingerprint": "b", "training": language},  # whose usual one is the device's
    }
    of_classifier, of_language = weights_of_board(SimpleNamespace(manifest={"models": models}))
    assert of_classifier.recipe.endswith("--epochs 4")
    assert of_language.recipe.endswith("--epochs 4 --precision float32")


def test_the_runs_folder_says_what_it_is_and_what_made_it(board: Path):
    made = faithbench.continue_board(board, "runs/more")
    assert "faithbench table runs/more" in (made.run / "README.txt").read_text()
    (command,) = read_commands(made.run)
    assert command["came_to"] == {"done": len(read_board(board).records), "before": 0, "failed": 0}
    assert command["ended"]


def test_a_plan_is_added_only_for_what_no_plan_names(board: Path):
    made = faithbench.continue_board(board, "runs/more", ["random", "lime(n_samples=9)"])
    (path,) = made.plans
    assert read_plan(path).explainers == ("lime(n_samples=9)",)
    assert read_plan(path).metrics == PLAN.metrics


@pytest.mark.parametrize(
    ("folder", "explainer", "said"),
    [
        ("leaderboards/tiny", "random", "is there already"),
        ("runs/more", "rando", "did you mean random"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_and_nothing_is_written(folder, explainer, said, board: Path):
    before = sorted(board.parent.rglob("*"))
    with pytest.raises(UserError, match=said):
        faithbench.continue_board(board, folder, [explainer])
    assert sorted(board.parent.rglob("*")) == before
    assert not Path("runs").exists()
