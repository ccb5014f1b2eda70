"""What every explainer and every metric must keep, as checks that authors of plugins can run on their own.

The idea is scikit-learn's `check_estimator`. Each clause is a function that raises an AssertionError saying in one
sentence what is wrong; `check_explainer` and `check_metric` go through all of them.
"""

import hashlib
import math
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.conversations import Asking, Conversation, Outcome, answering, ask, on, together
from faithbench.interfaces import Classifier, Explainer, Metric
from faithbench.questions import Explain, Gradient, Gradients, Point, Row
from faithbench.types import Attribution, Example, Measurement, Target, Text

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Numbers = Float[np.ndarray, "n"]
Case = tuple[str, Target]  # a text's id and what is explained
TARGETS = (Target(0), Target(1))
TOLERANCE = 1e-5  # of a text's largest score; of the texts' largest value
PLENTY = 1 << 20  # tokens: all rows fit into one batch
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def check_explainer(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Checks all that an explainer must keep.

    Args:
        component: the explainer.
        classifier: answers its questions; its first two logits must not mirror each other. Better in float64: a
            score that is a small difference of large float32 logits depends on rounding, and so on the batch.
        texts: a few, of different lengths.

    Raises:
        AssertionError: says what it does not keep.
    """
    for clause in EXPLAINER_CLAUSES:
        clause(component, classifier, texts)


def check_metric(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Checks all that a metric must keep, on random attributions.

    Args:
        component: the metric.
        classifier: answers its questions.
        texts: a few, of different lengths, with all that the metric `needs`.

    Raises:
        AssertionError: says what it does not keep.
    """
    for clause in METRIC_CLAUSES:
        clause(component, classifier, texts)


def gives_finite_scores(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """The answer is an attribution to the text and class in question, with a finite number for each token."""
    for text in texts:
        for (name, target), found in _run(classifier, _explaining(component, [text])).items():
            assert isinstance(found, Attribution), f"{component!r} gives a {type(found).__name__}, not an Attribution."
            assert (found.text_id, found.target) == (name, target), (
                f"{component!r} was asked about text {name!r} and class {target}, but its attribution speaks of text "
                f"{found.text_id!r} and class {found.target}."
            )
            shape = np.shape(found.scores)
            assert shape == (len(text),), f"{component!r} gives {len(text)} tokens scores of shape {shape}."
            assert np.isfinite(found.scores).all(), f"{component!r} gives text {name!r} scores that are not finite."


def explains_alike_in_any_batch(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """A text has the same scores alone, and in one batch with all the others, padded to a common length."""
    alone, crowded = _alone_and_crowded(classifier, texts, lambda some: _explaining(component, some))
    for case, found in alone.items():
        other = crowded[case].scores
        assert _alike(found.scores, other), (
            f"{component!r}: scores of text {case[0]!r} differ by {_largest(other - found.scores):.2g} (largest score: "
            f"{_largest(found.scores):.2g}) when other texts share its batch."
        )


def explains_alike_again(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """A second run, in another order, gives the same scores; another seed, where there is one, gives others."""
    first = _run(classifier, _explaining(component, texts))
    again = _run(classifier, _explaining(component, texts[::-1]))
    for case, found in first.items():
        same = _alike(found.scores, again[case].scores)
        assert same, f"{component!r} gives text {case[0]!r} other scores when it is asked again."
    seeded: Any = component
    if hasattr(seeded, "seed"):
        other = replace(seeded, seed=seeded.seed + 1)
        others = _run(classifier, _explaining(other, texts))
        same = all(_alike(found.scores, others[case].scores) for case, found in first.items())
        assert not same, f"{component!r} has a seed, but {other!r} gives the same scores."


def leaves_all_as_found_explaining(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Neither the model nor the texts are changed."""
    before = dict(_state(classifier, texts))
    _run(classifier, _explaining(component, texts))
    _check_same(component, before, dict(_state(classifier, texts)))


def keeps_its_word_on_classes(component: Explainer, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Scores for two classes differ on some text; on none if the explainer says `class_sensitive = False`."""
    found = _run(classifier, _explaining(component, texts))
    first, second = ([found[text.id, target].scores for text in texts] for target in TARGETS)
    alike = [_alike(a, b) for a, b in zip(first, second, strict=True)]
    if getattr(component, "class_sensitive", True):
        assert not all(alike), (
            f"{component!r} gives classes {TARGETS[0]} and {TARGETS[1]} the same scores; if it is meant to, it should "
            "say `class_sensitive: ClassVar[bool] = False`."
        )
    else:
        assert all(alike), f"{component!r} says class_sensitive = False, but its scores depend on the class."


def gives_a_measurement(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """The answer is a measurement in floats: finite, or NaN where it is not defined."""
    for (name, _), found in _run(classifier, _measuring(component, texts)).items():
        assert isinstance(found, Measurement), f"{component!r} gives a {type(found).__name__}, not a Measurement."
        for value in (found.value, *found.parts):
            kind = type(value).__name__
            assert isinstance(value, float), f"{component!r} measures text {name!r} by a {kind}, not a float."
            assert not math.isinf(value), f"{component!r} gives text {name!r} an infinite value."


def measures_alike_in_any_batch(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """A text has the same value alone, and in one batch with all the others, padded to a common length."""
    alone, crowded = _alone_and_crowded(classifier, texts, lambda some: _measuring(component, some))
    scale = max(_largest(_values(found)) for found in alone.values())
    for case, found in alone.items():
        assert _alike(_values(found), _values(crowded[case]), scale), (
            f"{component!r}: the value of text {case[0]!r} changes from {found.value!r} to {crowded[case].value!r} "
            "when other texts share its batch."
        )


def measures_alike_again(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """A second run, in another order, gives the same values."""
    first = _run(classifier, _measuring(component, texts))
    again = _run(classifier, _measuring(component, texts[::-1]))
    scale = max(_largest(_values(found)) for found in first.values())
    for case, found in first.items():
        assert _alike(_values(found), _values(again[case]), scale), (
            f"{component!r} gives text {case[0]!r} first {found.value!r}, then {again[case].value!r}."
        )


def leaves_all_as_found_measuring(component: Metric, classifier: Classifier, texts: Sequence[Text]) -> None:
    """Neither the model nor the texts nor the attributions are changed."""
    given = {text.id: _some_attribution(text) for text in texts}
    before = dict(_state(classifier, [*texts, *given.values()]))
    _run(classifier, _measuring(component, texts, given))
    _check_same(component, before, dict(_state(classifier, [*texts, *given.values()])))


EXPLAINER_CLAUSES: tuple[Callable[[Explainer, Classifier, Sequence[Text]], None], ...] = (
    gives_finite_scores,
    explains_alike_in_any_batch,
    explains_alike_again,
    leaves_all_as_found_explaining,
    keeps_its_word_on_classes,
)
METRIC_CLAUSES: tuple[Callable[[Metric, Classifier, Sequence[Text]], None], ...] = (
    gives_a_measurement,
    measures_alike_in_any_batch,
    measures_alike_again,
    leaves_all_as_found_measuring,
)


class Crowded:
    """A classifier that answers no row alone: some texts are in every batch, so that all others are padded."""

    def __init__(self, classifier: Classifier, company: Sequence[Text]) -> None:
        self.inner, self.company = classifier, [Row(text.ids, text.types) for text in company]
        self.classes, self.batch_tokens, self.gradient_cost = classifier.classes, PLENTY, 1
        self.task, self.reads_embeddings = classifier.task, classifier.reads_embeddings

    def __getattr__(self, name: str) -> Any:
        """What only some classifiers have, for looks inside."""
        return getattr(self.inner, name)

    def encode(self, example: Example) -> Text:
        """As the classifier does."""
        return self.inner.encode(example)

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, computed in company."""
        company = [row._replace(outputs=rows[0].outputs) for row in self.company]
        if rows[0].embeddings is not None:
            places = zip(company, self.inner.embed(company), strict=True)
            company = [row._replace(embeddings=place) for row, place in places]
        return self.inner.logits([*company, *rows])[len(company) :]

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """Embeddings, computed in company."""
        return self.inner.embed([*self.company, *rows])[len(self.company) :]

    def gradients(self, points: Sequence[Point], under: str) -> list[Gradient]:
        """Gradients, computed in company."""
        outputs = points[0].row.outputs
        company = [Point(row._replace(outputs=outputs), TARGETS[0]) for row in self.company]
        return self.inner.gradients([*company, *points], under)[len(company) :]

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities, computed in company."""
        return self.inner.attentions([*self.company, *rows])[len(self.company) :]

    def fingerprint(self) -> str:
        """The classifier's."""
        return self.inner.fingerprint()


def _explaining(component: Explainer, texts: Sequence[Text]) -> dict[Case, Asking[Attribution]]:
    return {(text.id, target): ask(component, text, target) for text in texts for target in TARGETS}


def _measuring(
    component: Metric, texts: Sequence[Text], given: Mapping[str, Attribution] | None = None
) -> dict[Case, Asking[Measurement]]:
    for need in getattr(component, "needs", ()):
        present = all(getattr(text, need) is not None for text in texts)
        assert present, f"{component!r} needs {need}: check it with texts that have it."
    given = given or {text.id: _some_attribution(text) for text in texts}
    return {
        (text.id, given[text.id].target): answering(ask(component, text, given[text.id]), _explanation)
        for text in texts
    }


def _some_attribution(text: Text) -> Attribution:
    scores = np.random.default_rng(zlib.crc32(text.id.encode())).normal(size=len(text))
    return Attribution(text.id, TARGETS[0], scores, tokens=text.tokens)


def _explanation(question: Explain) -> Asking[Attribution]:
    """Answers metrics that ask for other explanations: input × gradient."""

    def explained(text: Text) -> Asking[Attribution]:
        found: Gradient = yield Gradients(text, question.target)
        return Attribution(text.id, question.target, (found.embeddings * found.gradient).sum(axis=1, dtype=np.float64))

    return (yield from on(question.variant, explained(question.text)))


def _run(classifier: Classifier, askings: Mapping[K, Asking[T]], batch_tokens: int | None = None) -> dict[K, T]:
    """What all come to when one engine answers them side by side."""
    outcomes = dict(Engine(classifier, batch_tokens).run(_converse(*item) for item in askings.items()))
    for case, outcome in outcomes.items():
        assert outcome.error is None, f"the component failed on {case!r}: {outcome.error}"
    return {case: outcomes[case].value for case in askings}  # type: ignore[misc]


def _converse(case: K, asking: Asking[T]) -> Conversation[tuple[K, Outcome[T]]]:
    outcomes = yield from together({case: asking})
    return case, outcomes[case]


def _alone_and_crowded(
    classifier: Classifier, texts: Sequence[Text], asked: Callable[[Sequence[Text]], Mapping[K, Asking[T]]]
) -> tuple[dict[K, T], dict[K, T]]:
    assert len({text.id for text in texts}) == len(texts), "the texts to check with must have different ids."
    assert len({len(text) for text in texts}) > 1, "the texts to check with must have different lengths."
    alone = {case: found for text in texts for case, found in _run(classifier, asked([text]), batch_tokens=1).items()}
    return alone, _run(Crowded(classifier, texts), asked(texts[::-1]))


def _values(found: Measurement) -> Numbers:
    return np.array([found.value, *found.parts], dtype=np.float64)


def _alike(one: Numbers, other: Numbers, scale: float | None = None) -> bool:
    allowed = TOLERANCE * (_largest(one) if scale is None else scale)
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=allowed, equal_nan=True)


def _largest(values: Numbers) -> float:
    return float(np.nanmax(np.abs(values), initial=0.0))


def _check_same(component: Explainer | Metric, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    assert not changed, f"{component!r} changes {', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''}."


def _state(classifier: Classifier, data: Iterable[Text | Attribution]) -> Iterator[tuple[str, object]]:
    """All that a component must not change, by a name that says what it is."""
    yield "the classifier's fingerprint", classifier.fingerprint()
    for number, one in enumerate(data):
        for field in fields(one):
            yield f"`{field.name}` of {type(one).__name__} {number}", _content(getattr(one, field.name))
    network: Any = getattr(classifier, "model", None)
    if hasattr(network, "named_modules"):
        yield from _network_state(network)


def _network_state(network: Any) -> Iterator[tuple[str, object]]:
    config = getattr(network, "config", None)
    yield "the model's config", repr(config)
    yield "the model's attention implementation", getattr(config, "_attn_implementation", None)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        yield f"the numbers in {name}", _content(tensor.detach().cpu().double().numpy())
        yield f"requires_grad of {name}", tensor.requires_grad
        yield f"the gradient of {name}", tensor.grad is None
    for name, module in network.named_modules():
        yield f"the mode of module {name!r} (training or not)", module.training
        yield f"the hooks of module {name!r}", sum(len(getattr(module, hooks)) for hooks in HOOKS)


def _content(value: object) -> object:
    return hashlib.sha256(value.tobytes()).digest() if isinstance(value, np.ndarray) else repr(value)
