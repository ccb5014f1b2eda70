"""A scheduler of coroutines: one pump advances any number of components and hands each the answers to its questions.

A component yields a question, a tuple of them, or `Each`; whoever answers sees the open questions of all components at
once. What is refused is raised in the component that asked, and nowhere else.
"""

import math
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from faithbench.errors import QuestionError, describe
from faithbench.limits import OverTimeError, State, limited, put_back, state
from faithbench.questions import Explain, OnVariant, Question, Variant
from faithbench.types import Attribution

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Each(tuple[Question | Explain, ...]):
    """Questions of several askers, relayed by one: a refused one is answered with its QuestionError, not raised."""


Asked = Question | Explain | tuple[Question | Explain, ...]
Asking = Generator[Asked, Any, T]


@dataclass(frozen=True)
class Answer:
    """What the engine sends: the value that the component receives, or the error it gets raised; and what it cost."""

    value: object
    rows: int = 0
    seconds: float = 0.0


Conversation = Generator[tuple[Question, ...], list[Answer], T]


@dataclass(frozen=True)
class Forked(Generic[T]):
    """What a conversation may end with: something that is known now, and what there is to ask next, side by side.

    The engine gives the value at once. Those that go on share what the conversation has asked: no row is run twice
    for all of them, and each ends by itself.

    Args:
        value: what is known.
        onward: conversations about the same text.
    """

    value: T
    onward: Sequence["Conversation[T | Forked[T]]"]


@dataclass
class Outcome(Generic[T]):
    """How a component ended: its value, or why there is none; with the rows it asked for and the seconds they took.

    A row that others asked for too is charged to each of them in full, so costs can be compared between components.
    """

    value: T | None = None
    error: str | None = None
    rows: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class _Running(Generic[T]):
    """A component under way: its open questions, or how it ended. It may take `most` seconds."""

    asking: Asking[T]
    allowed: Any = Question | Explain
    open: tuple[Question | Explain, ...] = ()
    value: T | None = None
    error: BaseException | None = None
    rows: int = 0
    seconds: float = 0.0
    most: float | None = None
    _receive: Callable[[Sequence[object]], object] = field(default=lambda answers: None)

    def advance(self, answers: Sequence[object] = (), before: State | None = None) -> None:
        """Hands over the answers to the open questions; then there are new ones, or it has ended.

        Afterwards the process is as it was `before`.

        Of questions that were asked together, the first that was refused is raised in the component. However it fails,
        and be it by SystemExit, that is its error, and whoever runs it says what becomes of that.
        """
        start, self.open = time.perf_counter(), ()
        try:
            with nullcontext() if self.most is None else limited(self._left()):
                value = self._receive(answers)
                asked = self.asking.throw(value) if isinstance(value, Exception) else self.asking.send(value)
                self.open, self._receive = self._opened(asked)
        except StopIteration as stop:
            self.value = stop.value
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.error = error
        self.seconds += time.perf_counter() - start
        if self.most is not None and self.seconds > self.most:
            self.open, self.value, self.error = (), None, OverTimeError(f"it took longer than {self.most:g} seconds")
            self._close()
        if before is not None:
            put_back(before)

    def _close(self) -> None:
        """Ends it where it stands; what it does about that is of no interest, but may not take long."""
        try:
            with limited(1.0):
                self.asking.close()
        except KeyboardInterrupt:
            raise
        except BaseException:
            return

    def _left(self) -> float:
        """Seconds that it may still take."""
        left = math.inf if self.most is None else self.most - self.seconds
        if left <= 0:
            raise OverTimeError
        return left

    def _opened(self, asked: Asked) -> tuple[tuple[Question | Explain, ...], Callable[[Sequence[object]], object]]:
        questions = asked if isinstance(asked, tuple) else (asked,)
        if not questions or not all(isinstance(question, self.allowed) for question in questions):
            self.asking.close()
            raise TypeError(f"yielded {asked!r}, which is no question")
        return questions, tuple if isinstance(asked, Each) else _many if isinstance(asked, tuple) else _first


def _many(answers: Sequence[object]) -> object:
    return next((answer for answer in answers if isinstance(answer, Exception)), tuple(answers))


def _first(answers: Sequence[object]) -> object:
    return answers[0]


def _pump(running: Sequence[_Running[T]], guarded: bool = False) -> Conversation[None]:
    """Advances components until all have ended; each round, whoever answers sees all open questions at once.

    Those that are guarded leave the process as it was.
    """
    before = state() if guarded else None
    for one in running:
        one.advance(before=before)
    while waiting := [one for one in running if one.open]:
        answers = iter((yield tuple(question for one in waiting for question in one.open)))  # type: ignore[misc]
        before = state() if guarded else None
        for one in waiting:
            own = [next(answers) for _ in one.open]
            one.rows += sum(answer.rows for answer in own)
            one.seconds += sum(answer.seconds for answer in own)
            one.advance([answer.value for answer in own], before)


def _inside(running: Sequence[_Running[T]]) -> Asking[None]:
    """The pump within a component: its questions are the component's."""
    pump = _pump(running)
    answers: list[Answer] | None = None
    while True:
        try:
            questions = pump.send(answers)  # type: ignore[arg-type]  # None begins
        except StopIteration:
            return
        answers = [Answer(value) for value in (yield Each(questions))]


def ask(component: Callable[..., Asking[T] | T], *args: object) -> Asking[T]:
    """Calls a component. One that has no questions may simply return its value instead of being a generator."""
    result = component(*args)
    if isinstance(result, Generator):
        return (yield from result)
    return result


def together(
    askings: Mapping[K, Asking[T]], most_seconds: float | None = None, allowed: Any = Question
) -> Conversation[dict[K, Outcome[T]]]:
    """Runs components side by side, so that the engine sees all their open questions at once.

    One that raises ends as an outcome with an error and disturbs no other.

    Args:
        askings: the components, under way, by whatever their outcomes are to be known.
        most_seconds: that one may take, its share of the model's time included; None for any time.
        allowed: what a question may be.
    """
    running = {key: _Running(asking, allowed, most=most_seconds) for key, asking in askings.items()}
    yield from _pump(list(running.values()), guarded=True)
    return {
        key: Outcome(one.value, None if one.error is None else describe(one.error), one.rows, one.seconds)
        for key, one in running.items()
    }


def attempt(key: K, asking: Asking[T], most_seconds: float | None = None) -> Conversation[tuple[K, Outcome[T]]]:
    """Runs one component, as `together` does, and says whose outcome it is."""
    outcomes = yield from together({key: asking}, most_seconds)
    return key, outcomes[key]


def alone(
    asking: Asking[T], answer: Callable[[Any], Answer], allowed: Any = Question, most_seconds: float | None = None
) -> Outcome[T]:
    """Runs one component to its end, as `together` does, with its questions answered by a function.

    Args:
        asking: the component, under way.
        answer: a question, of which it may raise what the component is then told.
        allowed: what a question may be.
        most_seconds: that it may take, answers included; None for any time.
    """
    conversation = together({None: asking}, most_seconds, allowed)
    try:
        questions = next(conversation)
        while True:
            questions = conversation.send([_answer(answer, question) for question in questions])
    except StopIteration as stop:
        outcome: Outcome[T] = stop.value[None]
        return outcome


def _answer(answer: Callable[[Any], Answer], question: object) -> Answer:
    try:
        return answer(question)
    except Exception as error:
        return Answer(QuestionError(describe(error)))


def gather(askings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """What several questioners within a component come to, in their order; all their open questions at once.

    Raises:
        Exception: what the first of them raised that did not handle it itself.
    """
    running = [_Running(asking) for asking in askings]
    yield from _inside(running)
    return [_ended(one) for one in running]


def relay(asking: Asking[T], answer: Callable[[Question | Explain], Asking[object]]) -> Asking[T]:
    """Runs a component whose questions go through somebody's hands, those of a round all at once."""
    one = _Running(asking)
    one.advance()
    while one.open:
        answered = [_Running(answer(question)) for question in one.open]
        yield from _inside(answered)
        one.advance([each.value if each.error is None else _refusal(each.error) for each in answered])
    return _ended(one)


def answering(asking: Asking[T], explain: Callable[[Explain], Asking[Attribution]]) -> Asking[T]:
    """Runs a metric whose questions about explanations are answered by an explainer; other questions are handed on."""
    return relay(asking, lambda question: explain(question) if isinstance(question, Explain) else _handed_on(question))


def on_variant(variant: Variant | None, asking: Asking[T]) -> Asking[T]:
    """Runs a component with all its questions asked of a variant of the model."""
    if variant is None:
        return asking
    return relay(asking, lambda question: _handed_on(OnVariant(variant, question)))  # type: ignore[arg-type]  # it checks


def _handed_on(question: Question | Explain) -> Asking[object]:
    return (yield question)


def _ended(one: _Running[T]) -> T:
    if one.error is not None:
        raise one.error
    return one.value  # type: ignore[return-value]  # it has ended


def _refusal(error: BaseException) -> Exception:
    """An error as the answer to a question."""
    return error if isinstance(error, Exception) else QuestionError(describe(error))
