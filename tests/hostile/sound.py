"""What is sound, and small: a checkpoint, data, a trained model, a run, a board, files of attributions. Made once."""

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from builders import WORDS, tiny_network, tiny_tokenizer

import faithbench
from faithbench.importing.texts import Texts
from faithbench.plugins.naming import build_dataset
from faithbench.studies.key import QUESTIONS, read_key
from faithbench.training.loading import load_classifier

DATA = "planted(train=40, validation=10, test=12)"
TRAINING = faithbench.Training(epochs=1, eval_limit=10)
PLAN = faithbench.Plan(
    (DATA,), ("conv-tiny",), ("random", "occlusion"), ("comprehensiveness", "entropy"), limit=6, training=TRAINING
)
VARIABLES = ("FAITHBENCH_DATA", "FAITHBENCH_BACKBONES")


@dataclass(frozen=True)
class Home:
    """A folder with `model`, `data.csv`, `run`, `study`, `boards/board` and `cache`, and nothing of this machine."""

    folder: Path

    def __post_init__(self) -> None:
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ["FAITHBENCH_CACHE"] = str(self.folder / "cache")
        if not self.run.exists():
            _make(self)

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def data(self) -> Path:
        return self.folder / "data.csv"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def study(self) -> Path:
        return self.folder / "study"

    @property
    def board(self) -> Path:
        return self.folder / "boards" / "board"


def _make(home: Home) -> None:
    network = tiny_network("bert")
    network.save_pretrained(home.model)
    tiny_tokenizer().save_pretrained(home.model)
    home.data.write_bytes(written(rows(), "csv"))
    faithbench.run(PLAN, home.run, device="cpu")
    faithbench.publish(home.run, home.board)
    faithbench.build_boards([home.board])
    made = faithbench.make_study([home.run], out=home.study, items=3, raters=2, every_pair=True)
    key = read_key(home.study)
    names = [name for item in key["items"] for name in item["explanations"]]
    ratings = {name: dict.fromkeys(QUESTIONS, 1 + i % 5) for i, name in enumerate(names)}
    answers = {"format": 1, "study": key["study"], "consent": True, "answers": ratings}
    for rater in (1, 2):
        (made.page.parent / f"answers-{rater}.json").write_text(json.dumps({**answers, "rater": rater}))


def rows() -> list[dict[str, Any]]:
    """A table of texts with labels and marks."""
    draw = random.Random(0)
    made = []
    for i in range(8):
        text = " ".join(draw.choices(WORDS, k=6))
        made.append({"id": f"t{i}", "text": text, "label": i % 2, "evidence": [[0, text.index(" ")]]})
    return made


def pairs() -> list[dict[str, Any]]:
    """A table of pairs of texts with names as labels."""
    return [
        {"premise": row["text"], "hypothesis": "a lion", "label": ("no", "yes")[i % 2]} for i, row in enumerate(rows())
    ]


def written(table: Sequence[Any], ending: str) -> bytes:
    """A table as the bytes of a file; what a format cannot say is said as JSON."""
    if ending.endswith(".gz"):
        return gzip.compress(written(table, ending.removesuffix(".gz")))
    if ending == "json":
        return json.dumps(table).encode()
    if ending == "jsonl":
        return "\n".join(map(json.dumps, table)).encode()
    if ending == "parquet":
        return _parquet(table)
    return _delimited(table, "\t" if ending == "tsv" else ",")


def _parquet(table: Sequence[Any]) -> bytes:
    out = io.BytesIO()
    try:
        pd.DataFrame(list(table)).to_parquet(out)
    except Exception:  # columns of mixed types, which pyarrow does not write
        pd.DataFrame([{str(k): json.dumps(v) for k, v in _fields(row).items()} for row in table]).to_parquet(out)
    return out.getvalue()


def _delimited(table: Sequence[Any], delimiter: str) -> bytes:
    fields = list(dict.fromkeys(key for row in table for key in _fields(row)))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, escapechar="\\")
    writer.writerow(fields)
    for row in table:
        cells = [_fields(row).get(key, "") for key in fields]
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "surrogatepass")


def _fields(row: Any) -> dict[Any, Any]:
    return row if isinstance(row, dict) else {"text": row}


class Shared:
    """What cases share within a process: the tiny model in memory, its texts, and what a file of attributions says."""

    def __init__(self, home: Home) -> None:
        self.classifier = load_classifier(str(home.model), "cpu", "float32").classifier
        self.examples = build_dataset(str(home.data)).object.load("test")
        self.texts = Texts(self.examples, "data.csv")
        self.entries = {name: self._entries(name) for name in ("jsonl", "eraser", "thermostat", "bcos", "document")}

    def _entries(self, name: str) -> Any:
        encoded = [self.classifier.encode(example) for example in self.examples]
        scores = [[round(0.1 * j - 0.2, 1) for j in range(len(text))] for text in encoded]
        ids = [example.id for example in self.examples]
        if name == "jsonl":
            return [
                {"id": i, "scores": s, "tokens": list(t.tokens), "text": t.source, "target": 1}
                for i, s, t in zip(ids, scores, encoded, strict=True)
            ]
        if name == "eraser":
            return [
                {"annotation_id": i, "rationales": [_rationale(i, s, k)], "classification": "1"}
                for k, (i, s) in enumerate(zip(ids, scores, strict=True))
            ]
        if name == "thermostat":
            return [
                {"idx": i, "input_ids": t.ids.tolist(), "attributions": s, "predictions": [0.1, 0.9], "label": 1}
                for i, (s, t) in enumerate(zip(scores, encoded, strict=True))
            ]
        explanations = [
            {"index": i, "target_class": 1, "predicted_class": 1, "attribution": list(map(list, zip(t.tokens, s)))}  # noqa: B905
            for i, (s, t) in enumerate(zip(scores, encoded, strict=True))
        ]
        return explanations if name == "bcos" else {"Bcos": [[each] for each in explanations]}


def _rationale(name: str, scores: list[float], number: int) -> dict[str, Any]:
    if number % 2:
        return {"docid": name, "hard_rationale_predictions": [{"start_token": 0, "end_token": 2}]}
    return {"docid": name, "soft_rationale_predictions": scores[1:-1]}
