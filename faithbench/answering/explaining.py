"""One explanation or measurement, checked; and the class that a model predicts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.returned import check_attribution, check_dimensions, check_measurement
from faithbench.conversations import Asking, answering, ask, attempt, gather, on_variant
from faithbench.errors import QuestionError, UserError, describe, words_of
from faithbench.interfaces import Classifier
from faithbench.plugins.spec import Component
from faithbench.questions import Explain
from faithbench.tasks import logits_of
from faithbench.types import Attribution, Measurement, Target, Text


def ready(kind: str, component: Component) -> None:
    """Lets a component find what it is told to use, before anything is explained: those that have `resolve` do so.

    Raises:
        UserError: it cannot.
    """
    try:
        getattr(component.object, "resolve", lambda: None)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        words = words_of(error) if isinstance(error, UserError) else describe(error)
        raise UserError(f"{kind} {component.label!r}: {words}") from error


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
    return check_attribution((yield from ask(explainer.object, text.own(), target)), text, target)


def explain_dimensions(explainer: Component, text: Text, target: Target) -> Asking[Float[np.ndarray, "tokens d"]]:
    """What an explainer that has a method `per_dimension` aggregates to scores, checked.

    Raises:
        ValueError: it gave something else.
    """
    return check_dimensions((yield from ask(explainer.object.per_dimension, text.own(), target)), text)


def targets_of(classifier: Classifier, text: Text) -> Asking[tuple[Target, ...]]:
    """What there is to explain of a text, checked.

    Raises:
        ValueError: the classifier's task gives nothing, or something else.
    """
    targets: object = yield from classifier.task.targets(text)
    if not isinstance(targets, tuple) or not targets or not all(isinstance(target, Target) for target in targets):
        raise ValueError(f"the model's task gives a {type(targets).__name__}, not a tuple of one or more targets")
    return targets


def measure(metric: Component, text: Text, attribution: Attribution) -> Asking[Measurement]:
    """One measurement, checked. The attribution is the metric's own copy; the text has to be so already.

    Raises:
        ValueError: the metric gave something else.
    """
    return check_measurement((yield from ask(metric.object, text, attribution.own())))


def measure_with(
    metric: Component, text: Text, found: Attribution, again: Callable[[Text, Target], Asking[Attribution]]
) -> Asking[Measurement]:
    """One measurement of a text and an attribution that others are given too.

    Args:
        metric: which.
        text: which.
        found: the attribution.
        again: answers what the metric asks of the explainer, save for the attribution itself.
    """
    own = text.own()

    def answer(question: Explain) -> Asking[Attribution]:
        if question.variant is None and question.text is own and question.target == found.target:
            return found.own()
        try:
            return (yield from on_variant(question.variant, again(question.text, question.target)))
        except Exception as error:
            raise QuestionError(f"the explainer failed: {describe(error)}") from error

    return answering(measure(metric, own, found), answer)


def measure_repeats(
    metric: Component, text: Text, found: Attribution, explainer: Component, outputs: int
) -> Asking[Measurement]:
    """Runs a metric on an explanation, and on those of the explainer's `repeats`, if it has some: their mean.

    Args:
        metric: which; what it asks of the explainer is asked of the explainer.
        text: which.
        found: the explanation.
        explainer: whose.
        outputs: how many the model has for this text.
    """

    def one(explainer: Component, found: Attribution) -> Asking[Measurement]:
        return measure_with(metric, text, found, lambda own, target: explain(explainer, own, target, outputs))

    def repeat(explainer: Component) -> Asking[Measurement]:
        again = yield from _blamed(explain(explainer, text, found.target, outputs))
        return (yield from one(explainer, again))

    asked = [one(explainer, found), *map(repeat, repeats_of(explainer))]
    return Measurement.pooled((yield from gather(asked)))


def repeats_of(explainer: Component) -> list[Component]:
    """Explainers that differ from one by chance alone, as it says itself; what is measured is the mean over them all.

    Raises:
        ValueError: it says so of what is no sequence.
    """
    if not explainer.traits.repeats:
        return []
    others: object = explainer.object.repeats()
    if not isinstance(others, Sequence):
        raise ValueError(f"repeats() gives a {type(others).__name__}, not a sequence of explainers")
    return [replace(explainer, object=other) for other in others]


def _blamed(asking: Asking[Attribution]) -> Asking[Attribution]:
    """An explanation that a metric asks for: what fails there is the explainer's."""
    try:
        return (yield from asking)
    except Exception as error:
        raise QuestionError(f"the explainer failed: {describe(error)}") from error


def logits_by_id(classifier: Classifier, texts: Iterable[Text]) -> dict[str, Float[np.ndarray, "outputs"]]:
    """What a model says of texts, one forward row each, without those that it fails on."""
    answers = Engine(classifier).run(attempt(text.id, logits_of(text)) for text in texts)
    return {name: outcome.value for name, outcome in answers if outcome.value is not None}


def predict(text: Text) -> Asking[int]:
    """The class that the model predicts."""
    return int((yield from logits_of(text)).argmax())
