"""Next-token questions through the command line: what cannot be asked is counted, or refused in one sentence."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from continuing_tokenizers import word_level
from fixtures_run import call
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, PreTrainedModel

PREFIX = "the keys near the lamp"
ITEM = {"prefix": PREFIX, "good": "are", "bad": "is", "evidence": [[4, 8]]}
WORDS = word_level("the keys key near lamp lamps are is he sees".split())
SIZES = {"vocab_size": len(WORDS), "n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 16, "pad_token_id": 0}
QUICK = ("--explainer", "input_x_gradient", "--device", "cpu")


def folder(path: Path, kind: type[PreTrainedModel]) -> str:
    torch.manual_seed(0)
    kind(GPT2Config(**SIZES, bos_token_id=1, eos_token_id=2)).save_pretrained(path)
    WORDS.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return folder(tmp_path_factory.mktemp("models") / "lm", GPT2LMHeadModel)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    return folder(tmp_path_factory.mktemp("models") / "classifier", GPT2ForSequenceClassification)


def items(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps({"id": str(n), **row}) + "\n" for n, row in enumerate(rows)))
    return str(path)


UNUSABLE = {
    "its text has continuations of which one begins with the other": {"good": "he", "bad": "he sees"},
    "its text has a prefix of 20 tokens, and the model reads 16": {"prefix": "the keys " * 10, "evidence": None},
    "its text has a continuation 'was' that the tokenizer does not know": {"bad": "was"},
}


def test_what_cannot_be_asked_is_left_out_counted_and_named(
    language_model: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # a sentence with a long path is cut
    (tmp_path / "lm").symlink_to(language_model)
    data = items(Path("items.jsonl"), [ITEM, *(ITEM | row for row in UNUSABLE.values()), ITEM])
    out = Path("run")
    ended = call(capsys, "run", "--model", "./lm", "--dataset", data, *QUICK, "--metric", "evidence_mrr", "--out", out)
    assert ended.status == 0, ended.err
    said = " ".join(ended.err.split())
    assert "3 of 5 rows were left out" in said
    assert [why for why in UNUSABLE if why not in said] == []
    assert "2 results done" in " ".join((ended.out + ended.err).split())
    (noted,) = json.loads((out / "manifest.json").read_text())["datasets"].values()
    (note,) = noted["notes"]
    assert "1 of 5 questions mark no evidence" in note
    told = f"{note.partition(': ')[2]}."
    assert note in said
    for more in ((), ("--like", "decoders")):
        assert told in " ".join(call(capsys, "table", out, *more).out.split())


@pytest.mark.parametrize("why", UNUSABLE)
def test_where_nothing_can_be_asked_there_is_one_sentence_and_no_run(
    why: str, language_model: str, tmp_path: Path, capsys: Any
):
    data = items(tmp_path / "items.jsonl", [ITEM | UNUSABLE[why]] * 2)
    refused(capsys, tmp_path, "2 of 2 rows were left out", "--model", language_model, "--dataset", data)


def test_a_classifier_is_refused_on_questions(classifier: str, tmp_path: Path, capsys: Any):
    data = items(tmp_path / "items.jsonl", [ITEM])
    refused(capsys, tmp_path, "asks which of two words follows", "--model", classifier, "--dataset", data)


def test_a_language_model_is_refused_on_labelled_texts(language_model: str, tmp_path: Path, capsys: Any):
    data = items(tmp_path / "texts.jsonl", [{"text": PREFIX, "label": "yes"}, {"text": PREFIX, "label": "no"}])
    refused(capsys, tmp_path, "has no questions for it", "--model", language_model, "--dataset", data)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("lm({lm}, problem_type=regression)", "'problem_type' is not a known parameter of model 'lm'"),
        ("lm({lm}, fill=nonesuch)", "fill='nonesuch' is not allowed"),
        ("lm({lm}x)", "there is no such folder"),
        ("lm({classifier})", "was saved as GPT2ForSequenceClassification, no language model"),
        ("classifier({lm})", "was saved as GPT2LMHeadModel, no classifier"),
    ],
)
def test_a_model_that_cannot_be_had_so(
    written: str, why: str, language_model: str, classifier: str, tmp_path: Path, capsys: Any
):
    data = items(tmp_path / "items.jsonl", [ITEM])
    model = written.format(lm=language_model, classifier=classifier)
    refused(capsys, tmp_path, why, "--model", model, "--dataset", data)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("rationale_f1", "metric 'rationale_f1' needs rationale"),
        ("evidence_mrr", "metric 'evidence_mrr' needs evidence"),
        ("seqpg", "metric 'seqpg' needs"),
    ],
)
def test_a_metric_that_needs_what_no_question_has(
    metric: str, why: str, language_model: str, tmp_path: Path, capsys: Any
):
    data = items(tmp_path / "items.jsonl", [{**ITEM, "evidence": None}])
    refused(capsys, tmp_path, why, "--model", language_model, "--dataset", data, "--metric", metric)


@pytest.mark.parametrize("name", ["prefix", "good", "bad"])
def test_a_column_that_is_missing_is_named(name: str, language_model: str, tmp_path: Path, capsys: Any):
    rows = [{key: value for key, value in ITEM.items() if key not in (name, "evidence")}]
    data = items(tmp_path / "items.jsonl", rows)
    refused(capsys, tmp_path, f"has no column '{name}'", "--model", language_model, "--dataset", data)


def refused(capsys: Any, tmp_path: Path, why: str, *words: str) -> None:
    """One sentence, status 2, and no folder."""
    out = tmp_path / "run"
    ended = call(capsys, "run", *words, *QUICK, "--out", out)
    sentence = " ".join(ended.err.partition("faithbench: ")[2].split())
    assert ended.status == 2, ended.err
    assert why in sentence
    assert sentence.count("faithbench: ") == 0
    assert len(sentence.replace(str(tmp_path), "")) < 500
    assert "Traceback" not in ended.err
    assert not out.exists()
