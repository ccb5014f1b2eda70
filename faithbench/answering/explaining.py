"""One explanation, checked; and the class that a model predicts."""

from dataclasses import replace

import numpy as np

from faithbench.conversations import Asking, Conversation, alone, ask
from faithbench.plugins.spec import Component
from faithbench.tasks import logits_of
from faithbench.types import Attribution, Target, Text


def explain(explainer: Component, text: Text, target: Target, outputs: int) -> Asking[Attribution]:
    """One explanation, checked: of the target that was asked for, with a finite score for each token.

    Args:
        explainer: whose.
        text: which.
        target: what is explained.
        outputs: how many the model has for this text.

    Raises:
        ValueError: there is no such output, or the explainer gave something else.
    """
    for output in (target.output, target.against):
        if output is not None and not 0 <= output < outputs:
            raise ValueError(f"target {output} is not one of {outputs} classes")
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
    return int((yield from alone(logits_of(text))).argmax())
