"""What a run's folder says of itself: its plans, its commands, its texts, and a page for whoever finds it."""

import json
import os
import shutil
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import DATA, TRAINING, call, checkpoint, trained_cache, use_cache

import faithbench
from faithbench.errors import UserError
from faithbench.plan import Plan, Training, read_plan, write_plan
from faithbench.plugins.spec import build
from faithbench.records import commands
from faithbench.records.commands import NAME, Noted, read_commands
from faithbench.records.results import panels, read
from faithbench.records.store import Store
from faithbench.records.texts import KeptTexts, read_texts
from faithbench.running.contents import Contents, together
from faithbench.running.readme import BEGIN
from faithbench.running.scoring import Scoring
from faithbench.training.prepare import load_model
from faithbench.training.setup import Setup

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


RUN = Plan((DATA,), ("conv-tiny",), ("random",), ("entropy",), limit=4, training=TRAINING)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


@pytest.fixture
def run(cache: None, tmp_path: Path) -> Path:
    return faithbench.run(RUN, tmp_path / "run", device="cpu").folder


def kept(folder: Path) -> tuple[KeptTexts, dict[str, str]]:
    """The texts of a folder, and the key of its only model and data set."""
    (panel,) = panels(read([folder]))
    return read_texts([folder]), panel.key


def ids(folder: Path) -> dict[str, set[str]]:
    texts, key = kept(folder)
    return {"texts": set(texts.of(key)), "predictions": set(texts.said(key))}


def parts(folder: Path) -> set[Path]:
    return {path for kind in ("texts", "predictions") for path in (folder / kind).iterdir()}


def test_a_run_keeps_its_texts_as_the_model_reads_them_and_what_it_says(run: Path):
    texts, key = kept(run)
    model = load_model(str(checkpoint()), Setup(train=False)).classifier
    examples = {each.id: each for each in build("dataset", DATA).object.load("test")}
    said, gold, found = texts.said(key), texts.gold(key), texts.of(key)
    assert len(found) == len(said) == 4
    assert texts.class_names(key) == model.class_names
    for name, text in found.items():
        wanted = model.encode(examples[name])
        for field in (each.name for each in fields(text) if each.name != "vocabulary"):
            np.testing.assert_equal(getattr(text, field), getattr(wanted, field), err_msg=field)
        assert gold[name].label == examples[name].label
        assert said[name].predicted == said[name].probabilities.argmax()
        assert said[name].probabilities.sum() == pytest.approx(1)
    targets = read([run]).set_index("unit")["target"].to_dict()
    assert {name: each.predicted for name, each in said.items()} == targets


def test_a_run_again_writes_nothing_and_a_larger_one_what_is_missing(run: Path):
    first = parts(run)
    faithbench.run(RUN, run, device="cpu")
    assert parts(run) == first
    faithbench.run(replace(RUN, limit=7, explainers=("occlusion",)), run, device="cpu")
    new = parts(run) - first
    assert sorted(path.parent.name for path in new) == ["predictions", "texts"]
    assert {len(each) for each in ids(run).values()} == {7}
    assert [each["came_to"]["done"] for each in read_commands(run)] == [4, 7]  # one found nothing to do


def test_a_run_that_finds_nothing_to_do_leaves_every_file_as_it_was(run: Path):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for plan in (RUN, replace(RUN, limit=2)):
        faithbench.run(plan, run, device="cpu")
        assert {
            path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "manifest.json"
        } == {path: content for path, content in before.items() if path.name != "manifest.json"}


def test_a_run_from_before_texts_were_kept_gets_them(run: Path):
    before = ids(run)
    for kind in before:
        shutil.rmtree(run / kind)
    texts, key = kept(run)
    assert (texts.of(key), texts.said(key)) == ({}, {})
    done = faithbench.run(RUN, run, device="cpu")
    assert (done.done, done.before) == (0, 4)
    assert ids(run) == before


def test_two_precisions_share_texts_and_say_each_its_own(run: Path):
    faithbench.run(replace(RUN, dtype="float64"), run, device="cpu")
    found = read_texts([run])
    keys = [panel.key for panel in panels(read([run]))]
    assert [len(found.said(key)) for key in keys] == [len(found.of(key)) for key in keys] == [4, 4]
    assert len(list((run / "texts").iterdir())) == 1


def test_workers_leave_the_same(run: Path, tmp_path: Path):
    other = faithbench.run(RUN, tmp_path / "other", device="cpu", workers=2).folder
    assert ids(other) == ids(run)


def test_an_import_keeps_its_texts_and_the_run_adds_what_is_said(run: Path, tmp_path: Path):
    rows = Store(run).read("attributions").iloc[:2]
    file = tmp_path / "scores.jsonl"
    file.write_text(
        "".join(json.dumps({"id": r.text_id, "scores": r.scores.tolist()}) + "\n" for r in rows.itertuples())
    )
    out = tmp_path / "imported"
    found = faithbench.import_attributions(file, "conv-tiny", DATA, name="mine", out=out, device="cpu")
    key = dict(zip(("dataset", "dataset_fingerprint", "model", "model_fingerprint"), rows.iloc[0], strict=False))
    assert set(read_texts([out]).of(key)) == set(rows["text_id"])
    assert read_texts([out]).said(key) == {}
    faithbench.run(replace(RUN, explainers=(found.explainer,)), out, device="cpu")
    assert set(read_texts([out]).said(key)) >= ids(run)["predictions"]
    assert [each["came_to"]["done"] for each in read_commands(out)] == [2, 2]


def test_results_of_two_tokenizers_are_not_mixed_but_of_two_that_read_alike(cache: None, tmp_path: Path):
    model = shutil.copytree(checkpoint(), tmp_path / "model")
    plan = replace(RUN, models=(str(model),))
    out = faithbench.run(plan, tmp_path / "run", device="cpu").folder
    read = {word for text in kept(out)[0].of(kept(out)[1]).values() for word in text.tokens}
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isalpha())
    used, unused = [word for word in words if word in read][:2], [word for word in words if word not in read][:2]

    def exchange(one: str, other: str) -> None:
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
        file.write_text(json.dumps(tokenizer))

    exchange(*unused)
    assert faithbench.run(replace(plan, explainers=("random", "occlusion")), out, device="cpu").done
    exchange(*used)
    before = parts(out)
    with pytest.raises(UserError, match=r"with another tokenizer: text .* has other tokens now; run into"):
        faithbench.run(plan, out, device="cpu")
    assert parts(out) == before


def test_what_is_killed_has_left_texts_plan_and_command(cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Scoring, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            faithbench.run(RUN, tmp_path / "run", device="cpu")
    (left,) = read_commands(tmp_path / "run")
    assert "ended" not in left
    assert read_plan(tmp_path / "run" / "plan.toml") == RUN
    before = parts(tmp_path / "run")
    assert {path.parent.name for path in before} == {"texts", "predictions"}
    faithbench.run(RUN, tmp_path / "run", device="cpu")
    assert parts(tmp_path / "run") == before
    assert ["ended" in each for each in read_commands(tmp_path / "run")] == [False, True]


def test_a_corrupt_part_of_texts_is_named_with_the_cure(run: Path):
    (part,) = (run / "texts").iterdir()
    part.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"texts/.*\.parquet is corrupt .*; delete it and run again"):
        faithbench.run(RUN, run, device="cpu")
    part.unlink()
    faithbench.run(RUN, run, device="cpu")
    assert len(ids(run)["texts"]) == 4


def test_commands_are_noted_as_given_with_date_version_and_machine(cache: None, tmp_path: Path, capsys):
    words = ["run", "--model", "conv-tiny", "--dataset", DATA, "--explainer", "random", "--metric", "entropy"]
    words += ["--limit", "3", "--device", "cpu", "--out", str(tmp_path / "a run")]
    assert call(capsys, *words).status == 0
    (noted,) = read_commands(tmp_path / "a run")
    assert noted["command"] == f"faithbench run --model conv-tiny --dataset '{DATA}' " + " ".join(words[5:-1]) + (
        f" '{tmp_path / 'a run'}'"
    )
    assert noted["began"] <= noted["ended"]
    assert noted["ended"].endswith("Z")
    assert noted["came_to"] == {"done": 3, "before": 0, "failed": 0}
    assert {"hardware", "python", "torch", "transformers"} <= set(noted["machine"])
    assert noted["version"] == version("faithbench")
    text = (tmp_path / "a run" / NAME).read_text()
    assert os.environ["FAITHBENCH_CACHE"] not in text


def test_calls_from_python_are_noted_by_their_plan(run: Path, tmp_path: Path):
    (noted,) = read_commands(run)
    assert noted["command"] is None
    (tmp_path / "noted.toml").write_text(noted["plan"])
    assert read_plan(tmp_path / "noted.toml") == RUN


def test_only_line_feeds_end_a_line(tmp_path: Path):
    mine = json.dumps({"id": "mine", "command": "one\u2028two\x85three"}, ensure_ascii=False)
    (tmp_path / NAME).write_text(f"{mine}\n", encoding="utf-8")
    noted = Noted({})
    noted.begin(Store(tmp_path))
    noted.end(done=1)
    assert next(each["id"] for each in read_commands(tmp_path)) == "mine"
    assert (tmp_path / NAME).read_text(encoding="utf-8").startswith(f"{mine}\n{{")


def test_a_line_that_was_torn_or_is_of_a_person_stays_and_is_left_out(tmp_path: Path):
    store = Store(tmp_path).open()
    (tmp_path / NAME).write_text('# mine\n{"id": "torn", "comm')
    noted = Noted({"python": "3"})
    noted.end(done=1)
    assert read_commands(tmp_path) == []
    noted.begin(store)
    noted.end(done=1)
    assert [each["came_to"] for each in read_commands(tmp_path)] == [{"done": 1}]
    assert (tmp_path / NAME).read_text().startswith('# mine\n{"id": "torn", "comm\n')


def test_where_there_is_no_checkout_no_commit_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(commands, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    assert commands.commit.__wrapped__() is None


def test_the_page_of_a_folder_is_made_again_but_not_over_a_persons(run: Path):
    page = run / "README.txt"
    text = page.read_text()
    assert text.startswith(BEGIN)
    assert f"faithbench table {run}" in text
    page.write_text("mine")
    faithbench.run(RUN, run, device="cpu")
    assert page.read_text() == "mine"
    page.write_text(BEGIN + "old")
    faithbench.run(RUN, run, device="cpu")
    assert page.read_text() == text


def test_the_manifest_names_classes_and_what_the_tokenizer_does(run: Path):
    (entry,) = Store(run).manifest()["models"].values()
    assert entry["class_names"] == ["bad", "good"]
    assert len(entry["tokenizer"]) == 16


def test_what_the_manifest_says_of_more_texts_is_not_replaced_by_a_smaller_run(run: Path):
    before = Store(run).manifest()
    faithbench.run(replace(RUN, limit=2, explainers=("occlusion",)), run, device="cpu")
    after = Store(run).manifest()
    assert after["datasets"] == before["datasets"]
    for one, other in zip(before["models"].values(), after["models"].values(), strict=True):
        assert other["performance"] == one["performance"]
        assert other["read"] == one["read"]
        assert other["performance"]["texts"] == 4
    faithbench.run(replace(RUN, limit=7), run, device="cpu")
    (entry,) = Store(run).manifest()["models"].values()
    assert entry["performance"]["texts"] == entry["read"]["texts"] == 7
