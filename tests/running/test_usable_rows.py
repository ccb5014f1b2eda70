"""One bad row does not stop a run; and what a table must say of rows, labels and models beside the numbers."""

import json
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from builders import WORDS, LinearModel, tiny_network, tiny_tokenizer
from fixtures_run import call
from next_token import language_model, next_logits, questions
from rich.console import Console

import faithbench
from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plan import Plan
from faithbench.plugins.naming import ModelRef
from faithbench.plugins.spec import Component
from faithbench.questions import Row
from faithbench.records.kinds import kinds_of
from faithbench.records.store import Store
from faithbench.running.grid import load_examples, select_components
from faithbench.running.performance import logits_of_labelled, performance, performance_by_kind, unknown_tokens
from faithbench.running.runner import Run
from faithbench.tables.cautions import cautions, left_out, repeats_said, skipped_entry, strictly
from faithbench.tables.table import notes
from faithbench.tasks import CLASSIFICATION, MultiLabel, Regression
from faithbench.training.encoding import encode_examples, readable
from faithbench.training.prepare import Prepared, Workshop
from faithbench.types import Example, Skipped

TEXTS = ["a tale told in toil", "an old lion said", "too late to land", "a dull one", "not in tears", "a lost boat"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A folder with a tiny classifier whose classes are called good and bad."""
    folder = tmp_path_factory.mktemp("model")
    network = tiny_network("bert")
    network.config.id2label, network.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def data(folder: Path, rows: list[dict]) -> str:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def named(*extra: dict) -> list[dict]:
    rows = [{"id": str(i), "text": text, "label": ("bad", "good")[i % 2]} for i, text in enumerate(TEXTS)]
    return [*rows, *extra]


def run(model: str, dataset: str, out: Path, **options) -> Run:
    return faithbench.run(Plan((dataset,), (model,), ("random",), ("entropy",)), out, "cpu", **options)


BAD = [{"id": "thin", "text": "\u200b\u200d", "label": "good"}, {"id": "cut", "text": "\u200d", "label": "bad"}]


def test_texts_that_cannot_be_read_are_left_out_and_named(model, tmp_path):
    done = run(model, data(tmp_path, named(*BAD)), tmp_path / "run")
    assert (done.done, done.failed) == (6, 0)
    (entry,) = Store(tmp_path / "run").manifest()["models"].values()
    assert entry["skipped"]["count"] == 2
    assert entry["skipped"]["of"] == 8
    assert [row["id"] for row in entry["skipped"]["rows"]] == ["thin", "cut"]
    told = next(note for note in notes([tmp_path / "run"]) if "left out" in note)
    assert "2 of 8 rows were left out: row 'thin': its text is empty" in told
    assert "row 'cut': its text is empty" in told
    assert told in faithbench.render([tmp_path / "run"])


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("b", "its text is empty", "row 'b': its text is empty"),
        ("30", "row 31: its text is empty", "row 31: its text is empty"),
        ("b7", "row 31: its text is empty", "row 31 (id 'b7'): its text is empty"),
        ("31", "row 31: its text is empty", "row 31 (id '31'): its text is empty"),
    ],
)
def test_a_row_that_was_left_out_has_one_number(name: str, reason: str, said: str):
    assert left_out(skipped_entry([Skipped(name, reason)], 9)) == f"1 of 9 rows was left out: {said}."
    which, _, why = said.partition(": ")
    assert strictly([Skipped(name, reason)]) == f"{which} cannot be used: {why}; without --strict it is left out."


def test_texts_that_are_there_more_than_once_are_counted_and_said_wherever_tests_are(model, tmp_path, capsys):
    rows = [{**row, "id": f"{row['id']}-{time}"} for time in range(3) for row in named()]
    plan = Plan((data(tmp_path, rows),), (model,), ("random", "occlusion"), ("entropy", "comprehensiveness"))
    faithbench.run(plan, tmp_path / "run", "cpu")
    (entry,) = Store(tmp_path / "run").manifest()["models"].values()
    assert entry["repeated"] == {"count": 12, "of": 18}
    said = "6 of 18 texts are different, 12 repeat one of them; repeats say nothing new, so intervals"
    assert said in faithbench.render([tmp_path / "run"])
    for words in (["compare", "occlusion", "random"], ["compare", "occlusion", "--against", "all"]):
        assert said in " ".join(call(capsys, *words, tmp_path / "run").out.split())
    (tmp_path / "other").mkdir()
    other = data(tmp_path / "other", named())
    faithbench.run(replace(plan, datasets=(other,)), tmp_path / "run", "cpu")
    for path, times in ((plan.datasets[0], 1), (other, 0)):
        told = faithbench.comparison("occlusion", "random", [tmp_path / "run"] * 2, dataset=f"file(path={path!r})")
        assert sum(said in note for note in told.notes) == times
    page = faithbench.report([tmp_path / "run"], tmp_path / "report.html").read_text()
    assert "6 of 18 texts are different" in page
    faithbench.run(plan, tmp_path / "run", "cpu")  # nothing is measured again, and it is known still
    first, _ = Store(tmp_path / "run").manifest()["models"].values()
    assert first["repeated"] == {"count": 12, "of": 18}


def test_texts_that_differ_are_not_said_to_repeat(model, tmp_path):
    run(model, data(tmp_path, named()), tmp_path / "run")
    (entry,) = Store(tmp_path / "run").manifest()["models"].values()
    assert "repeated" not in entry
    assert repeats_said({"repeated": {"count": 4, "of": 100}}) is None
    assert repeats_said({"repeated": {"count": 1, "of": 20}}) == "19 of 20 texts are different, 1 repeats one of them"
    assert repeats_said({"repeated": {"count": 5, "of": 100}}) == (
        "95 of 100 texts are different, 5 repeat one of them"
    )


def test_where_an_order_of_classes_was_assumed_that_may_be_why_the_model_seems_to_know_nothing():
    bad = {"accuracy": 23.3, "chance": 40.0, "labelled": 30}
    assumed = "the model names no classes, so those of the data are taken in their order: a = 0, b = 1."
    (*_, told) = cautions({"performance": bad, "said": [assumed]})
    assert "perhaps its classes are in another order than was assumed: give labels its class numbers" in told
    few = {"accuracy": 100.0, "chance": 50.0, "labelled": 4}
    for entry in ({"performance": bad}, {"performance": few, "said": [assumed]}):
        *_, told = cautions(entry)
        assert "is not shown to be above chance" in told
        assert "another order" not in told


def test_a_strict_run_stops_at_the_first_of_them(model, tmp_path):
    dataset = data(tmp_path, named(*BAD))
    with pytest.raises(UserError, match="row 'thin'"):
        run(model, dataset, tmp_path / "run", strict=True)
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_was_left_out_and_ends_well_unless_it_is_strict(model, tmp_path, capsys):
    options = ["--model", model, "--dataset", data(tmp_path, named(*BAD)), "--explainer", "random"]
    options += ["--metric", "entropy", "--out", tmp_path / "run"]
    ended = call(capsys, "run", *options)
    assert ended.status == 0
    assert "2 of 8 rows were left out: row 'thin'" in ended.err
    refused = call(capsys, "run", *options, "--strict")
    assert refused.status == 2
    assert "row 'thin'" in refused.err


def test_a_run_of_nothing_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="2 of 2 rows were left out"):
        run(model, data(tmp_path, BAD), tmp_path / "run")


@dataclass(frozen=True)
class Rows:
    """A data set of given rows, of which it leaves some out."""

    examples: tuple[Example, ...]
    bad: tuple[Skipped, ...] = ()
    class_names: tuple[str, ...] = ("bad", "good")
    traits: ClassVar[Traits] = Traits(skipped=True)

    def load(self, split: str) -> tuple[Example, ...]:
        return self.examples

    def skipped(self, split: str) -> tuple[Skipped, ...]:
        return self.bad


def component(*examples: Example, **options) -> Component:
    return Component("rows", "rows", Rows(examples, **options), Rows.traits)


def test_rows_that_a_data_set_leaves_out_are_known_and_the_limit_draws_among_the_others():
    examples = [Example(str(i), "a tale", 0) for i in range(20)]
    selection = select_components(Plan(("planted",), ("conv-tiny",), ("random",), ("entropy",)))
    left = (Skipped("x", "its text is empty"),)
    found = load_examples(component(*examples, bad=left), selection, "test", 5)
    assert (found.skipped, found.split_texts, len(found.examples)) == (left, 20, 5)
    assert found.examples == load_examples(component(*examples), selection, "test", 5).examples
    with pytest.raises(UserError, match="has no row that can be used in its test split: 1 of 1 rows was left out"):
        load_examples(component(bad=left), selection, "test", None)


# Labels


def prepared(task=CLASSIFICATION, names=(), classes=2, **options) -> Prepared:
    classifier = HuggingFaceClassifier(tiny_network("bert", classes), tiny_tokenizer(), task=task)
    classifier.class_names = names
    return Prepared(classifier, "m", "m", {}, **options)


def test_labels_become_the_models_classes_but_for_a_model_made_for_the_data():
    examples = [Example("a", "a tale", 0), Example("b", "a boat", 1)]
    swapped = encode_examples(prepared(names=("good", "bad")), component(*examples), examples)
    assert [text.label for text in swapped.texts] == [1, 0]
    own = encode_examples(prepared(names=("good", "bad"), made_for="rows"), component(*examples), examples)
    assert [text.label for text in own.texts] == [0, 1]
    assert list(own.examples.values()) == examples
    with pytest.raises(UserError, match=r"m on rows: .*data: bad, good; model: yes, no"):
        encode_examples(prepared(names=("yes", "no")), component(*examples), examples)


def test_labels_are_values_for_a_model_that_says_values_and_no_labels_are_fine():
    examples = [Example("a", "a tale", 0), Example("b", "a boat", 1)]
    model = prepared(Regression(), classes=1)
    found = encode_examples(model, component(*examples, class_names=("0", "1")), examples)
    assert [found.examples[name].value for name in "ab"] == [0.0, 1.0]
    assert "labels are no numbers" in encode_examples(model, component(*examples), examples).said
    bare = [replace(example, label=None) for example in examples]
    assert encode_examples(prepared(), component(*bare, class_names=()), bare).said == ""


def test_whatever_a_tokenizer_fails_on_leaves_one_text_out():
    class Failing(LinearModel):
        def encode(self, example: Example):
            if example.id == "b":
                raise RuntimeError("no such\nthing")
            return super().encode(example)

    texts, skipped = readable(Failing.random(), [Example(name, "2 3", 0) for name in ("a", "b", "\ud83d")])
    assert [text.id for text in texts] == ["a"]
    assert skipped[0].reason == "it cannot be read: no such"
    assert "half of a character" in skipped[1].reason


# What models are worth


def test_performance_is_that_of_the_forward_pass():
    examples = [Example(str(i), text, i % 2) for i, text in enumerate(TEXTS)]
    model = prepared()
    read = encode_examples(model, component(*examples), examples)
    found = performance(model.classifier, read.texts, read.examples)
    rows = [Row(text.ids) for text in read.texts]
    right = model.classifier.logits(rows).argmax(axis=1) == [0, 1] * 3
    assert found["accuracy"] == pytest.approx(100 * right.mean())
    assert (found["labelled"], found["chance"]) == (6, 50.0)
    bare = {name: replace(example, label=None) for name, example in read.examples.items()}
    assert performance(model.classifier, read.texts, bare) == {}


def test_performance_of_next_token_questions_is_a_choice_and_a_gap_over_the_vocabulary():
    found, gaps, right = {}, [], []
    for contrast in (True, False):
        model = language_model("llama", contrast)
        asked = [
            replace(text, candidates=text.candidates[::-1]) if i else text for i, text in enumerate(questions(model))
        ]
        examples = {text.id: Example(text.id, text.source, 0) for text in asked}
        found[contrast] = performance(model, asked, examples)
    for text in asked:
        logits = next_logits(model, text.ids)
        chances = np.exp(logits - np.logaddexp.reduce(logits))
        good, bad = text.candidates
        gaps.append(chances[good] - chances[bad])
        right.append(logits[good] > logits[bad])
    assert 0 < np.mean(right) < 1
    assert found[True] == pytest.approx(found[False], rel=1e-9)
    wanted = {"accuracy": np.mean(right), "chance": 0.5, "probability gap": np.mean(gaps), "labelled": 0.04}
    assert found[True] == pytest.approx({name: 100 * value for name, value in wanted.items()})


def test_performance_of_each_kind_of_questions_is_that_of_its_texts():
    model, texts = language_model("llama"), questions(language_model("llama"))
    asked = [replace(text, id=f"test-{'ab'[i % 2]}-{i}") for i, text in enumerate(texts)]
    examples = {text.id: Example(text.id, text.source, 0) for text in asked}
    told = logits_of_labelled(model, asked, examples)
    found = performance_by_kind(model, asked, examples, told)
    assert found == {
        kind: pytest.approx(performance(model, asked[begin::2], examples)) for begin, kind in enumerate("ab")
    }
    one = [replace(text, id=f"a-{i}") for i, text in enumerate(texts)]
    examples = {text.id: Example(text.id, text.source, 0) for text in one}
    assert performance_by_kind(model, one, examples, logits_of_labelled(model, one, examples)) == {}


def test_kinds_on_which_a_model_is_not_shown_to_be_above_chance_are_said():
    good, bad = ({"accuracy": each, "chance": 50.0, "labelled": 40} for each in (90.0, 52.5))
    (told,) = cautions({"performance": good, "kinds": {"ioi": bad, "anaphor": good, "npi": {**bad, "accuracy": 10.0}}})
    assert (
        told == "on some kinds of questions its accuracy is not shown to be above chance: ioi (52.5 %), npi (10.0 %)."
    )


@pytest.mark.parametrize(
    ("units", "kinds"),
    [
        (("test-ioi-0", "test-subject-verb-1", "test-ioi-2"), ("ioi", "subject-verb")),
        (("npi_present_1/3", "anaphor/4"), ("npi_present_1", "anaphor")),
        (("ioi-0", "ioi-1"), ()),
        (("a-1", "2"), ()),
        (tuple(f"{i}-1" for i in range(60)), ()),
        ((), ()),
    ],
)
def test_kinds_of_questions_are_what_ids_say_before_their_numbers(units, kinds):
    assert kinds_of(units) == kinds


def test_performance_of_labels_and_of_values():
    model = prepared(MultiLabel(), classes=3)
    examples = [Example(str(i), text, None, labels=(i % 3,)) for i, text in enumerate(TEXTS)]
    read = encode_examples(model, component(*examples, class_names=("0", "1", "2")), examples)
    found = performance(model.classifier, read.texts, read.examples)
    given = model.classifier.logits([Row(text.ids) for text in read.texts]) > 0
    right = [set(np.flatnonzero(row)) == {i % 3} for i, row in enumerate(given)]
    assert found["subset accuracy"] == pytest.approx(100 * np.mean(right))
    model = prepared(Regression(), classes=1)
    examples = [Example(str(i), text, None, value=i / 5) for i, text in enumerate(TEXTS)]
    read = encode_examples(model, component(*examples), examples)
    assert set(performance(model.classifier, read.texts, read.examples)) == {"R²", "correlation", "labelled"}


def test_a_document_of_segments_of_two_classes_has_no_right_answer():
    model = prepared()
    length = len(TEXTS[0])
    of_two, of_one = ((0, length // 2, 0), (length // 2, length, 1)), ((0, length, 1),)
    examples = [Example("two", TEXTS[0], 0, segments=of_two), Example("one", TEXTS[0], 1, segments=of_one)]
    read = encode_examples(model, component(*examples), examples)
    assert len(read.texts) == 2
    assert set(logits_of_labelled(model.classifier, read.texts, read.examples)) == {"one"}
    assert performance(model.classifier, read.texts, read.examples)["labelled"] == 1
    assert performance(model.classifier, read.texts[:1], read.examples) == {}


def test_accuracy_is_in_the_table_measured_once_and_doubted_at_chance(model, tmp_path, monkeypatch):
    dataset = data(tmp_path, named())
    run(model, dataset, tmp_path / "run")
    (entry,) = Store(tmp_path / "run").manifest()["models"].values()
    assert entry["performance"]["texts"] == entry["performance"]["labelled"] == 6
    table = faithbench.render([tmp_path / "run"])
    assert "accuracy here" in table
    assert "macro F1 here" in table
    doubted = "explanations of a model that knows nothing are worth nothing" in table
    assert doubted == (entry["performance"]["accuracy"] < 99)
    monkeypatch.setattr("faithbench.running.knowledge.performance", lambda *_: pytest.fail("measured again"))
    run(model, dataset, tmp_path / "run")
    (again,) = Store(tmp_path / "run").manifest()["models"].values()
    assert again["performance"] == entry["performance"]


def test_tokens_that_are_unknown_are_counted_and_too_many_refused():
    model = prepared()
    texts, _ = readable(model.classifier, [Example("a", f"{WORDS[0]} zebra", 0), Example("b", "a boat", 0)])
    assert unknown_tokens(model.classifier, texts) == pytest.approx(25.0)
    texts, _ = readable(model.classifier, [Example("a", "zebra yak", 0)])
    with pytest.raises(UserError, match="100 % of the tokens are unknown to the tokenizer"):
        unknown_tokens(model.classifier, texts)
    assert unknown_tokens(LinearModel.random(), texts) is None


# Metrics and models


def test_a_metric_that_no_model_fits_is_refused_and_one_that_some_fit_is_said(model, tmp_path, monkeypatch):
    several, usual = prepared(MultiLabel(), names=("good", "bad")), Workshop.prepare
    monkeypatch.setattr(
        Workshop, "prepare", lambda self, ref, *rest: several if ref.text == "m" else usual(self, ref, *rest)
    )
    monkeypatch.setattr("faithbench.running.agenda.refer", ModelRef)
    plan = Plan((data(tmp_path, named()),), ("m",), ("random",), ("decision_flip", "entropy"))
    with pytest.raises(UserError, match=r"'decision_flip' measures models .* and m says several labels"):
        faithbench.run(plan, tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()
    console = Console(file=StringIO(), width=1000)
    done = faithbench.run(replace(plan, models=("m", model)), tmp_path / "run", "cpu", console=console)
    assert (done.done, done.failed) == (6 + 12, 0)
    assert "left out: metric 'decision_flip' measures models that say one class" in console.file.getvalue()
    links = {entry["label"]: entry["link"] for entry in Store(tmp_path / "run").manifest()["models"].values()}
    assert links == {"m": "sigmoid", model: "softmax"}


def test_a_table_of_several_targets_a_text_counts_both(tmp_path, monkeypatch):
    several = prepared(MultiLabel(), classes=3)
    several.classifier.model.classifier.bias.data += torch.tensor([9.0, 9.0, -9.0])  # two labels are given to all texts
    monkeypatch.setattr(Workshop, "prepare", lambda *_: several)
    monkeypatch.setattr("faithbench.running.agenda.refer", ModelRef)
    rows = [{"id": str(i), "text": text, "label": i % 2} for i, text in enumerate(TEXTS)]
    plan = Plan((data(tmp_path, rows),), ("m",), ("occlusion", "random"), ("comprehensiveness",))
    faithbench.run(plan, tmp_path / "run", "cpu")
    frame = faithbench.table([tmp_path / "run"])
    assert set(frame["texts"]) == {6}
    assert set(frame["n"]) == {12}
    assert "12 explained outputs of 6 texts, each counted alone." in faithbench.render([tmp_path / "run"])
