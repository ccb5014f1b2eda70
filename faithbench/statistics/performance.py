"""How well a model does what it is for: accuracy and macro F1 of classes and of labels, R² of values; and chance."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

ALPHA = 0.05


def of_classes(predicted: Int[np.ndarray, "texts"], labels: Int[np.ndarray, "texts"]) -> dict[str, float]:
    """`accuracy`, `macro F1` over the classes that occur on either side, `chance`; in percent."""
    classes = np.union1d(predicted, labels)
    f1 = [_f1(predicted == number, labels == number) for number in classes]
    return {
        "accuracy": 100 * float((predicted == labels).mean()),
        "macro F1": 100 * float(np.mean(f1)),
        "chance": _most_frequent(labels.tolist()),
    }


def of_choices(logits: Float[np.ndarray, "texts 2"]) -> dict[str, float]:
    """`accuracy` of choices between two of which the first is right, which no tie is, and `chance`; in percent."""
    return {"accuracy": 100 * float((logits[:, 0] > logits[:, 1]).mean()), "chance": 50.0}


def of_labels(
    predicted: Bool[np.ndarray, "texts labels"], labels: Bool[np.ndarray, "texts labels"]
) -> dict[str, float]:
    """`subset accuracy` (all labels of a text right), `macro F1` over labels that occur, `chance`; in percent."""
    there = np.flatnonzero(predicted.any(axis=0) | labels.any(axis=0))
    f1 = [_f1(predicted[:, number], labels[:, number]) for number in there]
    return {
        "subset accuracy": 100 * float((predicted == labels).all(axis=1).mean()),
        "macro F1": 100 * float(np.mean(f1)) if f1 else 100.0,
        "chance": _most_frequent([row.tobytes() for row in labels]),
    }


def of_values(predicted: Float[np.ndarray, "texts"], values: Float[np.ndarray, "texts"]) -> dict[str, float]:
    """`R²`, 0 for whoever always says the mean, and Pearson's `correlation`; nothing where all values are equal."""
    spread = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if not spread > 0:
        return {}
    found = {"R²": 1 - float(((values - predicted) ** 2).sum()) / spread}
    if predicted.std() > 0:
        found["correlation"] = float(np.corrcoef(predicted, values)[0, 1])
    return found


def is_above_chance(performance: Mapping[str, float]) -> bool:
    """Whether a model is shown to know something: R² above 0, or an accuracy that chance has in 5 % of cases at most.

    Chance is to name the most frequent class always, and one half of choices between two; the test is the exact
    binomial one. Where only one class occurs, nothing can be shown, and nothing is doubted.
    """
    if "R²" in performance:
        return performance["R²"] > 0
    accuracy = performance.get("accuracy", performance.get("subset accuracy"))
    if accuracy is None or performance["chance"] >= 100:
        return True
    n = int(performance["labelled"])
    right = round(accuracy / 100 * n)
    return float(stats.binom.sf(right - 1, n, performance["chance"] / 100)) <= ALPHA


def accuracy_interval(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934), in percent; NaN where there is nothing."""
    if not n:
        return math.nan, math.nan
    found = stats.binomtest(right, n).proportion_ci(level)
    return 100 * float(found.low), 100 * float(found.high)


def _f1(predicted: Bool[np.ndarray, "texts"], labels: Bool[np.ndarray, "texts"]) -> float:
    return 2 * float((predicted & labels).sum()) / float(predicted.sum() + labels.sum())


def _most_frequent(labels: Sequence[Hashable]) -> float:
    return 100 * max(Counter(labels).values()) / len(labels)
