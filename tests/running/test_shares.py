"""How often a model predicts each class: one row a text of the split, counted once, gone on with after a stop."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import WORDS, tiny_classifier
from fixtures_run import DATA, TRAINING, trained_cache, use_cache

import faithbench
from faithbench.answering.engine import Engine
from faithbench.answering.explaining import predict
from faithbench.conversations import attempt
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.records.store import Store
from faithbench.running import shares
from faithbench.tables.table import table
from faithbench.tasks import MultiLabel, NextToken
from faithbench.types import Example

EXAMPLES = [Example(str(i), " ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 5)), i % 2) for i in range(60)]
PLAN = faithbench.Plan((DATA,), ("conv-tiny",), ("random",), ("entropy",), limit=9, training=TRAINING)


@pytest.fixture
def classifier() -> HuggingFaceClassifier:
    return tiny_classifier("bert", classes=3)


def slowly(classifier: HuggingFaceClassifier) -> dict[str, int]:
    asked = [attempt(each.id, predict(classifier.encode(each))) for each in EXAMPLES]
    counts = Counter(outcome.value for _, outcome in Engine(classifier).run(asked))
    return {str(name): counts[name] for name in sorted(counts)}


def test_every_text_of_the_split_is_counted(classifier: HuggingFaceClassifier):
    (found,) = shares.predicted(classifier, EXAMPLES)
    assert found["classes"] == slowly(classifier)
    assert (found["texts"], found["of"]) == (60, 60)
    assert len(found["classes"]) > 1


def test_it_goes_on_where_it_was_left(classifier: HuggingFaceClassifier, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shares, "AT_ONCE", 25)
    first, *rest = shares.predicted(classifier, EXAMPLES)
    assert [each["texts"] for each in (first, *rest)] == [25, 50, 60]
    *_, last = shares.predicted(classifier, EXAMPLES, first)
    assert last["classes"] == slowly(classifier)
    assert list(shares.predicted(classifier, EXAMPLES, last)) == []


def test_what_is_known_already_is_not_asked(classifier: HuggingFaceClassifier, monkeypatch: pytest.MonkeyPatch):
    known = {each.id: 2 for each in EXAMPLES}
    (found,) = shares.predicted(classifier, EXAMPLES, known={name: known[name] for name in [*known][:50]})
    assert found["texts"] == 60
    assert found["classes"]["2"] >= 50
    monkeypatch.setattr(shares, "Engine", None)
    (found,) = shares.predicted(tiny_classifier("bert"), EXAMPLES[:5], known=known)
    assert found["classes"] == {"2": 5}


def test_of_a_huge_split_a_sample_is_asked(classifier: HuggingFaceClassifier, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shares, "MOST", 30)
    (found,) = shares.predicted(classifier, EXAMPLES)
    assert (found["texts"], found["of"], sum(found["classes"].values())) == (30, 60, 30)


def test_texts_that_cannot_be_read_are_of_no_class(classifier: HuggingFaceClassifier):
    (found,) = shares.predicted(classifier, [*EXAMPLES, Example("empty", "", 0)])
    assert found["classes"] == slowly(classifier)
    assert found["texts"] == 61


def test_where_a_text_has_several_classes_to_explain_nothing_is_counted(classifier: HuggingFaceClassifier):
    several = HuggingFaceClassifier(classifier.model, classifier.tokenizer, task=MultiLabel())
    assert list(shares.predicted(several, EXAMPLES)) == []


def test_a_run_counts_once_and_its_table_is_post_stratified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use_cache(monkeypatch, trained_cache())
    run = faithbench.run(PLAN, tmp_path / "run", device="cpu").folder

    def counted() -> dict:
        (entry,) = Store(run).manifest()["models"].values()
        return entry["predicted"]

    first = counted()
    assert (first["texts"], first["of"], sum(first["classes"].values())) == (40, 40, 40)
    (row,) = table([run]).itertuples()
    records = Store(run).read("records")
    means = records.groupby("target")["value"].mean()
    assert row.post_stratified
    assert row.mean == pytest.approx(sum(first["classes"][str(c)] / 40 * mean for c, mean in means.items()))
    assert faithbench.run(PLAN, run, device="cpu").done == 0
    assert counted() == first  # the seconds too: nothing was asked again


def test_next_token_questions_have_no_classes_to_count():
    model = SimpleNamespace(identity="m", classifier=SimpleNamespace(task=NextToken()))
    texts = SimpleNamespace(every=[Example("a", "b", 0, good="c", bad="d")], dataset=SimpleNamespace(identity="d"))
    scoring = SimpleNamespace(store=None, model=model, texts=texts)  # no store is asked for anything
    shares.note_predicted(scoring, {})
    assert shares.uncounted(scoring) == 0
