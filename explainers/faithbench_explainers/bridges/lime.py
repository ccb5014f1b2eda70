"""Adapter of `lime_package`: a text of numbered words, and what the package makes of it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from faithbench.interfaces import Classifier
from faithbench.probability import probabilities
from faithbench.types import Text
from faithbench_explainers.bridges.library import check_target, entropy, library, masked_logits, own_chance, placed

ABSENT = "absent"


def scores(
    classifier: Classifier,
    text: Text,
    num_samples: int,
    num_features: int,
    feature_selection: str,
    kernel_width: float,
    target: int,
    seed: int,
) -> Float[np.ndarray, "tokens"]:
    """What the package gives each token; 0 to special tokens and to those not selected.

    Raises:
        QuestionError: the model has no such class.
    """
    check_target(classifier, target)
    players = len(text.content)

    def classify(variants: Sequence[str]) -> Float[np.ndarray, "variants classes"]:
        return probabilities(masked_logits(classifier, text, present(variants, players)), text.link)

    with own_chance():
        explainer = library("lime_package", "lime.lime_text").LimeTextExplainer(
            kernel_width=kernel_width,
            feature_selection=feature_selection,
            split_expression=" ",
            bow=False,
            mask_string=ABSENT,
            random_state=np.random.RandomState(entropy(seed, text)),
        )
        explanation = explainer.explain_instance(
            " ".join(map(str, range(players))),
            classify,
            labels=(target,),
            num_features=num_features,
            num_samples=num_samples,
        )
    weights = np.zeros(players)
    for word, weight in explanation.as_map()[target]:
        weights[word] = weight
    return placed(text, weights)


def present(variants: Sequence[str], players: int) -> Bool[np.ndarray, "variants content"]:
    """Which of the numbered words are left in each variant of the text."""
    found = np.zeros((len(variants), players), dtype=bool)
    for row, variant in zip(found, variants, strict=True):
        row[[int(word) for word in variant.split(" ") if word != ABSENT]] = True
    return found
