"""What every metric must keep: the clauses, and the trial whose answers they look at."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float

from faithbench.conformance import linear
from faithbench.conformance.answers import (
    TOLERANCE,
    Numbers,
    alike,
    answers,
    answers_alone,
    answers_in_company,
    check_texts,
    largest,
    outcomes,
)
from faithbench.conformance.state import State, check_same, state
from faithbench.conformance.told import traits_of
from faithbench.conversations import Asking, Outcome, answering, ask, on_variant
from faithbench.interfaces import Classifier, Metric, Traits
from faithbench.questions import Explain, Gradient, Gradients
from faithbench.shown import listed
from faithbench.types import Attribution, Measurement, Target, Text

Case = tuple[str, str]  # a text's id, and which scores
Scores = Float[np.ndarray, "tokens"]
Method = Callable[[Text, Target], Attribution]
TARGET = Target(0)
RANDOM = "random"
MONOTONE: Mapping[str, Callable[[Scores], Scores]] = {  # what they make of random scores is in the same order
    "positive": np.exp,
    "negative": lambda scores: -np.exp(-scores),
    "raised": lambda scores: 3 * scores + 1,
    "uneven": lambda scores: np.cumsum(_draws("steps").exponential(size=len(scores)))[np.argsort(np.argsort(scores))],
}
OTHERS: Mapping[str, Callable[[Scores], Scores]] = {
    "equal": np.ones_like,
    "single": lambda scores: (scores == scores.max()).astype(np.float64),
}
OPTIONAL = tuple(field.name for field in fields(Text) if field.default is None)  # what a text may lack
PROVABLE = ("faithfulness", "ground truth")  # kinds of metrics that should prefer a perfect explanation
DRAWS = 2  # random explanations of each text


def check_metric(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Checks all that a metric must keep, on random attributions.

    Args:
        component: the metric.
        classifier: answers its questions.
        texts: a few, of different lengths, with all that the metric `needs`.

    Raises:
        AssertionError: says what it does not keep.
    """
    trial = MetricTrial(component, classifier, texts)
    for clause in METRIC_CLAUSES:
        clause(trial)


@dataclass(frozen=True, eq=False)
class MetricTrial:
    """A metric put to the question: each answer is had once, when the first clause asks for it."""

    component: Metric
    classifier: Classifier
    texts: Sequence[Text]
    given: Mapping[Case, Attribution] = field(init=False)
    before: State = field(init=False)  # before any question

    def __post_init__(self) -> None:
        for need in self.traits.needs:
            present = all(getattr(text, need) is not None for text in self.texts)
            assert present, f"{self.component!r} needs {need}: check it with texts that have it."
        check_texts(self.texts)
        given = {(text.id, name): _attribution(text, made) for name, made in self._made.items() for text in self.texts}
        object.__setattr__(self, "given", given)
        object.__setattr__(self, "before", self.state())

    @cached_property
    def traits(self) -> Traits:
        """What the metric says of itself."""
        return traits_of("metric", self.component)

    @cached_property
    def alone(self) -> dict[str, Measurement]:
        """Its value of each text by itself, for random scores."""
        return answers_alone(self.classifier, self.texts, self.measuring)

    @cached_property
    def crowded(self) -> dict[str, Measurement]:
        """Its value when all texts are in every batch."""
        return answers_in_company(self.classifier, self.texts, self.measuring)

    @cached_property
    def again(self) -> dict[Case, Measurement]:
        """Its values when it is asked once more, of all texts side by side; and for other scores too."""
        asked = {(text.id, name): self._measure(text, name) for name in self._made for text in self.texts[::-1]}
        return answers(self.classifier, asked)

    @property
    def scale(self) -> float:
        """The largest number that it gives for random scores."""
        return max(largest(values(found)) for found in self.alone.values())

    def measuring(self, texts: Sequence[Text]) -> dict[str, Asking[Measurement]]:
        """Its measurements of the random scores of these texts."""
        return {text.id: self._measure(text, RANDOM) for text in texts}

    def state(self) -> State:
        """All that it must not change, as it is now."""
        return state(self.classifier, [*self.texts, *self.given.values()])

    @property
    def _made(self) -> Mapping[str, Callable[[Scores], Scores]]:
        """All scores that it is tried on; those in the order of the random ones say more where order is all."""
        monotone = MONOTONE if self.traits.by_order else dict(list(MONOTONE.items())[:2])
        return {RANDOM: lambda scores: scores, **monotone, **OTHERS}

    def _measure(self, text: Text, name: str) -> Asking[Measurement]:
        return answering(ask(self.component, text, self.given[text.id, name]), _explained)


def gives_a_measurement(trial: MetricTrial) -> None:
    """The answer is a measurement in floats: finite, or NaN where it is not defined."""
    component = trial.component
    for name, found in [*trial.alone.items(), *((case[0], found) for case, found in trial.again.items())]:
        assert isinstance(found, Measurement), f"{component!r} gives a {type(found).__name__}, not a Measurement."
        for value in (found.value, *found.parts):
            kind = type(value).__name__
            assert isinstance(value, float), f"{component!r} measures text {name!r} by a {kind}, not a float."
            assert not math.isinf(value), f"{component!r} gives text {name!r} an infinite value."


def measures_alike_in_any_batch(trial: MetricTrial) -> None:
    """A text has the same value alone, and in one batch with all the others, padded to a common length."""
    for name, found in trial.alone.items():
        assert alike(values(found), values(trial.crowded[name]), trial.scale), (
            f"{trial.component!r}: the value of text {name!r} changes from {found.value!r} to "
            f"{trial.crowded[name].value!r} when other texts share its batch."
        )


def measures_alike_again(trial: MetricTrial) -> None:
    """A second run, in another order, gives the same values."""
    for name, found in trial.alone.items():
        other = trial.again[name, RANDOM]
        assert alike(values(found), values(other), trial.scale), (
            f"{trial.component!r} gives text {name!r} first {found.value!r}, then {other.value!r}."
        )


def leaves_all_as_found_measuring(trial: MetricTrial) -> None:
    """Neither the model nor the texts nor the attributions are changed."""
    assert trial.again
    check_same(trial.component, trial.before, trial.state())


def trait_by_order_holds(trial: MetricTrial) -> None:
    """If the metric says `by_order`, changes of scores that keep their order change nothing."""
    for name in MONOTONE if trial.traits.by_order else ():
        for text in trial.texts:
            first, other = trial.again[text.id, RANDOM], trial.again[text.id, name]
            assert alike(values(first), values(other), trial.scale), (
                f"{trial.component!r} says by_order = True, but gives text {text.id!r} {first.value!r}, and "
                f"{other.value!r} when its scores are made {name} in the same order."
            )


def trait_range_holds(trial: MetricTrial) -> None:
    """No value is outside the `range` that the metric gives."""
    if trial.traits.range is None:
        return
    low, high = trial.traits.range
    slack = TOLERANCE * max(abs(end) for end in (low, high, 1) if math.isfinite(end))
    for (name, _), found in trial.again.items():
        inside = math.isnan(found.value) or low - slack <= found.value <= high + slack
        assert inside, f"{trial.component!r} says range = ({low}, {high}), but gives text {name!r} {found.value!r}."


def trait_needs_holds(trial: MetricTrial) -> None:
    """The metric uses nothing that a text may lack but what it `needs`, and cannot do without that."""
    component, needs = trial.component, trial.traits.needs
    others = [name for name in OPTIONAL if name not in needs]
    for name, found in outcomes(trial.classifier, trial.measuring(_without(trial.texts, others))).items():
        told = f"{component!r} says needs = {needs!r}, but"
        assert found.value is not None, (
            f"{told} fails on text {name!r} without {listed(others) or 'anything'}: {found.error}"
        )
        assert alike(values(found.value), values(trial.again[name, RANDOM]), trial.scale), (
            f"{told} gives text {name!r} another value without {listed(others) or 'anything'}."
        )
    for need in needs:
        for name, found in outcomes(trial.classifier, trial.measuring(_without(trial.texts, [need]))).items():
            runs = found.value is not None and not math.isnan(found.value.value)
            assert not runs, f"{component!r} says that it needs {need}, but measures text {name!r} without it."


def trait_direction_holds(trial: MetricTrial) -> None:
    """On a linear model a perfect explanation measures at least as well as random ones, unless that is `unproven`."""
    component, traits = trial.component, trial.traits
    if not traits.direction or traits.kind not in PROVABLE or traits.unproven:
        return
    best = _on_linear_model(component, linear.perfect, _explained)
    draws = [partial(_noise, draw=draw) for draw in range(DRAWS)]
    chance = float(np.mean([_on_linear_model(component, draw, _answered_by(draw)) for draw in draws]))
    assert traits.direction * (best - chance) >= -TOLERANCE * max(abs(best), abs(chance)), (
        f"{component!r} says higher_is_better = {traits.higher_is_better}, but on a linear model a perfect explanation "
        f"has {best:.6g} on average, and random ones have {chance:.6g}."
    )


METRIC_CLAUSES: tuple[Callable[[MetricTrial], None], ...] = (
    gives_a_measurement,
    measures_alike_in_any_batch,
    measures_alike_again,
    leaves_all_as_found_measuring,
    trait_by_order_holds,
    trait_range_holds,
    trait_needs_holds,
    trait_direction_holds,
)


def values(found: Measurement) -> Numbers:
    """All numbers of a measurement."""
    return np.array([found.value, *found.parts], dtype=np.float64)


def _attribution(text: Text, made: Callable[[Scores], Scores]) -> Attribution:
    """Made of random scores that belong to the text."""
    return Attribution(text.id, TARGET, made(_draws(text.id).normal(size=len(text))), tokens=text.tokens)


def _noise(text: Text, target: Target, draw: int) -> Attribution:
    scores = _draws(f"{text.id} {target} {draw}").normal(size=len(text))
    return Attribution(text.id, target, scores, tokens=text.tokens)


def _draws(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _explained(question: Explain) -> Asking[Attribution]:
    """Answers metrics that ask for other explanations: input × gradient, which is perfect for a linear model."""

    def explained(text: Text) -> Asking[Attribution]:
        found: Gradient = yield Gradients(text, question.target)
        return Attribution(text.id, question.target, (found.embeddings * found.gradient).sum(axis=1, dtype=np.float64))

    return (yield from on_variant(question.variant, explained(question.text)))


def _answered_by(method: Method) -> Callable[[Explain], Asking[Attribution]]:
    def answer(question: Explain) -> Asking[Attribution]:
        return ask(method, question.text, question.target)

    return answer


def _on_linear_model(component: Metric, method: Method, answer: Callable[[Explain], Asking[Attribution]]) -> float:
    """What explanations of the linear model by a method measure on average, for the classes that it predicts."""
    asked = {
        text.id: answering(ask(component, text, method(text, linear.predicted(text))), answer)
        for text in linear.documents()
    }
    found = outcomes(linear.LinearModel(), asked)
    told = f"the direction of {component!r} cannot be seen on a linear model"
    hint = "if that is so by its definition, it should say why: `unproven: ClassVar[str] = …`."
    measured = [_measured(outcome, f"{told} ({outcome.error}); {hint}") for outcome in found.values()]
    defined = [one for one in measured if not math.isnan(one.value) and one.weight > 0]
    assert defined, f"{told}, on which it is not defined; {hint}"
    return float(np.average([one.value for one in defined], weights=[one.weight for one in defined]))


def _measured(outcome: Outcome[Measurement], complaint: str) -> Measurement:
    assert outcome.value is not None, complaint
    return outcome.value


def _without(texts: Sequence[Text], names: Sequence[str]) -> list[Text]:
    """The texts without these fields."""
    lost = dict.fromkeys(names) | ({"segment_classes": ()} if "segments" in names else {})
    return [replace(text, **lost) for text in texts]  # type: ignore[arg-type]
