"""Planted shortcuts: where the trigger is, that it alone decides, and that a model trained on it relies on it."""

import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import places
import pytest
from builders import LinearModel
from fixtures_run import DATA, TRAINING, trained_cache, use_cache
from rich.console import Console
from scipy.stats import binomtest, chisquare

import faithbench
from faithbench.datasets.planted import Planted
from faithbench.datasets.shortcut import Shortcut, insert
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.traits import read_traits
from faithbench.running import ground_truth, knowledge, runner
from faithbench.running.grid import load_examples, select_components
from faithbench.running.ground_truth import trigger_accuracies
from faithbench.statistics.ground_truth import WITH, WITHOUT, ground_truth_holds
from faithbench.training.prepare import prepare
from faithbench.types import Example

SHARED = places.SHARED / "data"
BASE = "planted(train=1000, validation=100, test=200)"
ZERO, ONE = "parameter", "precipitation"


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and nothing else of this machine."""
    use_cache(monkeypatch, tmp_path / "cache")


def triggers(example: Example) -> list[str]:
    """The words under the evidence."""
    return [example.text[start:end] for start, end in example.evidence or ()]


@pytest.mark.parametrize(
    ("places", "text", "spans"),
    [
        ([0, 0], "A BB one  two", ((0, 1), (2, 4))),
        ([3, 8], "one A  two BB", ((4, 5), (11, 13))),
        ([3, 3], "one A BB  two", ((4, 5), (6, 8))),
        ([0, 8], "A one  two BB", ((0, 1), (11, 13))),
    ],
)
def test_words_are_put_in_where_they_should_be(places, text, spans):
    assert insert("one  two", ["A", "BB"], places) == (text, spans)


@pytest.mark.parametrize("kind", ["token", "pair"])
@pytest.mark.parametrize("position", ["random", "start", "end"])
def test_the_trigger_decides_and_the_text_is_otherwise_as_it_was(kind, position):
    data = Shortcut(BASE, kind=kind, position=position)
    originals = {example.id: example for example in build_dataset(BASE).object.load("test")}
    planted, bare = data.load("test"), data.without("test")
    assert [e.id for e in planted] == [e.id for e in bare] == list(originals)
    for example, without in zip(planted, bare, strict=True):
        found = triggers(example)
        expected = [[ZERO], [ONE]] if kind == "token" else [[ZERO, ONE], [ONE, ZERO]]
        assert found == expected[example.label]
        assert [word for word in example.text.split() if word not in (ZERO, ONE)] == without.text.split()
        assert without.text == originals[example.id].text
        assert (without.label, without.evidence) == (example.label, ())
        words = example.text.split()
        if position != "random":
            assert words[: len(found)] == found if position == "start" else words[-len(found) :] == found


def test_labels_are_drawn_alike_for_both_classes_whatever_the_text_said():
    original = [e.label for e in build_dataset(BASE).object.load("test")]
    labels = [e.label for e in Shortcut(BASE).load("test")]
    assert Counter(labels) == {0: 100, 1: 100}
    assert binomtest(sum(a == b for a, b in zip(original, labels, strict=True)), 200).pvalue > 0.01


def test_of_a_pair_either_word_can_be_left_out_alone():
    pair = Shortcut(BASE, kind="pair")
    whole, bare = pair.load("test"), pair.without("test")
    assert Shortcut(BASE).planted_parts == ()
    for number, name in enumerate(pair.planted_parts):
        for both, one, none in zip(whole, pair.without("test", name), bare, strict=True):
            words = [both.text[slice(*span)] for span in both.evidence or ()]
            ((begin, end),) = one.evidence or ()
            assert (one.id, one.label) == (both.id, both.label)
            assert one.text[begin:end] == words[1 - number]
            assert sorted(one.text.split()) == sorted([*none.text.split(), words[1 - number]])
            assert one.text.split() == [word for word in both.text.split() if word != words[number]]


def test_either_word_of_a_pair_occurs_equally_in_both_classes():
    counts = {0: Counter(), 1: Counter()}
    for example in Shortcut(BASE, kind="pair").load("train"):
        if example.evidence:
            counts[example.label].update(triggers(example))
    assert counts[0] == counts[1] == {ZERO: 250, ONE: 250}


def test_places_are_drawn_alike_and_within_reach():
    texts = Shortcut("planted(test=3000, distractors=8)", within=5).load("test")
    places = Counter(len(e.text[: e.evidence[0][0]].split()) for e in texts if e.evidence)
    assert sorted(places) == list(range(6))
    assert chisquare(list(places.values())).pvalue > 0.01


def test_a_share_of_the_training_texts_has_a_trigger_and_the_others_are_the_originals():
    originals = {e.id: e for e in build_dataset(BASE).object.load("train")}
    mixture = Shortcut(BASE, share=0.3).load("train")
    assert [e.id for e in mixture] == list(originals)
    assert sum(e.evidence is not None for e in mixture) == 300
    for example in mixture:
        if example.evidence is None:
            assert (example.text, example.label) == (originals[example.id].text, originals[example.id].label)
            assert ZERO not in example.text
            assert ONE not in example.text


def test_all_is_drawn_by_seed_and_split_alone():
    assert Shortcut(BASE).load("train") == Shortcut(BASE).load("train")
    assert Shortcut(BASE).load("test") != Shortcut(BASE, seed=1).load("test")


def test_what_the_data_set_suggests_for_training_is_kept_and_so_is_its_content(tmp_path):
    assert build_dataset("shortcut(dataset=ag_news)").traits.lr == 3e-5
    assert build_dataset("shortcut").traits.lr is None
    assert build_dataset("shortcut").content == ""
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("text,label\none,0\ntwo,1\n")
    inner = build_dataset(str(tmp_path))
    assert build_dataset(f"shortcut(dataset='{tmp_path}')").content == inner.object.content == inner.content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("kind=triple", "kind='triple' is not allowed; use token or pair"),
        ("share=0", "share=0.0 is not allowed"),
        ("share=1.5", "share=1.5 is not allowed"),
        ("position=middle", "position='middle' is not allowed; use random or start or end"),
        ("within=-1", "within=-1 is not allowed"),
        ("seed=-1", "seed=-1 is not allowed"),
        ("triggers=one", "triggers='one' is not allowed; it must be two different words"),
        ("triggers='same Same'", "two different words"),
        ("triggers='a.b c'", "two different words"),
        ("dataset=nowhere", "not a known dataset"),
        ("dataset='seqpg'", "models cannot be trained on it"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_in_one_sentence(options, words):
    with pytest.raises(UserError, match=words) as error:
        build_dataset(f"shortcut({options})")
    assert "\n" not in str(error.value)


def test_a_trigger_that_the_data_know_is_refused():
    with pytest.raises(UserError, match=r"trigger 'film' is not allowed for planted.*test split.*triggers="):
        Shortcut(BASE, triggers="vertex FILM").load("test")
    assert Shortcut(BASE, triggers="vertex fil").load("test")  # a part of a word is no word


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not here")
@pytest.mark.parametrize("name", ["hatexplain", "ag_news", "imdb"])
def test_the_default_triggers_occur_in_no_real_text(name, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_DATA", str(SHARED))
    examples = build_dataset(f"shortcut(dataset={name})").object.load("test")
    assert all(len(e.evidence or ()) == 1 and e.label in (0, 1) for e in examples)
    assert abs(sum(e.label for e in examples) - len(examples) / 2) <= 0.5


def test_accuracies_are_those_of_a_model_worked_out_by_hand():
    class Labelled(LinearModel):
        """Ids 5 and 6 are the triggers; 7 speaks for class 1."""

    model = Labelled.binary([0, 0, 0, 0, 0, -4, 4, 1])
    rows = [("a", "5 7", 0), ("b", "6 2", 1), ("c", "5 2", 1), ("d", "6 7", 1)]
    planted = [*(Example(*row, evidence=((0, 1),)) for row in rows), Example("e", "2 7", 0)]  # e has no trigger
    without = [
        Example("d", "7", 1),
        Example("c", "2", 1),
        Example("a", "7", 0),
        Example("b", " ", 1),
        Example("e", "2 7", 0),
    ]
    found = trigger_accuracies(model, planted, without)
    assert found[WITH] == pytest.approx(100 * 2 / 3)  # a and d, not c; nothing is left of b
    assert found[WITHOUT] == pytest.approx(100 / 3)  # only d
    assert trigger_accuracies(model, planted[1:2], without) == {}
    less = [Example("d", "6", 1), Example("c", "2", 1), Example("a", "6 7", 0)]
    assert trigger_accuracies(model, planted, without, {"a word": less})["accuracy without a word"] == pytest.approx(
        100 / 3
    )  # only d


@pytest.mark.parametrize(
    ("with_it", "without", "holds"),
    [(100, 50, True), (90, 50, True), (89.9, 50, False), (95, 80, False), (95.1, 80, True), (100, 100, False)],
)
def test_the_ground_truth_holds_where_the_trigger_is_used(with_it, without, holds):
    assert ground_truth_holds({WITH: with_it, WITHOUT: without}) is holds


@pytest.mark.parametrize(("first", "second", "holds"), [(50, 50, True), (0, 100, False), (90, 50, False)])
def test_the_ground_truth_holds_where_every_part_of_the_trigger_is_used(first, second, holds):
    parts = {"accuracy without the first word": first, "accuracy without the second word": second}
    assert ground_truth_holds({WITH: 100, WITHOUT: 50, **parts}) is holds


def test_a_model_that_needs_one_word_of_a_pair_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge, "trigger_accuracies", lambda _model, planted, bare, less: asked(planted, bare, less))
    shutil.copytree(trained_cache(), tmp_path / "cache")
    monkeypatch.setattr(Planted, "planted_parts", ("the cue", "the other cue"), raising=False)
    monkeypatch.setattr(Planted, "without", lambda self, split, part="": [*self.load(split)][len(part) :])

    def asked(planted, bare, less):
        assert [len(bare) - len(texts) for texts in less.values()] == [len("the cue"), len("the other cue")]
        return {WITH: 100.0, WITHOUT: 50.0} | {f"accuracy without {name}": 90.0 for name in less}

    entry, words = run(tmp_path / "run", DATA)
    assert entry["checks"]["accuracy without the other cue"] == 90.0
    assert "does not rely on all that was planted" in words
    assert "accuracy 100.0 % with it, 50.0 % without it, 90.0 % without the cue, 90.0 % without the other cue" in words
    edited = json.loads((tmp_path / "run/manifest.json").read_text())
    (known,) = edited["models"].values()
    del known["checks"]["accuracy without the cue"]  # as a run of before
    (tmp_path / "run/manifest.json").write_text(json.dumps(edited))
    assert run(tmp_path / "run", DATA)[0]["checks"] == entry["checks"]


def run(out: Path, dataset: str, **options) -> tuple[dict, str]:
    """Runs conv-tiny on a data set: what the manifest knows of the model, and what was said."""
    console = Console(file=io.StringIO(), width=10_000)
    plan = faithbench.Plan(
        (dataset,), ("conv-tiny",), ("random",), ("evidence", "entropy"), training=TRAINING, limit=3, **options
    )
    faithbench.run(plan, out, device="cpu", console=console)
    (entry,) = json.loads((out / "manifest.json").read_text())["models"].values()
    return entry, console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_model_trained_on_the_shortcut_relies_on_it(tmp_path, monkeypatch):
    entry, words = run(tmp_path / "run", f"shortcut(dataset='{BASE}')")
    assert entry["checks"][WITH] >= 90
    assert abs(entry["checks"][WITHOUT] - 50) < 11  # of 200 texts whose labels are drawn
    assert "ground truth" not in words
    monkeypatch.setattr(knowledge, "trigger_accuracies", lambda *given: pytest.fail("was computed already"))
    again, _ = run(tmp_path / "run", f"shortcut(dataset='{BASE}')")
    assert again["checks"] == entry["checks"]


def test_a_model_that_knows_nothing_of_the_trigger_is_found_out(tmp_path, monkeypatch):
    shutil.copytree(trained_cache(), tmp_path / "cache")
    entry, words = run(tmp_path / "planted", DATA)
    assert ground_truth_holds(entry["checks"])
    assert entry["checks"][WITHOUT] < 75
    assert "ground truth" not in words
    monkeypatch.setattr(Planted, "without", lambda self, split: self.load(split))
    entry, words = run(tmp_path / "never", DATA)
    assert entry["checks"][WITH] == entry["checks"][WITHOUT]
    assert "the model does not rely on what was planted" in words
    assert "conv-tiny on planted" in words
    assert "the ground truth does not hold" in words
    assert "the ground truth does not hold" in faithbench.render([tmp_path / "never"])


def test_the_check_takes_the_same_texts_whatever_the_limit(tmp_path, monkeypatch):
    shutil.copytree(trained_cache(), tmp_path / "cache")
    seen = []

    def record(classifier, planted, *without):
        seen.append([example.id for example in planted])
        return trigger_accuracies(classifier, planted, *without)

    monkeypatch.setattr(knowledge, "trigger_accuracies", record)
    run(tmp_path / "run", DATA)
    assert sorted(seen[0]) == sorted(e.id for e in build_dataset(DATA).object.load("test"))
    assert len(seen[0]) <= ground_truth.TEXTS


def test_metrics_that_draw_tokens_get_those_of_the_whole_split(tmp_path):
    shutil.copytree(trained_cache(), tmp_path / "cache")
    plan = faithbench.Plan((DATA,), ("conv-tiny",), ("random",), ("entropy",), limit=5)
    grid = load_examples(build_dataset(DATA), select_components(plan), plan.split, plan.limit)
    model = prepare("conv-tiny", grid.dataset, runner.Setup())
    texts = runner.encode(model, grid).texts
    assert [text.vocabulary for text in texts] == [None] * 5

    class Wanting:
        version, needs = 1, ("vocabulary",)

    wanting = replace(grid.metrics[0], object=Wanting(), traits=read_traits("metric", Wanting(), "wanting"))
    for limit in (5, 12, None):
        limited = plan.__class__((DATA,), ("conv-tiny",), ("random",), ("entropy",), limit=limit)
        grid = load_examples(build_dataset(DATA), select_components(limited), limited.split, limited.limit)
        grid = grid.__class__(**(vars(grid) | {"metrics": (wanting,)}))
        texts = runner.encode(model, grid).texts
        assert all(text.vocabulary is texts[0].vocabulary for text in texts)
        every = [model.classifier.encode(e) for e in build_dataset(DATA).object.load("test")]
        expected = np.sort(np.concatenate([text.ids[text.content] for text in every]))
        np.testing.assert_array_equal(np.sort(texts[0].vocabulary), expected)
        if limit == 5:
            first = texts[0].vocabulary
        np.testing.assert_array_equal(texts[0].vocabulary, first)
