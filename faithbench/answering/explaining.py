"""One explanation, checked; and the class that a model predicts."""

from dataclasses import replace

import numpy as np

from faithbench.conversations import Asking, Conversation, ask
from faithbench.plugins.spec import Component
from faithbench.questions import Logits
from faithbench.types import Attribution, Text


def explain(explainer: Component, text: Text, target: int, classes: int) -> Asking[Attribution]:
    """One explanation, checked: a class that exists, a finite score for each token."""
    if not 0 <= target < classes:
        raise ValueError(f"target {target} is not one of {classes} classes")
    attribution: Attribution = yield from ask(explainer.object, text, target)
    if attribution.target != target:
        raise ValueError(f"was asked about class {target} and speaks of class {attribution.target}")
    scores = np.asarray(attribution.scores)
    if scores.shape != (len(text),):
        raise ValueError(f"gave scores of shape {scores.shape} for a text of {len(text)} tokens")
    if not np.isfinite(scores).all():
        raise ValueError("gave scores that are not finite numbers")
    errors = attribution.standard_errors
    if errors is not None and np.shape(errors) != scores.shape:
        raise ValueError(f"gave standard errors of shape {np.shape(errors)} for a text of {len(text)} tokens")
    notes = {name: float(value) for name, value in attribution.notes.items()}
    return replace(attribution, scores=scores, notes=notes, tokens=text.tokens)


def predict(text: Text) -> Conversation[int]:
    """The class that the model predicts."""
    answers = yield (Logits(text, np.ones((1, len(text)), dtype=bool)),)
    return int(answers[0].value[0].argmax())
