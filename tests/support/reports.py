"""Runs by hand whose texts, predictions and attributions are kept, as a report reads them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from records import record

from faithbench.records.kept_parts import add_kept
from faithbench.records.store import Store
from faithbench.records.text_parts import Gold, prediction_row, text_row
from faithbench.types import Record, Text

CELL = {"dataset": "planted", "dataset_fingerprint": "d", "model": "conv-tiny(seed=42)", "model_fingerprint": "m"}
COMP = "comprehensiveness(protocol=strict, operator=mask)"
SRG = "srg(operator=mask, steps=64)"
SUFF = "sufficiency(protocol=strict, operator=mask)"
RANDOM = "random(seed=0)"


def values_of(n: int, **means: float) -> dict[str, np.ndarray]:
    """Values of explainers on n texts: what texts have in common, the mean, and a little noise."""
    draws = np.random.default_rng(0)
    common = draws.normal(0, 5, n)
    return {name: mean + common + draws.normal(0, 1, n) for name, mean in means.items()}


def records_of(
    values: dict[str, np.ndarray], metric: str = SRG, ids: Sequence[str] = (), **more: object
) -> list[Record]:
    """A record for each explainer and text."""
    return [
        record(float(value), i, explainer=name, metric=metric, **{"unit": ids[i]} if ids else {}, parts=(), **more)
        for name, column in values.items()
        for i, value in enumerate(column)
    ]


def text_of(name: str, source: str, label: int = 0, mark: str = "") -> Text:
    """A text whose words are its tokens, between two special ones."""
    words = source.split(" ")
    ends = np.cumsum([len(word) + 1 for word in words])
    spans = [(0, 0), *((int(end) - len(word) - 1, int(end) - 1) for word, end in zip(words, ends, strict=True)), (0, 0)]
    special = np.array([True, *[False] * len(words), True])
    return Text(
        id=name,
        ids=np.arange(len(words) + 2),
        special=special,
        words=np.array([-1, *range(len(words)), -1]),
        tokens=("[CLS]", *words, "[SEP]"),
        mask_id=3,
        label=label,
        rationale=np.array([False, *(word == mark for word in words), False]) if mark else None,
        source=source,
        offsets=np.array(spans),
    )


def keep_texts(
    folder: Path,
    texts: Sequence[Text],
    explainers: Sequence[str],
    scores: Callable[[str, Text], np.ndarray],
    classes: Sequence[str],
    words: tuple[str | None, str | None] = (None, None),
    targets: Sequence[tuple[int, int | None]] = ((1, None),),
) -> None:
    """Adds texts, what the model said (class 1, every fifth time 0), and attributions to a run's folder."""
    store = Store(folder).open()
    own = {"dataset": "planted", "dataset_fingerprint": "d", "tokenizer": "t"}
    add_kept(store, "texts", (text_row(own, text, None, *words) for text in texts))
    add_kept(
        store,
        "predictions",
        (
            prediction_row(
                {**CELL, "tokenizer": "t"}, text, Gold(text.label), int(i % 5 > 0), [0.2, 0.8] if i % 5 else [0.9, 0.1]
            )
            for i, text in enumerate(texts)
        ),
    )
    store.add(
        [
            {
                **CELL,
                "explainer": name,
                "version": "1",
                "text_id": text.id,
                "target": target,
                "against": against,
                "scores": list(scores(name, text)),
                "standard_errors": None,
                "notes": "{}",
                "seconds": 0.5,
                "rows": 7,
                "error": None,
            }
            for name in explainers
            for text in texts
            for target, against in targets
        ],
        [],
    )
    store.flush()
    name = f"{CELL['model']} on {CELL['dataset']}"
    store.change_manifest(lambda manifest: manifest["models"][name].update(class_names=list(classes)))
