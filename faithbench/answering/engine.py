"""The engine: answers the questions of many texts in bulk; no row twice, like lengths, memory bounded.

The idea is Haxl's (Marlow et al. 2014): components say what they need, one place decides how to fetch it.
"""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int

from faithbench.answering.asking import Answers, Asker
from faithbench.answering.ledger import Ledger
from faithbench.answering.queue import Part, Queue, Share, rows_for
from faithbench.answering.rows import Lane, outputs_of, rows_of
from faithbench.conversations import Answer, Conversation, Forked
from faithbench.errors import QuestionError, describe
from faithbench.interfaces import Classifier
from faithbench.questions import (
    GONE,
    Embeddings,
    Gradients,
    Logits,
    LogitsAt,
    OnVariant,
    Question,
)

T = TypeVar("T")
MAX_CONVERSATIONS = 512
AHEAD = 2  # batches' worth of open rows below which the next text is begun


@dataclass
class Counts:
    """Rows that components asked for, rows that the model ran, and those that it has yet to run for them."""

    asked: int = 0
    run: int = 0
    open: int = 0


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question, and where its answer will be; or why there is none."""

    question: Question
    ledger: Ledger
    numbers: Int[np.ndarray, "rows"]
    refusal: QuestionError | None = None
    lane: Lane | None = None  # of the ledger, if it is kept


@dataclass(eq=False)
class _Subject(Generic[T]):
    """What conversations that forked from one have in common: its age, what is known, and who is under way."""

    age: int
    ledgers: dict[Lane, Ledger] = field(default_factory=dict)
    sound: set[bytes] = field(default_factory=set)  # ids that the model knows
    open: "dict[_Open[T], None]" = field(default_factory=dict)  # in the order in which they began
    onward: "dict[int, Sequence[Conversation[T | Forked[T]]]]" = field(default_factory=dict)
    begun: int = 0
    waiting: int = 0  # rows that are not known yet, of all


@dataclass(eq=False)
class _Open(Generic[T]):
    """A conversation with its open questions, or those that it will ask in the next round."""

    conversation: Conversation[T | Forked[T]]
    subject: _Subject[T]
    number: int  # of those of its subject
    asked: list[_Asked] = field(default_factory=list)
    following: Sequence[Question] = ()
    waiting: int = 0  # rows that are not known yet


@dataclass(frozen=True, eq=False)
class _Flight(Generic[T]):
    """A batch that the model was given: its answers, or what waits for them."""

    lane: Lane
    batch: list[Share[_Open[T]]]
    rows: Sequence[Any]
    answers: Answers | Callable[[], Answers]
    start: float


class Engine:
    """Runs conversations against one model.

    Args:
        model: answers batches.
        batch_tokens: tokens a forward batch holds, padding included; None for what the model suggests. Halved, and
            kept so, whenever the model runs out of memory.
        most_seconds: that a function may look inside the model; None for any time.
        asker: puts batches to the model; None for one that asks all rows.
        clock: seconds, by which batches are timed.
    """

    def __init__(
        self,
        model: Classifier,
        batch_tokens: int | None = None,
        most_seconds: float | None = None,
        asker: Asker | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens or model.batch_tokens
        self.counts = Counts()
        self._asker, self._clock = asker or Asker(model, most_seconds), clock
        self._landed = 0.0  # when the last batch was

    def run(self, conversations: Iterable[Conversation[T | Forked[T]]]) -> Iterator[T]:
        """The results of all conversations, and of those that they fork into, each as soon as it is complete.

        What the model cannot answer for one text, whatever the reason, is refused to the components that asked, and to
        nobody else.

        Raises:
            ModelChangedError: a component has written into the model's weights.
        """
        return (result.value for result in self.steps(conversations) if result is not None)

    def steps(self, conversations: Iterable[Conversation[T | Forked[T]]]) -> "Iterator[Result[T] | None]":
        """As `run`; between results there is None after each batch, however long nothing is complete."""
        source = enumerate(conversations)
        queue: Queue[_Open[T]] = Queue()
        subjects: set[_Subject[T]] = set()
        flights: deque[_Flight[T]] = deque()
        while True:
            yield from self._begin(source, subjects, queue)
            if not subjects:
                return
            asking = bool(queue)
            if asking:
                flights.extend(self._launch(queue))
            if not flights or (asking and len(flights) < self._asker.in_flight):
                continue
            ready = self._land(flights.popleft())
            for item in ready:
                yield from _advance(item)
            for subject in dict.fromkeys(item.subject for item in ready):
                yield from self._rounds(subject, queue)
                if not subject.open:
                    subjects.discard(subject)
            yield None

    def _begin(
        self,
        source: Iterator[tuple[int, Conversation[T | Forked[T]]]],
        subjects: set[_Subject[T]],
        queue: Queue[_Open[T]],
    ) -> "Iterator[Result[T]]":
        """Starts conversations until enough rows are open. Yields the results of those that ask nothing."""
        while len(subjects) < MAX_CONVERSATIONS and queue.tokens < AHEAD * self.batch_tokens:
            age, conversation = next(source, (0, None))
            if conversation is None:
                return
            subject = _Subject[T](age, onward={0: [conversation]})
            yield from self._rounds(subject, queue)
            if subject.open:
                subjects.add(subject)

    def _rounds(self, subject: _Subject[T], queue: Queue[_Open[T]]) -> "Iterator[Result[T]]":
        """Once all rows of a subject are known: asks what its conversations ask next, all at once, so that rows meet.

        When all of them have ended, those begin into which they have forked.
        """
        while not subject.waiting and (subject.open or subject.onward):
            for item in subject.open:
                item.asked = [self._open(item, question, queue) for question in item.following]
                item.following = ()
            for item in [item for item in subject.open if not item.waiting]:
                yield from _advance(item)
            if not subject.open:
                yield from _fork(subject)

    def _open(self, item: _Open[T], question: Question, queue: Queue[_Open[T]]) -> _Asked:
        """Opens the rows of a question that are not known; one that makes no sense is refused."""
        try:
            return self._entered(item, question, queue)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a question may hold anything
            return _refusing(question, 1, f"the question makes no sense ({describe(error)})")

    def _entered(self, item: _Open[T], question: Question, queue: Queue[_Open[T]]) -> _Asked:
        if not len(question.text):
            raise ValueError("its text has no tokens")
        lane, rowsets = rows_of(question)
        ledger = item.subject.ledgers.get(lane) or Ledger(stacked=lane.kind in (Logits, LogitsAt))
        problem = self._unknown_token(item, question) or self._problem(question)
        count = sum(len(rows.keys) for rows in rowsets)
        self.counts.asked += count
        if problem:
            return _refusing(question, count, problem)
        item.subject.ledgers[lane], numbers = ledger, np.zeros(count, np.intp)
        ledger.askers += 1
        for rows in rowsets:
            known, new = ledger.enter(rows)
            numbers[slice(None) if rows.places is None else rows.places] = known
            awaited = ledger.follow(item, known, new) + len(new)
            item.waiting, item.subject.waiting = item.waiting + awaited, item.subject.waiting + awaited
            if len(new):
                queue.add(Part(item, item.subject.age, lane, ledger, rows.block, new, known[new]))
                self.counts.open += len(new)
        return _Asked(question, ledger, numbers, lane=lane)

    def _problem(self, question: Question) -> str | None:
        """Why a question cannot be answered by any model of so many classes."""
        asked: Any = question.question if isinstance(question, OnVariant) else question
        outputs = outputs_of(asked)
        if outputs is None and not isinstance(asked, Gradients):
            return None
        if wrong := [c for c in outputs or () if not 0 <= c < self.model.classes]:
            return f"output {wrong[0]} is not one of {self.model.classes} classes"
        count = self.model.classes if outputs is None else len(outputs)
        named = (asked.target.output, asked.target.against) if isinstance(asked, Gradients) else ()
        wrong = [c for c in named if c is not None and not 0 <= c < count]
        return f"target {wrong[0]} is not one of {count} classes" if wrong else None

    def _unknown_token(self, item: _Open[T], question: Question) -> str | None:
        """Which id of a question is none of the model's; a GPU that is given it can answer nothing more."""
        tokens = getattr(self.model, "tokens", None)
        if tokens is None:
            return None
        asked: Any = question.question if isinstance(question, OnVariant) else question
        fill, own = getattr(asked, "fill", None), asked.text.ids.tobytes()
        if fill is not None and (problem := _beyond(fill, tokens)):
            return problem
        if own not in item.subject.sound and (problem := _beyond(asked.text.ids, tokens)):
            return problem
        item.subject.sound.add(own)
        return None

    def _launch(self, queue: Queue[_Open[T]]) -> list[_Flight[T]]:
        """Gives the model one batch, led by the oldest conversation; none if memory is too small for it."""
        lane = queue.lane
        batch = queue.pack(self.batch_tokens // _cost(self.model, lane))
        rows = rows_for(batch)
        start = self._clock()
        try:
            answers = self._asker.begin(lane, rows)
        except MemoryError:
            self.batch_tokens = max(1, self.batch_tokens // 2)
            return []
        queue.take(batch)
        return [_Flight(lane, batch, rows, answers, start)]

    def _land(self, flight: _Flight[T]) -> list[_Open[T]]:
        """Hands a batch's answers to those that asked. Returns the conversations that can go on."""
        answers = self._asker.end(flight.lane, flight.rows, flight.answers)
        now = self._clock()
        seconds, self._landed = (now - max(flight.start, self._landed)) / len(flight.rows), now
        self.counts.run += len(flight.rows)
        self.counts.open -= len(flight.rows)
        told: dict[_Open[T], None] = {}
        first = 0
        for share in flight.batch:
            count = len(share.places)
            followers: Any = share.part.ledger.put(share.numbers, answers[first : first + count], seconds)
            first += count
            _know(share.part.owner, count, told)
            for follower in followers:
                _know(follower, 1, told)
        return [item for item in told if not item.waiting]


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a conversation came to."""

    value: T


def _know(item: _Open[T], rows: int, told: dict[_Open[T], None]) -> None:
    """So many more rows are known that a conversation waits for."""
    item.waiting, item.subject.waiting = item.waiting - rows, item.subject.waiting - rows
    told[item] = None


def _advance(item: _Open[T], begins: bool = False) -> Iterator[Result[T]]:
    """Hands over answers to a conversation, which asks more, ends, or forks."""
    try:
        asked = next(item.conversation) if begins else item.conversation.send(list(map(_answer, item.asked)))
    except StopIteration as stop:
        _forget(item)
        del item.subject.open[item]
        forked = isinstance(stop.value, Forked)
        if forked and stop.value.onward:
            item.subject.onward[item.number] = stop.value.onward
        yield Result(stop.value.value if forked else stop.value)
    else:
        _forget(item)
        item.following = asked


def _fork(subject: _Subject[T]) -> Iterator[Result[T]]:
    """Begins the conversations into which those that have ended forked, in the order of these."""
    begins = [each for _, onward in sorted(subject.onward.items()) for each in onward]
    subject.onward = {}
    for conversation in begins:
        item = _Open(conversation, subject, subject.begun)
        subject.open[item], subject.begun = None, subject.begun + 1
        yield from _advance(item, begins=True)


def _beyond(ids: int | Int[np.ndarray, "..."], tokens: int) -> str | None:
    """Which of some ids is none of so many tokens."""
    highest = lowest = ids
    if not isinstance(ids, int):
        array = np.asarray(ids)
        highest, lowest = int(array.max(initial=0)), int(array.min(initial=0))
    if GONE <= lowest <= highest < tokens:
        return None
    return f"token id {lowest if lowest < GONE else highest} is not one of {tokens}"


def rows_that_fit(model: Classifier, lane: Lane, tokens: int) -> int:
    """How many rows of so many tokens a batch holds, one at least."""
    return max(1, model.batch_tokens // _cost(model, lane) // tokens)


def _cost(model: Classifier, lane: Lane) -> int:
    """How many rows of logits a row of a lane takes the memory of."""
    return 1 if lane.kind in (Logits, LogitsAt) else model.gradient_cost


def _refusing(question: Question, rows: int, problem: str) -> _Asked:
    return _Asked(question, Ledger(stacked=False), np.zeros(rows, np.intp), QuestionError(problem))


def _forget(item: _Open[T]) -> None:
    """Keeps logits, which are small and asked again; attention and gradients go once all have them who asked."""
    ledgers = item.subject.ledgers
    for asked in item.asked:
        asked.ledger.askers -= 1
        lane = asked.lane
        if lane is not None and not asked.ledger.askers and not _plain_logits(lane):
            ledgers.pop(lane, None)
    item.asked = []


def _plain_logits(lane: Lane) -> bool:
    """Rows that cost no more than a forward pass of the model as it is."""
    return lane.kind is Logits and lane.variant is None


def _answer(asked: _Asked) -> Answer:
    """What a question is answered, and what its rows took, in full even where others asked for them too."""
    refusal = asked.refusal or asked.ledger.refusal(asked.numbers)
    rows, seconds = len(asked.numbers), 0.0 if asked.refusal else asked.ledger.seconds(asked.numbers)
    return Answer(_value(asked) if refusal is None else refusal, rows, seconds)


def _value(asked: _Asked) -> object:
    values = asked.ledger.answers(asked.numbers)
    if isinstance(values, np.ndarray):
        return values
    question = asked.question.question if isinstance(asked.question, OnVariant) else asked.question
    if isinstance(question, Embeddings):
        return _stacked(values)
    return _own(values if isinstance(question, Gradients) and question.interpolation is not None else values[0])


def _stacked(values: Sequence[Any]) -> np.ndarray | QuestionError:
    """Answers below each other; they have different lengths where a question takes tokens away and asks for tokens."""
    if len({value.shape for value in values}) > 1:
        return QuestionError("the answers have different lengths; ask for one variant at a time")
    return np.concatenate(values).reshape(len(values), *values[0].shape)


def _own(value: object) -> object:
    """A copy, of whatever can be copied: an answer goes to all that asked for it, and torch writes into any array."""
    try:
        return copy.deepcopy(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return value
