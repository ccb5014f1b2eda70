"""What a run's folder says of itself: its plans, its commands, its texts, and a page for whoever finds it."""

from dataclasses import replace
from pathlib import Path

import pytest

from faithbench.plan import Plan, Training, read_plan, write_plan
from faithbench.records.store import Store
from faithbench.running.contents import Contents, together

FULL = Plan(("planted",), ("conv-tiny",), ("random", "lime"), ("entropy", "gini"), limit=9)


@pytest.mark.parametrize(
    "smaller",
    [
        {"limit": 3},
        {"explainers": ("lime",)},
        {"explainers": ("lime(n_samples=3000)",), "limit": 2, "metrics": ("gini",)},
        {"models": ("conv-tiny(seed=42)",)},
        {"until": 2.0},
        {},
    ],
)
def test_a_smaller_plan_says_nothing_new(smaller: dict[str, object]):
    assert together([FULL], replace(FULL, **smaller)) == [FULL]
    if smaller.get("limit"):
        assert together([replace(FULL, **smaller)], FULL) == [FULL]


def test_plans_that_differ_in_one_list_become_one():
    more = replace(FULL, explainers=("random", "occlusion"))
    assert together([FULL], more) == [replace(FULL, explainers=("random", "lime", "occlusion"))]
    assert together([FULL], replace(FULL, metrics=("evidence",))) == [
        replace(FULL, metrics=("entropy", "gini", "evidence"))
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"explainers": ("occlusion",), "metrics": ("evidence",)},
        {"explainers": ("occlusion",), "limit": 12},
        {"limit": 20, "explainers": ("lime",)},
        {"dtype": "float64"},
        {"split": "validation"},
        {"protocol": "paper"},
        {"training": Training(epochs=2)},
        {"until": 2.0, "limit": 20},
    ],
)
def test_plans_of_which_no_grid_holds_both_alone_stay_two(other: dict[str, object]):
    new = replace(FULL, **other)
    assert together([FULL], new) == [FULL, new]


def test_a_plan_may_join_several():
    one, two = replace(FULL, explainers=("random",)), replace(FULL, explainers=("lime",), metrics=("gini",))
    whole = replace(FULL, explainers=("lime",))
    assert together([one, two], whole) == [FULL]


def test_what_a_table_is_like_and_how_a_model_is_trained_faster_is_kept_with_the_larger():
    fast = replace(FULL, limit=2, like=("table2",), training=Training(dataloader_num_workers=2))
    assert together([FULL], fast) == [replace(FULL, like=("table2",))]


def plans(folder: Path) -> dict[str, Plan]:
    return {path.name: read_plan(path) for path in folder.glob("plan*.toml")}


def test_each_plan_has_a_file_and_files_that_are_not_needed_any_more_go(tmp_path: Path):
    store = Store(tmp_path).open()
    other = replace(FULL, explainers=("lime",), limit=20)
    for plan in (FULL, other):
        Contents(store).add(plan)
    assert plans(tmp_path) == {"plan.toml": FULL, "plan-2.toml": other}
    Contents(store).add(replace(FULL, limit=20))
    assert plans(tmp_path) == {"plan.toml": replace(FULL, limit=20)}


def test_what_a_person_wrote_stays(tmp_path: Path):
    store = Store(tmp_path).open()
    mine = "# mine\n" + write_plan(replace(FULL, explainers=()))
    (tmp_path / "plan.toml").write_text(mine)
    (tmp_path / "plan-old.toml").write_text("no plan")
    Contents(store).add(replace(FULL, limit=2), replace(FULL, limit=2, explainers=()))
    assert {path.name for path in tmp_path.glob("plan*")} == {"plan.toml", "plan-old.toml"}
    Contents(store).add(FULL)
    assert read_plan(tmp_path / "plan-2.toml") == FULL
    assert (tmp_path / "plan.toml").read_text() == mine
