"""Adapter of `shap(…)`: shap's explainer, the function and the masker it is given, and what it gives."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np
from jaxtyping import Float

from faithbench.errors import QuestionError, unknown
from faithbench.interfaces import Classifier
from faithbench.types import Text
from faithbench_explainers.bridges.library import (
    check_call,
    check_target,
    entropy,
    library,
    masked_logits,
    own_chance,
    placed,
    split,
)

EXPLAINERS = ("Exact", "Partition", "Permutation")  # those made from a model and a masker that take any model
OURS = frozenset(("model", "masker", "seed", "outputs", "interactions", "silent"))


def check_explainer(explainer: str, arguments: Mapping[str, object]) -> None:
    """Raises a ValueError unless shap has such an explainer, which takes these arguments."""
    if explainer not in EXPLAINERS:
        raise ValueError(str(unknown("explainer of shap over token masks", explainer, EXPLAINERS)))
    found = getattr(library("shap", "shap").explainers, explainer)
    check_call(f"shap's {explainer}", found, found.__call__, arguments, OURS)


def scores(
    classifier: Classifier, text: Text, explainer: str, arguments: Mapping[str, object], target: int, seed: int
) -> Float[np.ndarray, "tokens"]:
    """What shap's explainer gives each token; 0 to special tokens.

    Raises:
        QuestionError: the model has no such class.
    """
    check_target(classifier, target)
    shap = library("shap", "shap")
    players = len(text.content)

    def value(present: Float[np.ndarray, "variants content"]) -> Float[np.ndarray, "variants"]:
        return masked_logits(classifier, text, present > 0.5)[:, target].astype(np.float64)

    found = getattr(shap.explainers, explainer)
    constructor, method = split(found.__call__, arguments)
    with own_chance():
        if players == 1:  # a tree of one leaf is no tree to shap; all explainers give this
            given = -np.diff(value(np.array([[1.0], [0.0]])))
        else:
            made = found(value, _masker(shap, explainer, players), **constructor)
            np.random.seed(entropy(seed, text))  # not before: the constructor of some seeds anew
            given = made(np.ones((1, players)), silent=True, **method).values[0]
    if np.shape(given) != (players,):
        raise QuestionError(f"shap's {explainer} gives something else than a number for each token")
    return placed(text, given)


def _masker(shap: ModuleType, explainer: str, players: int) -> object:
    absent = np.zeros((1, players))
    if explainer == "Partition":
        return shap.maskers.Partition(absent, clustering=halves(players))
    return shap.maskers.Independent(absent)


def halves(leaves: int) -> Float[np.ndarray, "nodes 4"]:
    """Neighbours halved again and again, as a tree in scipy's form: two children, height, leaves below."""
    tree: list[tuple[float, float, float, float]] = []

    def grow(first: int, count: int) -> tuple[int, float]:
        if count == 1:
            return first, 0.0
        left, low = grow(first, (count + 1) // 2)
        right, high = grow(first + (count + 1) // 2, count // 2)
        height = max(low, high) + 1
        tree.append((left, right, height, count))
        return leaves + len(tree) - 1, height

    grow(0, leaves)
    return np.array(tree, dtype=np.float64).reshape(-1, 4)
