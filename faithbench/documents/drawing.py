"""Documents of different classes, drawn from judged texts."""

from collections.abc import Sequence

import numpy as np

from faithbench.documents.judging import JudgedText


def draw(texts: Sequence[JudgedText], documents: int, segments: int, seed: int) -> list[tuple[JudgedText, ...]]:
    """Documents of different classes, drawn at random among those with unused texts; each gives its next text.

    Args:
        texts: the surest first.
        documents: how many at most; fewer if fewer than `segments` classes have texts left.
        segments: of a document.
        seed: draws the classes.
    """
    generator = np.random.default_rng(seed)
    left = {label: [text for text in texts if text.label == label] for label in sorted({text.label for text in texts})}
    drawn: list[tuple[JudgedText, ...]] = []
    while len(drawn) < documents and len(left) >= segments:
        labels = [int(label) for label in generator.choice(list(left), segments, replace=False)]
        drawn.append(tuple(left[label].pop(0) for label in labels))
        left = {label: rest for label, rest in left.items() if rest}
    return drawn


def document_row(name: str, parts: Sequence[JudgedText], class_names: Sequence[str]) -> dict[str, object]:
    """A document as a line of the file: `label` is the class of the first segment."""
    ends = np.cumsum([len(part.text) + 1 for part in parts]).tolist()  # a line break stands between
    return {
        "id": name,
        "text": "\n".join(part.text for part in parts),
        "label": parts[0].label,
        "segments": [
            [end - 1 - len(part.text), end - 1, part.label] for part, end in zip(parts, ends, strict=True)
        ],
        "classes": [class_names[part.label] for part in parts],
        "sources": [part.id for part in parts],
        "confidence": [round(part.confidence, 6) for part in parts],
    }  # fmt: skip
