"""What named models are trained on: pairs as pairs, classes by their names, and nothing that has no classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import tiny_classifier, tiny_tokenizer
from fixtures_run import use_cache
from transformers import AutoConfig

import faithbench
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.naming import build_dataset
from faithbench.training.fine_tuning import _tokenised
from faithbench.training.initial_models import check_labels
from faithbench.training.tokenising import AT_ONCE
from faithbench.types import Example


def folder_of(place, rows):
    """A folder whose splits are all of these rows."""
    for split in ("train", "validation", "test"):
        (place / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return build_dataset(place)


WORDS = "lion boat dull tears toil noon land".split()
PAIRS = [
    {"premise": "old at noon", "hypothesis": word, "label": name}
    for word, name in [("lion", "entailment"), ("boat", "neutral"), ("dull", "contradiction")]
]


@pytest.mark.parametrize("model", ["conv-tiny", "bcos-tiny"])
def test_a_model_trained_on_pairs_knows_its_classes(model, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    (tmp_path / "nli").mkdir()
    folder_of(tmp_path / "nli", PAIRS)
    checkpoint, report = faithbench.train(model, str(tmp_path / "nli"), faithbench.Training(epochs=1), device="cpu")
    assert AutoConfig.from_pretrained(checkpoint).id2label == {0: "contradiction", 1: "entailment", 2: "neutral"}
    assert report["texts"] == {"train": 3, "validation": 3, "test": 3}
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    assert {"noon", "lion", "boat"} <= vocabulary.keys()  # of both texts


def test_pairs_are_tokenised_as_pairs_and_texts_as_before():
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 8
    single = Example("a", "old lion at noon", 1)
    paired = replace(single, pair="a dull boat lost in tears")
    ids = tokenizer(single.text)["input_ids"]
    (row,) = _tokenised([single], tokenizer)
    assert {name: np.array(value).tolist() for name, value in row.items()} == {
        "input_ids": ids,
        "special_tokens_mask": [1, 0, 0, 0, 0, 1],
        "label": 1,
    }
    assert "token_type_ids" not in _tokenised([paired], tokenizer)[0]
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert "token_type_ids" not in _tokenised([single], tokenizer)[0]
    expected = tokenizer(paired.text, paired.pair, truncation=True, max_length=8)
    assert len(expected["input_ids"]) == 8
    many = [replace(paired, text=f"a {WORDS[i % 7]}", pair=f"old {WORDS[i % 5]}") for i in range(AT_ONCE + 2)]
    for examples in ([paired], many, [replace(one, pair=None) for one in many]):
        for one, row in zip(examples, _tokenised(examples, tokenizer), strict=True):
            expected = tokenizer(one.text, one.pair, truncation=True, max_length=8)
            assert row["input_ids"].tolist() == expected["input_ids"]
            assert ("token_type_ids" in row) is (one.pair is not None)
            assert one.pair is None or row["token_type_ids"].tolist() == expected["token_type_ids"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": None}, "text '1' of the train split has no label"),
        ({"label": None, "labels": (0,)}, "text '1' of the train split has several labels"),
        ({"pair": "two"}, "some of its texts are pairs"),
    ],
)
def test_data_that_no_classifier_can_learn_are_refused(change, words, tmp_path):
    data = folder_of(tmp_path, [{"text": "a", "label": 0}, {"text": "b", "label": 1}])
    rows = data.object.load("train")
    check_labels(data, {"train": rows, "test": rows})
    with pytest.raises(UserError, match=words):
        check_labels(data, {"train": [rows[0], replace(rows[1], **change)], "test": rows})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((1, 1), "only one class; at least two"),
        ((0.5, 1), "regression"),
        (([0], [1]), "several"),
        ((None, None), "no label"),
    ],
)
def test_training_on_such_data_ends_in_a_sentence(labels, words, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    folder_of(tmp_path, [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)])
    with pytest.raises(UserError, match=words):
        faithbench.train("conv-tiny", str(tmp_path), faithbench.Training(epochs=1), device="cpu")


def test_names_of_classes_are_no_part_of_a_models_fingerprint():
    first = tiny_classifier("bert")
    before = first.fingerprint()
    first.model.config.id2label = {0: "no", 1: "yes"}
    assert HuggingFaceClassifier(first.model, first.tokenizer).fingerprint() == before
