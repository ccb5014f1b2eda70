"""Runs that add texts until the leaders' leads are known well enough: looks, ends, kills, other widths and limits."""

import functools
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from fixtures_run import DATA, add_distribution, call, checkpoint, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.plan import read_plan
from faithbench.records.store import IDENTITY, Store
from faithbench.running import runner, until
from faithbench.statistics.sequential import looks

SMALL = functools.partial(looks, start=8)
PLANNED = SMALL(40)  # 8, 12, 18, 27, 40
COMP, ENTROPY = "comprehensiveness", "entropy"
WIDE, NARROW = 400.0, 1e-6


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small(monkeypatch)


def use_small(patch: pytest.MonkeyPatch) -> None:
    """`conv-tiny` and `bcos-tiny`, trained on `DATA`, whose split of 40 texts is looked at from 8 on."""
    use_cache(patch, trained_cache())
    patch.setattr(until, "looks", SMALL)
    patch.setattr(until, "START", 8)


def plan(width: float | None = WIDE, **changes) -> faithbench.Plan:
    options = {"datasets": (DATA,), "models": ("conv-tiny",), "explainers": ("occlusion", "random")}
    return faithbench.Plan(**{**options, "metrics": (COMP,), "dtype": "float64", "until": width, **changes})


def entry(folder: Path) -> dict:
    (found,) = json.loads((folder / "manifest.json").read_text())["until"].values()
    return found


def texts(folder: Path) -> list[int]:
    return [look["texts"] for look in entry(folder)["looks"]]


def width_after(folder: Path, n: int) -> float:
    """Of the leading difference, as a run that takes all texts saw it, and what rounding may add."""
    return next(look["width"] for look in entry(folder)["looks"] if look["texts"] == n) + 1e-6


def rounded(looks_: list[dict]) -> list[dict]:
    """Without what another batch may change."""
    return [{**look, "width": round(look["width"], 6)} for look in looks_]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that went through all looks."""
    folder = tmp_path_factory.mktemp("until") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        use_small(patch)
        faithbench.run(plan(NARROW), folder, device="cpu")
    return folder


def test_it_stops_at_the_first_look_with_a_narrow_interval(tmp_path, whole):
    wanted = width_after(whole, 18)
    assert wanted < width_after(whole, 12) < width_after(whole, 8)
    done = faithbench.run(plan(wanted), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == [8, 12, 18]
    assert entry(tmp_path / "run")["ended"] == "narrow"
    assert (done.done, done.before, done.failed) == (36, 0, 0)
    (lead,) = entry(tmp_path / "run")["leading"]
    assert lead["high"] - lead["low"] == pytest.approx(wanted)
    assert {lead["leader"].partition("(")[0], lead["other"].partition("(")[0]} == {"occlusion", "random"}


def test_without_a_narrow_interval_it_takes_the_whole_split_and_says_so(whole):
    assert texts(whole) == list(PLANNED)
    assert entry(whole)["ended"] == "split"
    assert {look["level"] for look in entry(whole)["looks"]} == {entry(whole)["looks"][0]["level"]}
    table = faithbench.render([whole])
    assert "this was not so after 40 of 40 texts and 5 looks, the whole split" in table
    assert "chosen by looking (planted" in table
    (lead,) = entry(whole)["leading"]
    numbers = f"{lead['mean']:.3g} ({lead['low']:.3g}, {lead['high']:.3g})".replace("-", "−")
    names = " − ".join(lead[each].partition("(")[0] for each in ("leader", "other"))
    assert f"conv-tiny, leading differences with corrected intervals: comprehensiveness: {names} {numbers}." in table


def test_records_are_those_of_a_run_with_as_many_texts(tmp_path, whole):
    faithbench.run(plan(None), tmp_path / "fixed", device="cpu")
    one, two = (
        Store(folder).read("records").sort_values(IDENTITY["records"], ignore_index=True)
        for folder in (whole, tmp_path / "fixed")
    )
    names = [*IDENTITY["records"], "target", "value"]
    pd.testing.assert_frame_equal(one[names], two[names], atol=1e-6)
    assert "looking" not in faithbench.render([tmp_path / "fixed"])


def test_a_limit_ends_it(tmp_path):
    faithbench.run(plan(NARROW, limit=20), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == [8, 12, 18, 20]
    assert entry(tmp_path / "run")["ended"] == "limit"
    assert [look["planned"] for look in entry(tmp_path / "run")["looks"]] == [True, True, True, False]
    assert "after 20 of 40 texts and 4 looks, the limit" in faithbench.render([tmp_path / "run"])


def test_a_limit_below_the_first_look_is_the_only_look(tmp_path):
    faithbench.run(plan(NARROW, limit=5), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == [5]
    assert entry(tmp_path / "run")["ended"] == "limit"


@pytest.mark.slow
def test_another_limit_and_another_width_go_on_with_the_same_looks(tmp_path, whole):
    folder = tmp_path / "run"
    faithbench.run(plan(NARROW, limit=20), folder, device="cpu")
    again = faithbench.run(plan(NARROW, limit=20), folder, device="cpu")
    assert (again.done, texts(folder)) == (0, [8, 12, 18, 20])
    faithbench.run(plan(NARROW, limit=30), folder, device="cpu")
    assert texts(folder) == [8, 12, 18, 20, 27, 30]
    levels = [look["level"] for look in entry(folder)["looks"]]
    assert levels[5] < levels[3] < levels[0] == levels[4]
    faithbench.run(plan(width_after(whole, 40)), folder, device="cpu")
    assert (texts(folder)[-1], entry(folder)["ended"]) == (40, "narrow")


class _KilledError(Exception):
    """Stands for a signal."""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_at_the_look_that_it_had_come_to(tmp_path, whole, monkeypatch):
    rounds = []

    def stopping(*args, **options):
        if len(rounds) == 2:
            raise _KilledError
        rounds.append(args)
        return complete(*args, **options)

    complete = runner.run
    monkeypatch.setattr(runner, "run", stopping)
    with pytest.raises(_KilledError):
        faithbench.run(plan(NARROW), tmp_path / "run", device="cpu")
    assert (texts(tmp_path / "run"), entry(tmp_path / "run")["ended"]) == ([8, 12], "")
    assert "this was not yet so after 12" in faithbench.render([tmp_path / "run"])
    monkeypatch.setattr(runner, "run", complete)
    assert faithbench.run(plan(NARROW), tmp_path / "run", device="cpu").done == 2 * (40 - 12)
    assert rounded(entry(tmp_path / "run")["looks"]) == rounded(entry(whole)["looks"])


def test_within_a_round_it_goes_on_at_the_next_look(tmp_path, whole):
    faithbench.run(plan(None, limit=15), tmp_path / "run", device="cpu")  # as if killed on the way from 12 to 18
    faithbench.run(plan(NARROW), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == [18, 27, 40]
    assert rounded(entry(tmp_path / "run")["looks"]) == rounded(entry(whole)["looks"][2:])


def test_data_sets_stop_each_by_itself_and_all_models_of_one_together(tmp_path, monkeypatch):
    asked = []

    def noting(plan_, out, agenda, options):
        asked.append([(block.dataset.label[:7], block.model.identity[:4], block.limit) for block in agenda.of(plan_)])
        return complete(plan_, out, agenda, options)

    complete = runner.run
    monkeypatch.setattr(runner, "run", noting)
    data = tmp_path / "data.csv"
    rows = [f"text {i} is {word},{i % 2}" for i, word in enumerate(["good", "bad"] * 5)]
    data.write_text("\n".join(["text,label", *rows]) + "\n")
    model = str(checkpoint())
    faithbench.run(plan(NARROW, datasets=(DATA, str(data)), models=(model,), limit=12), tmp_path / "run", device="cpu")
    assert [[limit for *_, limit in each] for each in asked] == [[8, 8], [12, 10]]
    found = json.loads((tmp_path / "run" / "manifest.json").read_text())["until"]
    assert [each["ended"] for each in found.values()] == ["limit", "split"]
    asked.clear()
    faithbench.run(plan(NARROW, models=("conv-tiny", "bcos-tiny"), limit=8), tmp_path / "both", device="cpu")
    assert {each["model"][:4] for each in entry(tmp_path / "both")["leading"]} == {"conv", "bcos"}


def test_of_one_explainer_the_mean_is_narrowed_even_by_a_metric_without_better_or_worse(tmp_path):
    faithbench.run(plan(WIDE, explainers=("occlusion",), metrics=(ENTROPY,)), tmp_path / "run", device="cpu")
    (only,) = entry(tmp_path / "run")["leading"]
    assert only["other"] is None


def test_metrics_without_better_or_worse_are_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(faithbench.UserError, match="needs a metric by which explainers are better or worse"):
        faithbench.run(plan(metrics=(ENTROPY,)), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_metric_that_is_nowhere_defined_goes_through_all_texts(tmp_path, monkeypatch):
    source = (
        "class Never:\n    higher_is_better = True\n    def __call__(self, text, a):\n        return float('nan')\n"
    )
    add_distribution(tmp_path, "odd", {"metrics": {"never": "odd_never:Never"}}, {"odd_never": source})
    monkeypatch.syspath_prepend(str(tmp_path))
    faithbench.run(plan(metrics=("never",)), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == list(PLANNED)
    assert (entry(tmp_path / "run")["ended"], entry(tmp_path / "run")["leading"]) == ("split", [])
    assert "of some nothing can be said yet" in faithbench.render([tmp_path / "run"])


def test_compare_says_it_too_until_a_run_has_taken_more_texts_than_a_look_asked_for(tmp_path, capsys):
    folder = tmp_path / "run"
    faithbench.run(plan(WIDE), folder, device="cpu")
    assert "chosen by looking (planted" in call(capsys, "compare", "occlusion", "random", folder).out
    faithbench.run(plan(None), folder, device="cpu")
    assert "by looking" not in call(capsys, "compare", "occlusion", "random", folder).out
    assert "by looking" not in faithbench.render([folder])


def test_another_plan_in_the_folder_takes_nothing_back(tmp_path):
    folder = tmp_path / "run"
    faithbench.run(plan(WIDE), folder, device="cpu")
    (first,) = entry(folder)["leading"]
    faithbench.run(plan(WIDE, models=("bcos-tiny",)), folder, device="cpu")
    one, other = entry(folder)["leading"]
    assert one == first
    assert other["model"] != first["model"]
    faithbench.run(plan(None, models=("bcos-tiny",)), folder, device="cpu")
    assert "chosen by looking" in faithbench.render([folder])
    faithbench.run(plan(None), folder, device="cpu")
    assert "by looking" not in faithbench.render([folder])


def test_there_is_no_look_where_none_is_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(until, "START", 7)  # as 100 of 122 texts, at which there is one look only
    faithbench.run(plan(WIDE, limit=12), tmp_path / "run", device="cpu")
    assert texts(tmp_path / "run") == [8]


def test_it_is_said_how_far_it_has_come(tmp_path):
    console = Console(file=io.StringIO(), width=1000)
    faithbench.run(plan(NARROW, limit=12), tmp_path / "run", device="cpu", console=console)
    told = console.file.getvalue()
    assert "not yet so after 8 of 40 texts and 1 look " in told
    assert "not so after 12 of 40 texts and 2 looks, the limit" in told


def test_the_plan_of_the_run_and_a_plan_file_hold_it(tmp_path):
    faithbench.run(plan(WIDE), tmp_path / "run", device="cpu")
    assert read_plan(tmp_path / "run" / "plan.toml").until == WIDE
    file = tmp_path / "plan.toml"
    file.write_text(f'datasets = ["{DATA}"]\nmodels = ["conv-tiny"]\nuntil = 2\n')
    assert read_plan(file).until == 2


@pytest.mark.parametrize("value", ["0", "nan", "-1", "inf", "1e400"])
def test_a_width_that_is_no_number_above_0_is_refused_in_a_sentence(capsys, tmp_path, value):
    ended = call(capsys, "run", "--until", value, "--out", tmp_path / "run")
    assert ended.status == 2
    (complaint,) = ended.complaints
    assert "until=" in complaint
    assert "must be a number above 0" in complaint


@pytest.mark.parametrize("value", ['"wide"', "true", "[2.0]", "0", "nan"])
def test_likewise_in_a_plan(tmp_path, value):
    file = tmp_path / "plan.toml"
    file.write_text(f'datasets = ["planted"]\nmodels = ["conv-tiny"]\nuntil = {value}\n')
    with pytest.raises(faithbench.UserError, match=r"until=.* is not allowed; it must be a number above 0"):
        read_plan(file)


def test_a_word_is_refused(capsys, tmp_path):
    ended = call(capsys, "run", "--until", "wide", "--out", tmp_path / "run")
    assert ended.status == 2
    assert "--until" in ended.err
