"""Asks a model a batch, checked; what it cannot answer, whatever the reason, is a refusal to those who asked."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pkgutil import resolve_name
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.answering import answers
from faithbench.answering.rows import Asked, Lane
from faithbench.errors import ModelChangedError, QuestionError, describe
from faithbench.interfaces import Classifier
from faithbench.limits import limited, put_back, state
from faithbench.questions import Embeddings, Gradient, Gradients, Inside, Logits, LogitsAt, Point, Row, Variant

MAX_VARIANTS = 32  # variants of the model kept ready
Answers = Sequence[object] | np.ndarray


class Asker:
    """Puts batches to one model, or to variants of it.

    Args:
        model: answers batches.
        most_seconds: that a function may look inside the model; None for any time.
    """

    def __init__(self, model: Classifier, most_seconds: float | None = None) -> None:
        self.model, self.most_seconds = model, most_seconds
        self.in_flight = max(1, getattr(model, "in_flight", 1))
        self.variants: dict[Variant, AbstractContextManager[object]] = {}

    def begin(self, lane: Lane, rows: Sequence[Any]) -> Answers | Callable[[], Answers]:
        """The model's answers; or, where it can work while others are packed, what waits for them.

        Raises:
            MemoryError: there are too many rows; of one row it is a refusal.
            ModelChangedError: a component has written into the model's weights.
        """
        try:
            return self._submitted(lane, rows)
        except MemoryError:
            if len(rows) > 1:
                raise
            return [_too_long(rows[0])]
        except (ModelChangedError, KeyboardInterrupt):
            raise
        except BaseException as error:
            return self._alone(lane, rows, _refused(error))

    def end(self, lane: Lane, rows: Sequence[Any], begun: Answers | Callable[[], Answers]) -> Answers:
        """The answers to a batch that was begun."""
        if not callable(begun):
            return begun
        try:
            return begun()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of a GPU, which tells of them late
            return self._alone(lane, rows, _refused(error))

    def _submitted(self, lane: Lane, rows: Sequence[Any]) -> Answers | Callable[[], Answers]:
        if self.in_flight == 1 or lane.variant is not None or lane.kind is not Logits:
            return self._ask(lane, rows)
        before = state()
        try:
            wait = self.model.submit(rows)  # type: ignore[attr-defined]
        finally:
            put_back(before)
        return lambda: answers.logits(wait(), len(rows), self._outputs(lane))

    def _alone(self, lane: Lane, rows: Sequence[Any], error: QuestionError) -> Sequence[object]:
        """Rows of a batch that failed, one by one: the model may refuse some and answer others."""
        if len(rows) == 1:
            return [error]
        values: list[object] = []
        for row in rows:
            try:
                values.extend(self._ask(lane, [row]))
            except MemoryError:
                values.append(QuestionError("a text does not fit into memory"))
            except (ModelChangedError, KeyboardInterrupt):
                raise
            except BaseException as refusal:
                values.append(_refused(refusal))
        return values

    def _ask(self, lane: Lane, rows: Sequence[Any]) -> Answers:
        """The model's answers, checked: one for each row, and nobody can write into them."""
        before = state()
        try:
            return self._ask_as_is(lane, rows) if lane.variant is None else self._ask_variant(lane.variant, lane, rows)
        finally:
            put_back(before)

    def _ask_variant(self, variant: Variant, lane: Lane, rows: Sequence[Any]) -> Answers:
        try:
            with self._variant(variant):
                return self._ask_as_is(lane, rows)
        except (QuestionError, MemoryError, ModelChangedError):
            raise
        except Exception as error:
            raise QuestionError(f"{variant.change} fails ({describe(error)})") from error

    def _variant(self, variant: Variant) -> AbstractContextManager[object]:
        """A context in which the model is the variant."""
        if variant not in self.variants:
            if len(self.variants) == MAX_VARIANTS:
                del self.variants[next(iter(self.variants))]
            self.variants[variant] = resolve_name(variant.change)(self.model, **dict(variant.arguments))
        return self.variants[variant]

    def _ask_as_is(self, lane: Lane, rows: Sequence[Any]) -> Answers:
        """What is asked of the model as it is now."""
        kind, rules = lane.kind, lane.rules
        if kind is Inside:
            return [self._call(question) for question in rows]
        if kind in (Logits, LogitsAt):
            return answers.logits(self._logits(lane, rows), len(rows), self._outputs(lane))
        if kind is Embeddings:
            return answers.embeddings(self.model.embed(rows), rows)
        if kind is Gradients:
            return answers.gradients(self._gradients(rows, rules), rows, rules)
        return answers.attentions(self.model.attentions(rows), rows)

    def _outputs(self, lane: Lane) -> int:
        """How many logits a row has."""
        return self.model.classes if lane.outputs is None else lane.outputs

    def _logits(self, lane: Lane, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, perhaps at embeddings, which not every classifier can read."""
        if lane.kind is LogitsAt and not self.model.reads_embeddings:
            raise QuestionError("the model cannot be given embeddings")
        return self.model.logits(rows)

    def _gradients(self, points: Sequence[Point], rules: str) -> Sequence[Gradient]:
        """Gradients; rules that cannot be found or fail are refused to the component that asked for them."""
        try:
            return self.model.gradients(points, rules)
        except (QuestionError, MemoryError):
            raise
        except Exception as error:
            if not rules:
                raise
            raise QuestionError(f"gradients under {rules} fail ({describe(error)})") from error

    def _call(self, question: Inside) -> object:
        """White-box access: calls a function with the model. What it raises is raised in the component that asked."""
        unchanged = getattr(self.model, "unchanged", nullcontext)
        try:
            with unchanged(), limited(self.most_seconds):
                return resolve_name(question.function)(self.model, question.text, **question.arguments)
        except (ModelChangedError, KeyboardInterrupt):
            raise
        except QuestionError as error:
            return error
        except MemoryError:
            return QuestionError(f"a text of {len(question.text)} tokens does not fit into memory")
        except BaseException as error:
            return QuestionError(describe(error))


def _too_long(row: Asked) -> QuestionError:
    """A row that memory is too small for, alone."""
    ids = row.text.ids if isinstance(row, Inside) else (row.row if isinstance(row, Point) else row).ids
    return QuestionError(f"a text of {len(ids)} tokens does not fit into memory")


def _refused(error: BaseException) -> QuestionError:
    """Whatever the model raised, as a refusal."""
    return error if isinstance(error, QuestionError) else QuestionError(f"the model fails ({describe(error)})")
