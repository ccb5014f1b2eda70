"""What every explainer must keep: the clauses, and the trial whose answers they look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.conformance.answers import (
    TOLERANCE,
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
from faithbench.conversations import Asking, ask
from faithbench.interfaces import Classifier, Explainer, Traits
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text

Case = tuple[str, Target]  # a text's id and what is explained
TARGETS = (Target(0), Target(1))


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
    trial = ExplainerTrial(component, classifier, texts)
    for clause in EXPLAINER_CLAUSES:
        clause(trial)


@dataclass(frozen=True, eq=False)
class ExplainerTrial:
    """An explainer put to the question: each answer is had once, when the first clause asks for it."""

    component: Explainer
    classifier: Classifier
    texts: Sequence[Text]
    before: State = field(init=False)  # before any question

    def __post_init__(self) -> None:
        check_texts(self.texts)
        getattr(self.component, "resolve", lambda: None)()
        object.__setattr__(self, "before", state(self.classifier, self.texts))

    @cached_property
    def traits(self) -> Traits:
        """What the explainer says of itself."""
        return traits_of("explainer", self.component)

    @cached_property
    def alone(self) -> dict[Case, Attribution]:
        """What it says of each text by itself."""
        return answers_alone(self.classifier, self.texts, self._explaining)

    @cached_property
    def crowded(self) -> dict[Case, Attribution]:
        """What it says when all texts are in every batch."""
        return answers_in_company(self.classifier, self.texts, self._explaining)

    @cached_property
    def again(self) -> dict[Case, Attribution]:
        """What it says when it is asked once more, of all texts side by side."""
        return answers(self.classifier, self._explaining(self.texts[::-1]))

    def reseeded(self, seed: int) -> tuple[Explainer, dict[Case, Attribution]]:
        """The explainer with another seed, and what that one says."""
        component: Any = self.component
        other: Explainer = replace(component, seed=seed)
        return other, answers(self.classifier, _explaining(other, self.texts))

    def scores(self, target: Target) -> list[Float[np.ndarray, "_"]]:
        """Those of each text for a class."""
        return [self.alone[text.id, target].scores for text in self.texts]

    def _explaining(self, texts: Sequence[Text]) -> dict[Case, Asking[Attribution]]:
        return _explaining(self.component, texts)


def gives_finite_scores(trial: ExplainerTrial) -> None:
    """The answer is an attribution to the text and class in question, with a finite number for each token."""
    component, lengths = trial.component, {text.id: len(text) for text in trial.texts}
    for (name, target), found in trial.alone.items():
        assert isinstance(found, Attribution), f"{component!r} gives a {type(found).__name__}, not an Attribution."
        assert (found.text_id, found.target) == (name, target), (
            f"{component!r} was asked about text {name!r} and class {target}, but its attribution speaks of text "
            f"{found.text_id!r} and class {found.target}."
        )
        shape = np.shape(found.scores)
        assert shape == (lengths[name],), f"{component!r} gives {lengths[name]} tokens scores of shape {shape}."
        assert np.isfinite(found.scores).all(), f"{component!r} gives text {name!r} scores that are not finite."


def explains_alike_in_any_batch(trial: ExplainerTrial) -> None:
    """A text has the same scores alone, and in one batch with all the others, padded to a common length."""
    for case, found in trial.alone.items():
        other = trial.crowded[case].scores
        assert alike(found.scores, other), (
            f"{trial.component!r}: scores of text {case[0]!r} differ by {largest(other - found.scores):.2g} (largest "
            f"score: {largest(found.scores):.2g}) when other texts share its batch."
        )


def explains_alike_again(trial: ExplainerTrial) -> None:
    """A second run, in another order, gives the same scores; another seed, where there is one, gives others."""
    component: object = trial.component
    for case, found in trial.alone.items():
        same = alike(found.scores, trial.again[case].scores)
        assert same, f"{component!r} gives text {case[0]!r} other scores when it is asked again."
    if hasattr(component, "seed"):
        other, others = trial.reseeded(component.seed + 1)
        same = all(alike(found.scores, others[case].scores) for case, found in trial.again.items())
        assert not same, f"{component!r} has a seed, but {other!r} gives the same scores."


def leaves_all_as_found_explaining(trial: ExplainerTrial) -> None:
    """Neither the model nor the texts are changed."""
    assert trial.again
    check_same(trial.component, trial.before, state(trial.classifier, trial.texts))


def trait_class_sensitive_holds(trial: ExplainerTrial) -> None:
    """Scores for two classes differ on some text; on none if the explainer says `class_sensitive = False`."""
    component = trial.component
    same = [alike(a, b) for a, b in zip(*(trial.scores(target) for target in TARGETS), strict=True)]
    if trial.traits.class_sensitive:
        assert not all(same), (
            f"{component!r} gives classes {TARGETS[0]} and {TARGETS[1]} the same scores; if it is meant to, it should "
            "say `class_sensitive: ClassVar[bool] = False`."
        )
    else:
        assert all(same), f"{component!r} says class_sensitive = False, but its scores depend on the class."


def trait_sums_to_holds(trial: ExplainerTrial) -> None:
    """If the explainer says what its scores sum to (`sums_to`), they do, short of the note `completeness_gap`."""
    component, what = trial.component, trial.traits.sums_to
    if not what:
        return
    asked = {text.id: _ends(text, what, getattr(component, "baseline", "mask")) for text in trial.texts}
    logits = answers(trial.classifier, asked)
    for (name, target), found in trial.alone.items():
        values = logits[name]
        if getattr(component, "contrastive", False):
            values = (
                values - np.delete(values, target.output, axis=1)[:, [np.delete(values[0], target.output).argmax()]]
            )
        due = values[0, target] - (0.0 if what == "logit" else values[1, target])
        given, gap = float(found.scores.sum(dtype=np.float64)), found.notes.get("completeness_gap", 0.0)
        size = float(np.abs(found.scores).sum()) + abs(due)
        assert abs(given + gap - due) <= TOLERANCE * size, (
            f"{component!r} says sums_to = {what!r}, but for class {target} of text {name!r} its scores sum to "
            f"{given:.6g}, short by {gap:.6g} as it says itself, of {due:.6g}."
        )


def trait_repeats_holds(trial: ExplainerTrial) -> None:
    """If the explainer has `repeats`, each of them explains as an explainer must, and otherwise than itself."""
    component: Any = trial.component
    for other in component.repeats() if trial.traits.repeats else ():
        repeat = ExplainerTrial(other, trial.classifier, trial.texts)
        gives_finite_scores(repeat)
        explains_alike_again(repeat)
        same = all(alike(found.scores, repeat.alone[case].scores) for case, found in trial.alone.items())
        assert not same, f"{component!r} has repeats, but {other!r} among them gives the same scores as itself."


def dimensions_come_to_scores(trial: ExplainerTrial) -> None:
    """What the method `per_dimension` gives, if there is one, adds up to the scores, or its L2 norm is they."""
    component: Any = trial.component
    if not hasattr(component, "per_dimension"):
        return
    asked = {(t.id, target): ask(component.per_dimension, t, target) for t in trial.texts for target in TARGETS}
    for case, outcome in outcomes(trial.classifier, asked).items():
        if outcome.value is None:  # refused: not every form has dimensions
            continue
        scores, vectors = trial.alone[case].scores, outcome.value
        ways = (vectors.sum(axis=-1), np.linalg.norm(vectors, axis=-1))
        assert any(alike(scores, way) for way in ways), (
            f"{component!r} gives text {case[0]!r} per_dimension of shape {vectors.shape} that come to other scores."
        )


EXPLAINER_CLAUSES: tuple[Callable[[ExplainerTrial], None], ...] = (
    gives_finite_scores,
    explains_alike_in_any_batch,
    explains_alike_again,
    leaves_all_as_found_explaining,
    trait_class_sensitive_holds,
    trait_sums_to_holds,
    trait_repeats_holds,
    dimensions_come_to_scores,
)


def _explaining(component: Explainer, texts: Sequence[Text]) -> dict[Case, Asking[Attribution]]:
    return {(text.id, target): ask(component, text, target) for text in texts for target in TARGETS}


def _ends(text: Text, what: str, baseline: str) -> Asking[Float[np.ndarray, "2 classes"]]:
    """Logits of the text, and of the text in which its content tokens (`content`) or all tokens are replaced."""
    kept = text.special & (what == "content")
    logits: Float[np.ndarray, "2 classes"] = yield Logits(
        text, np.stack([np.ones(len(text), dtype=bool), kept]), text.pad_id if baseline == "pad" else text.mask_id
    )
    return logits.astype(np.float64)
