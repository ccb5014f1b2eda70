"""The plans in the repository: each can be read and names only what there is; backbones that a plan leaves open."""

from pathlib import Path

import pytest
from fixtures_run import DATA, call, trained_cache, use_cache
from places import BOARDS

import faithbench
from faithbench.errors import UserError
from faithbench.paper.drawing import FIGURES
from faithbench.paper.layouts import LAYOUTS
from faithbench.plan import (
    CRATE,
    DECODERS,
    FIGURES_OF_PAPER,
    OPEN,
    TABLES,
    TABLES_OF_PAPER,
    Plan,
    read_plan,
    run_folder,
    write_plan,
)
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset, refer, resolve
from faithbench.running.grid import select_components

PAPER = sorted((BOARDS / "paper").glob("*.toml"))
PLANS = sorted(BOARDS.glob("*/*.toml"))


def opened(path: Path) -> str | None:
    """A backbone for a plan that leaves it open."""
    others = {"decoders": "llama", "crate": "3l"}
    return others.get(path.stem, "minilm") if OPEN in path.read_text() else None


@pytest.mark.parametrize("path", PLANS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_plan_of_the_repository_names_only_what_there_is(path):
    plan = read_plan(path, opened(path))
    choice = select_components(plan)
    assert len(choice.explainers) == len(plan.explainers)
    assert len(choice.metrics) == len(plan.metrics)
    for model in plan.models:
        for dataset in plan.datasets:
            assert resolve(build_dataset(dataset), refer(model)).identity
        assert refer(model).identity.count("(") >= 1


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_the_paper_has_a_plan(name):
    assert read_plan(BOARDS / "paper" / f"{name}.toml").like == (name,)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_a_plan_of_the_paper_runs_with_any_backbone(path):
    usual, other = read_plan(path), read_plan(path, "llama-tiny" if path.stem == "decoders" else "tiny")
    assert len(usual.models) == len(other.models)
    assert all("-tiny" in model for model in other.models)
    assert len({spec.build("model", model).identity for model in other.models}) == len(other.models)


def test_the_names_of_tables_and_figures_are_those_that_can_be_made():
    assert (*LAYOUTS, DECODERS, CRATE) == (*TABLES_OF_PAPER, DECODERS, CRATE) == TABLES
    assert tuple(FIGURES) == (*FIGURES_OF_PAPER, *TABLES_OF_PAPER)
    with pytest.raises(UserError, match="'tabel2' is not a known table or figure of the paper; did you mean table2"):
        Plan(("a",), ("b",), like=("tabel2",))


def test_a_plans_training_is_one():
    with pytest.raises(UserError, match=r"training=\{'epochs': 2\} is not allowed; it must be a faithbench.Training"):
        Plan(("a",), ("b",), training={"epochs": 2})


def test_the_setups_of_table_3_are_those_of_the_published_table():
    rows = (BOARDS / "paper" / "published" / "table3_setups.csv").read_text().splitlines()[1:]
    assert len(read_plan(BOARDS / "paper" / "table3.toml").models) == len(rows)


@pytest.mark.parametrize(
    ("text", "backbone", "sentence"),
    [
        ('datasets = ["a"]\nmodels = ["conv-{backbone}"]', None, "holds {backbone}, and no backbone was given."),
        ('datasets = ["a"]\nmodels = ["conv-tiny"]', "bert", "holds no {backbone} for backbone='bert'."),
        (
            'datasets = ["a"]\nmodels = ["conv-tiny"]\nbackbone = "bert"',
            None,
            "holds no {backbone} for backbone='bert'.",
        ),
        ('datasets = ["a"]\nmodels = ["conv-{backbone}"]\nbackbone = 3', None, "backbone=3 is not allowed"),
        ('datasets = ["a"]\nmodels = ["conv-{backbone}"]\nbackbone = ""', None, "backbone='' is not allowed"),
        ('datasets = ["a"]\nmodels = ["b"]\nlike = "table2"', None, "like must be a list of strings."),
    ],
)
def test_a_backbone_that_is_missing_or_means_nothing_is_one_sentence(text, backbone, sentence, tmp_path):
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(UserError) as error:
        read_plan(tmp_path / "plan.toml", backbone)
    assert str(error.value).startswith(f"plan {tmp_path / 'plan.toml'}")
    assert sentence in str(error.value)


def test_a_written_plan_has_its_backbone_filled_in(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('backbone = "bert"\ndatasets = ["a"]\nmodels = ["conv-{backbone}"]\nlike = ["table2"]')
    plan = read_plan(path, "minilm")
    assert plan == Plan(("a",), ("conv-minilm",), like=("table2",))
    path.write_text(write_plan(plan))
    assert read_plan(path) == plan


def test_runs_of_a_board_share_a_folder_and_other_plans_have_their_own():
    assert run_folder(Path("x/board/plan-wide.toml")) == run_folder(Path("x/board/plan.toml")) == Path("runs/board")
    assert run_folder(Path("x/paper/table2.toml"), "minilm") == Path("runs/paper-table2-minilm")
    assert run_folder(Path("x/paper/table2.toml")) == Path("runs/paper-table2")


@pytest.mark.slow
def test_all_plans_of_a_folder_are_run_into_one(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)
    Path("board").mkdir()
    for model in ("conv-tiny", "bcos-tiny"):
        Path(f"board/plan-{model}.toml").write_text(
            f'datasets = ["{DATA}"]\nmodels = ["{model}"]\nexplainers = ["random"]\nmetrics = ["entropy"]\nlimit = 3\n'
        )
    ended = call(capsys, "run", "--plan", "board", "--no-train")
    assert (ended.status, ended.complaints) == (0, [])
    assert "6 results done, 0 were there before. Written to runs/board" in ended.out
    again = call(capsys, "run", "--plan", "board", "--no-train")
    assert "0 results done, 6 were there before" in again.out
    Path("empty").mkdir()
    refused = call(capsys, "run", "--plan", "empty")
    assert (refused.status, refused.complaints) == (2, ["faithbench: folder empty has no plan….toml."])


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ('models = ["conv-tiny"]\nexplainers = ["randm"]\n', "'randm' is not a known explainer"),
        ('models = ["conv-tiny(seed=7)"]\n', "has not been trained on"),
        ('models = ["conv-tiny"]\nlike = ["table8"]\n', "the runs hold none of table8's models"),
        ('models = ["conv-tiny"]\n[training]\nepochs = 3\n', "was trained with epochs=4, not 3"),
        ('models = ["conv-tiny(seed=7)"]\n[training]\nepochs = 3\n', "has not been trained on"),
    ],
)
def test_mistakes_in_any_plan_are_found_before_the_first_is_run(second, sentence, tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)
    Path("board").mkdir()
    first = 'models = ["conv-tiny"]\nexplainers = ["random"]\nmetrics = ["entropy"]\nlimit = 3\n'
    for name, text in {"a": first, "b": second}.items():
        Path(f"board/plan-{name}.toml").write_text(f'datasets = ["{DATA}"]\n{text}')
    ended = call(capsys, "run", "--plan", "board", "--no-train")
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err
    assert not Path("runs").exists()


def test_plans_that_train_one_model_in_two_ways_are_refused(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    Path("board").mkdir()
    for epochs in (2, 3):
        Path(f"board/plan-{epochs}.toml").write_text(
            f'datasets = ["{DATA}"]\nmodels = ["conv-tiny", "bcos-tiny"]\n[training]\nepochs = {epochs}\n'
        )
    ended = call(capsys, "run", "--plan", "board")
    assert ended.status == 2
    assert ended.complaints == [
        f"faithbench: the plans train conv-tiny on {DATA} in two ways: epochs=2 and 3; give both the same [training], "
        "or run them into two folders with two caches."
    ]


def test_models_of_two_backbones_and_judges_that_may_not_be_trained_are_found_before_anything_runs(
    tmp_path, monkeypatch
):
    use_cache(monkeypatch, tmp_path / "cache")
    two = faithbench.Plan(("hatexplain",), ("conv-tiny", "bcos-minilm"), like=("table2",))
    with pytest.raises(UserError, match="hold the backbones minilm, tiny, and table2 shows one"):
        faithbench.check_likes([two])
    documents = faithbench.Plan(("seqpg(dataset=hatexplain, judge=conv-tiny, segments=7)",), ("conv-tiny",))
    with pytest.raises(UserError, match="segments=7 is not allowed"):
        faithbench.check_plans([documents])


def test_a_run_of_a_plan_like_a_table_prints_that_table_and_how_to_draw_the_figure(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)
    Path("some.toml").write_text(
        f'datasets = ["{DATA}"]\nmodels = ["bcos-tiny"]\nexplainers = ["bcos"]\nmetrics = ["entropy"]\nlimit = 2\n'
        'like = ["table8", "figure5"]\n'
    )
    ended = call(capsys, "run", "--plan", "some.toml", "--no-train")
    assert ended.status == 0
    assert "Table 8 of arXiv 2502.12992, with tiny" in ended.out
    assert f"faithbench figure runs/{tmp_path.name}-some --like figure5 --out figure5.svg" in ended.out


def test_a_plan_runs_with_the_backbone_of_the_command(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)
    Path("table9.toml").write_text(
        f'backbone = "bert"\ndatasets = ["{DATA}"]\nmodels = ["conv-{{backbone}}"]\nexplainers = ["random"]\n'
        'metrics = ["entropy"]\nlimit = 2\n'
    )
    ended = call(capsys, "run", "--plan", "table9.toml", "--backbone", "tiny", "--no-train")
    assert (ended.status, ended.complaints) == (0, [])
    assert read_plan(Path(f"runs/{tmp_path.name}-table9-tiny/plan.toml")).models == ("conv-tiny",)
    refused = call(capsys, "run", "--model", "conv-tiny", "--dataset", DATA, "--backbone", "tiny")
    assert refused.status == 2
    assert refused.complaints == [
        "faithbench: backbone='tiny' is for a plan that leaves it open; give --plan, or --model."
    ]
