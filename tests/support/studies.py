"""Runs of two models whose explanations are known, as a study is made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from faithbench.records.kept_parts import add_kept
from faithbench.records.store import Store
from faithbench.records.text_parts import Gold, prediction_row, text_row
from faithbench.types import Text

CLASSES = ("World", "Sports")
DATA = {"dataset": "file(path=news.csv)", "dataset_fingerprint": "d0"}
MODELS = {
    "conv-x": {"bcos()": 3.0, "occlusion()": 1.0, "random()": -1.0},
    "bcos-x": {"bcos()": 2.0, "occlusion()": 0.5},
}


def a_text(name: str, words: Sequence[str], label: int) -> Text:
    """A text of so many words, a token each, between two special tokens."""
    source = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    offsets = np.array([(0, 0), *((end - len(word), end) for word, end in zip(words, ends, strict=True)), (0, 0)])
    special = np.array([True, *[False] * len(words), True])
    return Text(
        id=name,
        ids=np.arange(len(words) + 2),
        special=special,
        words=np.where(special, -1, np.arange(-1, len(words) + 1)),
        tokens=("[CLS]", *words, "[SEP]"),
        mask_id=0,
        label=label,
        source=source,
        offsets=offsets,
    )


def scores_of(text: Text, factor: float) -> list[float]:
    """Scores that rise from word to word, in a method's own size."""
    scores = factor * (np.arange(len(text)) - 1.5)
    scores[text.special] = 0
    return [float(score) for score in scores]


def run_with_texts(
    folder: Path,
    texts: Sequence[Text],
    predicted: Mapping[str, Sequence[int]],
    class_names: Sequence[str] = CLASSES,
    models: Mapping[str, Mapping[str, float]] = MODELS,
    kept: bool = True,
) -> Path:
    """A run's folder, as far as a study reads it.

    Args:
        folder: where.
        texts: of the data set.
        predicted: the class of each text, by each model.
        class_names: of both models.
        models: by how much each explainer of each model stretches its scores.
        kept: whether the run keeps its texts.
    """
    store = Store(folder).open()
    entries = {
        f"{name} on {DATA['dataset']}": {
            "label": name,
            "fingerprint": f"w-{name}",
            "truncated_texts": 0,
            "class_names": list(class_names),
        }
        for name in models
    }
    store.change_manifest(lambda manifest: manifest.update(models=entries, datasets={}))  # type: ignore[typeddict-item]
    if kept:
        add_kept(store, "texts", [text_row(DATA | {"tokenizer": "t"}, text, None) for text in texts])
    for name, explainers in models.items():
        own = DATA | {"model": name, "model_fingerprint": f"w-{name}"}
        said = list(zip(texts, predicted[name], strict=True))
        if kept:
            rows = [
                prediction_row(own | {"tokenizer": "t"}, text, Gold(text.label), number, [0.5, 0.5])
                for text, number in said
            ]
            add_kept(store, "predictions", rows)
        store.add(
            [
                own
                | {"explainer": explainer, "version": "1", "text_id": text.id, "target": number, "against": None}
                | {"scores": scores_of(text, factor), "seconds": 0.0, "rows": 1, "error": None}
                for explainer, factor in explainers.items()
                for text, number in said
            ],
            [],
        )
    store.flush()
    return folder
