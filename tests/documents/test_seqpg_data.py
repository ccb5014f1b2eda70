"""Documents of the Sequence Pointing Game: by hand on a judge of known confidence, and their properties."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_network, tiny_tokenizer
from fixtures_run import use_cache
from networks import byte_pairs, end_of_text_pairs, unbounded_words, word_pieces
from scipy.stats import binomtest, chisquare
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from faithbench.documents.cutting import cut_texts
from faithbench.documents.drawing import document_row, draw
from faithbench.documents.judging import JudgedText, Losses, judge_texts
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.zoo import conventional
from faithbench.plugins.naming import build_dataset, refer, resolve
from faithbench.plugins.spec import build
from faithbench.training.named_models import checkpoint_folder
from faithbench.training.settings import training_dataset
from faithbench.types import Example


class Known(HuggingFaceClassifier):
    """A judge that looks up a text's first word: the probability of class 1."""

    def __init__(self, table: dict[str, float]) -> None:
        super().__init__(tiny_network("bert"), tiny_tokenizer())
        self.table = {self.tokenizer.convert_tokens_to_ids(word): p for word, p in table.items()}

    def logits(self, rows):
        return np.array([[0.0, math.log(p / (1 - p))] for p in (self.table[int(row.ids[1])] for row in rows)])


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and nothing else of this machine."""
    use_cache(monkeypatch, tmp_path / "cache")


TEXTS = [
    ("a", "lion at noon too late", 0),
    ("b", "Boat at noon", 0),  # fills the segment exactly
    ("c", "lion at", 0),  # too short
    ("d", "tears at noon", 0),  # taken for class 1
    ("e", "one at noon", 1),  # not sure enough
    ("f", "old at noon too", 1),
    ("g", "dull at noon", 1),
    ("h", "lion toiln noon", 0),  # pieces: toil ##n; cut behind them, "lion toil ##n" is no such text
]
CONFIDENCE = {"lion": 0.05, "boat": 0.2, "tears": 0.7, "one": 0.7, "old": 0.99, "dull": 0.9}


def test_texts_are_cut_judged_and_counted_as_worked_out_by_hand():
    examples = [Example(*row) for row in TEXTS]
    sure, losses = judge_texts(Known(CONFIDENCE), examples, segment=5, confidence=0.75)
    assert [(s.id, s.text, s.label) for s in sure] == [
        ("f", "old at noon", 1),
        ("a", "lion at noon", 0),
        ("g", "dull at noon", 1),
        ("b", "boat at noon", 0),
    ]
    np.testing.assert_allclose([s.confidence for s in sure], [0.99, 0.95, 0.9, 0.8], atol=1e-12)
    assert losses == Losses(texts=8, short=1, changed=1, wrong=1, unsure=1)
    assert losses.usable == len(sure)


def test_a_text_with_an_unknown_word_is_kept_and_read_again_as_it_was():
    judge = Known({"lion": 0.05, "old": 0.99, "[UNK]": 0.9})
    rows = [
        ("a", "lion \u2603 noon too", 0),
        ("b", "old [UNK] noon", 1),
        ("c", "\u2603 \u2603\u2603 at", 1),
        ("d", "lion [SEP] at", 0),
    ]
    sure, losses = judge_texts(judge, [Example(*row) for row in rows], segment=5, confidence=0.75)
    cut = {s.id: s.text for s in sure}
    assert cut == {"b": "old [UNK] noon", "a": "lion [UNK] noon", "c": "[UNK] [UNK] at"}
    assert losses == Losses(texts=4, short=0, changed=1, wrong=0, unsure=0)
    one = judge.encode(Example("d", "lion [UNK] noon\nold at noon", 0, segments=((0, 15, 0), (16, 27, 1))))
    assert one.ids[2] == judge.tokenizer.unk_token_id
    assert (one.segments[2], one.special[2]) == (0, False)  # a token of its segment, as any other


def names_are_words() -> PreTrainedTokenizerBase:
    """A tokenizer that does not read names of special tokens in a text: [UNK] is three unknown words to it."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "soup": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", split_special_tokens=True)


TOKENIZERS = {
    "words": tiny_tokenizer,
    "pieces": word_pieces,
    "byte pairs": byte_pairs,
    "unbounded": unbounded_words,
    "ends": end_of_text_pairs,
    "names are words": names_are_words,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_cut_texts_are_read_again_with_unknown_words_in_their_places(kind):
    tokenizer = TOKENIZERS[kind]()
    texts = [" ".join(words) for words in itertools.permutations(["the", "\u2603", "soup", "<unk>", "\u2603\u2603"])]
    for size in (4, 6, 9):
        full, cut = cut_texts(tokenizer, texts, size)
        ids = tokenizer(texts, truncation=True, max_length=size)["input_ids"]
        assert full == sum(len(each) == size for each in ids)
        for i, text in cut.items():
            again = tokenizer(text)["input_ids"]
            assert len(again) == size
            assert [t == tokenizer.unk_token_id for t in again] == [t == tokenizer.unk_token_id for t in ids[i]]
        if kind in ("words", "pieces", "names are words"):
            assert len(cut) == full  # none of these cuts a word into bytes


def test_texts_without_unknown_words_are_cut_as_ever():
    tokenizer = tiny_tokenizer()
    assert cut_texts(tokenizer, ["Lion at  NOON too", "lion toiln noon", "lion"], 5) == (2, {0: "lion at noon"})


def test_where_the_name_of_the_unknown_is_no_token_a_text_is_cut_as_it_was_written():
    assert cut_texts(names_are_words(), ["the \u2603  soup the", "the soup the soup"], 3) == (
        2,
        {0: "the \u2603  soup", 1: "the soup the"},
    )


def test_a_confidence_that_is_only_just_met_is_not_enough():
    examples = [Example("a", "lion at noon", 0), Example("b", "old at noon", 1)]
    judge = Known({"lion": 0.5, "old": 0.5 + 1e-9})
    sure, losses = judge_texts(judge, examples, segment=5, confidence=0.5)
    assert [s.id for s in sure] == ["b"]
    assert losses.unsure == 1


def test_a_document_is_written_as_worked_out_by_hand():
    parts = [JudgedText("f", "old at noon", 1, 0.99), JudgedText("a", "lion too", 0, 0.9500000004)]
    assert document_row("document-0", parts, ("bad", "good")) == {
        "id": "document-0",
        "text": "old at noon\nlion too",
        "label": 1,
        "segments": [[0, 11, 1], [12, 20, 0]],
        "classes": ["good", "bad"],
        "sources": ["f", "a"],
        "confidence": [0.99, 0.95],
    }


def pool(counts: dict[int, int], seed: int = 0) -> list[JudgedText]:
    """So many texts of each class, the surest first."""
    generator = np.random.default_rng(seed)
    texts = [
        JudgedText(f"{label}-{i}", "text", label, float(generator.uniform(0.75, 1)))
        for label, count in counts.items()
        for i in range(count)
    ]
    return sorted(texts, key=lambda text: -text.confidence)


@pytest.mark.parametrize("segments", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_each_text_is_used_once_and_is_the_surest_left_of_its_class(segments, seed):
    texts = pool({0: 9, 1: 4, 2: 7, 5: 1}, seed)
    documents = draw(texts, 100, segments, seed)
    used: set[str] = set()
    for document in documents:
        assert len({part.label for part in document}) == segments == len(document)
        for part in document:
            left = [text for text in texts if text.label == part.label and text.id not in used]
            assert part.confidence == max(text.confidence for text in left)
        assert used.isdisjoint(part.id for part in document)
        used |= {part.id for part in document}
    left = {text.label for text in texts if text.id not in used}
    assert len(left) < segments  # it went on until there was nothing left to draw
    assert draw(texts, 100, segments, seed) == documents
    assert draw(texts, 3, segments, seed) == documents[:3]


def test_classes_are_drawn_alike_in_every_order():
    documents = draw(pool({0: 3000, 1: 3000, 2: 3000}), 3000, 2, seed=1)
    orders = Counter(tuple(part.label for part in document) for document in documents)
    assert len(orders) == 6
    assert chisquare(list(orders.values())).pvalue > 0.01
    other = draw(pool({0: 3000, 1: 3000, 2: 3000}), 3000, 2, seed=2)
    assert [[p.label for p in d] for d in other] != [[p.label for p in d] for d in documents]


def test_nothing_can_be_drawn_of_one_class():
    assert draw(pool({3: 10}), 5, 2, seed=0) == []


@pytest.mark.parametrize(
    ("model", "judge"),
    [
        ("bcos-minilm(b=2.0)", "conv-minilm(seed=42)"),
        ("conv-bert(seed=7)", "conv-bert(seed=42)"),
        ("owner/name@main", "owner/name@main"),
    ],
)
def test_the_judge_is_the_conventional_model_of_the_backbone_or_the_model_itself(model, judge):
    assert conventional(refer(model)).identity == judge
    component = resolve(build_dataset("seqpg(segments=2)"), refer(model))
    assert component.object.judge == judge
    assert (component.object.segment, component.object.base) == (25, "hatexplain(classes=2)")
    assert build("dataset", component.identity).identity == component.identity
    assert component.label == "seqpg"
    assert (
        resolve(build_dataset("seqpg(judge='conv-tiny')"), refer(model)).object.judge
        == "conv-tiny(seed=42, masking=half)"
    )


@pytest.mark.parametrize(("name", "segment"), [("ag_news", 50), ("imdb", 256), ("hatexplain", 25)])
def test_published_lengths_are_the_default(name, segment):
    assert build_dataset(f"seqpg(dataset={name})").object.tokens == segment
    assert build_dataset(f"seqpg(dataset={name}, segment=30)").object.tokens == 30


def test_models_are_those_of_the_data_set_that_the_texts_are_from():
    model = build("model", "conv-tiny")
    for base in ("planted", "shortcut", "shortcut(dataset=hatexplain)"):
        derived = build_dataset(f"seqpg(dataset='{base}', segment=12)")
        assert training_dataset(derived).identity == build_dataset(base).identity
        assert checkpoint_folder(model, training_dataset(derived)) == checkpoint_folder(model, build_dataset(base))


def test_positions_of_segments_are_balanced():
    documents = draw(pool({0: 400, 1: 400}), 400, 2, seed=0)
    assert len(documents) == 400
    assert binomtest(sum(document[0].label for document in documents), 400).pvalue > 0.01


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seqpg(dataset=planted)", r"segment must be given for planted.*hatexplain \(25\)"),
        ("seqpg(dataset=nowhere)", "'nowhere' is not a known dataset"),
        ("seqpg(dataset='seqpg(segment=9)', segment=9)", "must not be documents themselves"),
        ("seqpg(judge='conv-minlm')", "'conv-minlm' is not a known model; did you mean conv-minilm"),
        ("seqpg(segment=2)", "segment=2 is not allowed; it must be at least 3"),
        ("seqpg(segments=1)", "segments=1 is not allowed"),
        ("seqpg(documents=1)", "documents=1 is not allowed"),
        ("seqpg(confidence=1)", "confidence=1.0 is not allowed"),
        ("seqpg(seed=-1)", "seed=-1 is not allowed"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_in_one_sentence(text, words):
    with pytest.raises(UserError, match=words) as error:
        build_dataset(text)
    assert "\n" not in str(error.value)


def test_documents_without_a_judge_or_not_built_are_not_there():
    with pytest.raises(UserError, match="depend on the model that judges"):
        build_dataset("seqpg").object.load("test")
    with pytest.raises(UserError, match="have not been built"):
        build_dataset("seqpg(judge='conv-tiny')").object.load("test")
