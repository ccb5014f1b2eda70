"""The batching engine: answers the questions of many texts in bulk; no row twice, like lengths, memory bounded.

The idea is Haxl's (Marlow et al. 2014): components say what they need, one place decides how to fetch it.
"""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice, repeat
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float

from faithbench.answering import answers
from faithbench.answering.rows import Asked, Key, Lane, rows_of
from faithbench.conversations import Answer, Conversation
from faithbench.errors import ModelChangedError, QuestionError, describe
from faithbench.interfaces import Classifier
from faithbench.limits import limited, put_back, state
from faithbench.questions import (
    GONE,
    Embeddings,
    Gradient,
    Gradients,
    Inside,
    Logits,
    LogitsAt,
    OnVariant,
    Point,
    Question,
    Row,
    Variant,
)
from faithbench.types import Text

T = TypeVar("T")
MAX_CONVERSATIONS = 512
AHEAD = 2  # batches' worth of open rows below which the next text is begun
MAX_VARIANTS = 32  # variants of the model kept ready
MAX_PADDING = 1 / 8  # share of a batch that may be padding


@dataclass
class Counts:
    """Rows that components asked for, and rows that the model ran."""

    asked: int = 0
    run: int = 0


@dataclass(eq=False)
class _Open(Generic[T]):
    """A conversation with its open questions. All rows of a conversation have the length of its text."""

    conversation: Conversation[T]
    questions: tuple[Question, ...] = ()
    keys: list[tuple[Lane, list[Key]]] = field(default_factory=list)  # of each question
    todo: dict[Lane, dict[Key, Asked]] = field(default_factory=dict)
    known: dict[Lane, dict[Key, tuple[Any, float]]] = field(default_factory=dict)  # answers, and seconds of a row
    length: int = 0
    sound: dict[int, Text] = field(default_factory=dict)  # texts whose token ids the model knows, by identity
    flying: int = 0  # batches with rows of it that the model is working on

    def tokens(self) -> int:
        """Of all open rows."""
        return self.length * sum(map(len, self.todo.values()))

    def take(self, lane: Lane, keys: Sequence[Key]) -> None:
        """Rows that the model has been given."""
        todo = self.todo[lane]
        for key in keys:
            del todo[key]
        if not todo:
            del self.todo[lane]
        self.flying += 1


@dataclass(frozen=True, eq=False)
class _Flight(Generic[T]):
    """A batch that the model was given: its answers, or what waits for them."""

    lane: Lane
    batch: list[tuple[_Open[T], list[Key]]]
    rows: list[Any]
    values: Sequence[object] | Callable[[], Sequence[object]]
    start: float


class Engine:
    """Runs conversations against one model.

    Args:
        model: answers batches.
        batch_tokens: tokens a forward batch holds, padding included; None for what the model suggests. Halved, and
            kept so, whenever the model runs out of memory.
        most_seconds: that a function may look inside the model; None for any time.
    """

    def __init__(self, model: Classifier, batch_tokens: int | None = None, most_seconds: float | None = None) -> None:
        self.model = model
        self.batch_tokens = batch_tokens or model.batch_tokens
        self.most_seconds = most_seconds
        self.counts = Counts()
        self.in_flight = max(1, getattr(model, "in_flight", 1))
        self._landed = 0.0  # when the last batch was
        self._variants: dict[Variant, AbstractContextManager[object]] = {}

    def run(self, conversations: Iterable[Conversation[T]]) -> Iterator[T]:
        """The results of all conversations, each as soon as it is complete.

        What the model cannot answer for one text, whatever the reason, is refused to the components that asked, and to
        nobody else.

        Raises:
            ModelChangedError: a component has written into the model's weights.
        """
        source = iter(conversations)
        active: list[_Open[T]] = []
        flights: deque[_Flight[T]] = deque()
        while True:
            yield from self._begin(source, active)
            if not active:
                return
            asking = [item for item in active if item.todo]
            if asking:
                flights.extend(self._launch(asking))
            if not flights or (asking and len(flights) < self.in_flight):
                continue
            for item in self._land(flights.popleft()):
                if not item.todo and not item.flying:
                    result = self._advance(item, [self._answer(item, i) for i in range(len(item.questions))])
                    if result is not None:
                        active.remove(item)
                        yield result.value

    def _begin(self, source: Iterator[Conversation[T]], active: list[_Open[T]]) -> Iterator[T]:
        """Starts conversations until enough rows are open. Yields the results of those that ask nothing."""
        tokens = sum(item.tokens() for item in active)
        while len(active) < MAX_CONVERSATIONS and tokens < AHEAD * self.batch_tokens:
            conversation = next(source, None)
            if conversation is None:
                return
            item = _Open(conversation)
            result = self._advance(item, None)
            if result is None:
                active.append(item)
                tokens += item.tokens()
            else:
                yield result.value

    def _advance(self, item: _Open[T], answers: list[Answer] | None) -> "_Result[T] | None":
        """Hands over answers until the conversation needs rows that are not known yet, or ends."""
        while True:
            try:
                item.questions = next(item.conversation) if answers is None else item.conversation.send(answers)
            except StopIteration as stop:
                return _Result(stop.value)
            self._forget(item)
            item.keys, item.todo = [], {}
            for question in item.questions:
                self._open(item, question)
            if item.todo:
                return None
            answers = [self._answer(item, i) for i in range(len(item.questions))]

    @staticmethod
    def _forget(item: _Open[T]) -> None:
        """Keeps logits, which are small and asked again; attention and gradients have been handed over."""
        item.known = {lane: answers for lane, answers in item.known.items() if _plain_logits(lane)}

    def _open(self, item: _Open[T], question: Question) -> None:
        """The rows of a question; one that makes no sense is refused."""
        opened = len(item.keys)
        try:
            self._expand(item, question)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a question may hold anything
            lane = Lane(type(question), f"refused {opened}")
            refusal = QuestionError(f"the question makes no sense ({describe(error)})")
            item.known[lane] = {opened: (refusal, 0.0)}
            item.keys.append((lane, [opened]))

    def _expand(self, item: _Open[T], question: Question) -> None:
        lane, rows = rows_of(question)
        item.length = len(question.text)
        keys, known = [key for key, _ in rows], item.known.setdefault(lane, {})
        if problem := self._unknown_token(item, question) or self._problem(rows[0][1]):  # of a row, so of all
            known.update(dict.fromkeys(keys, (QuestionError(problem), 0.0)))
        if new := {key: row for key, row in rows if key not in known}:
            item.todo.setdefault(lane, {}).update(new)
        item.keys.append((lane, keys))
        self.counts.asked += len(keys)

    def _problem(self, asked: Asked) -> str | None:
        """Why a row cannot be answered by any model of so many classes."""
        if isinstance(asked, Inside):
            return None
        outputs = (asked.row if isinstance(asked, Point) else asked).outputs
        if wrong := [c for c in outputs or () if not 0 <= c < self.model.classes]:
            return f"output {wrong[0]} is not one of {self.model.classes} classes"
        count = self.model.classes if outputs is None else len(outputs)
        named = (asked.target.output, asked.target.against) if isinstance(asked, Point) else ()
        wrong = [c for c in named if c is not None and not 0 <= c < count]
        return f"target {wrong[0]} is not one of {count} classes" if wrong else None

    def _unknown_token(self, item: _Open[T], question: Question) -> str | None:
        """Which id of a question is none of the model's; a GPU that is given it can answer nothing more."""
        tokens = getattr(self.model, "tokens", None)
        if tokens is None:
            return None
        asked: Any = question.question if isinstance(question, OnVariant) else question
        fill = getattr(asked, "fill", None)
        own = () if id(asked.text) in item.sound else (asked.text.ids,)
        for ids in (*own, *(() if fill is None else (np.asarray(fill),))):
            highest, lowest = int(ids.max(initial=0)), int(ids.min(initial=0))
            if not GONE <= lowest <= highest < tokens:
                return f"token id {lowest if lowest < GONE else highest} is not one of {tokens}"
        item.sound[id(asked.text)] = asked.text
        return None

    def _answer(self, item: _Open[T], index: int) -> Answer:
        question = item.questions[index]
        question = question.question if isinstance(question, OnVariant) else question
        lane, keys = item.keys[index]
        known = item.known[lane]
        found = [known[key] for key in keys]
        values = [value for value, _ in found]
        refused = next((value for value in values if isinstance(value, QuestionError)), None)
        if refused is not None:
            value: object = refused
        elif isinstance(question, (Logits, LogitsAt, Embeddings)):
            value = _stacked(values)
        else:
            value = values if isinstance(question, Gradients) and question.interpolation is not None else values[0]
            value = _own(value)
        return Answer(value, rows=len(found), seconds=sum(seconds for _, seconds in found))

    def _launch(self, asking: Sequence[_Open[T]]) -> "list[_Flight[T]]":
        """Gives the model one batch, led by the oldest conversation; none if memory is too small for it."""
        lane = next(iter(asking[0].todo))
        batch = self._pack(asking, lane)
        rows = [item.todo[lane][key] for item, keys in batch for key in keys]
        start = time.perf_counter()
        try:
            values = self._submitted(lane, rows)
        except MemoryError:
            if len(rows) > 1:
                self.batch_tokens = max(1, self.batch_tokens // 2)
                return []
            values = self._too_long(batch[0][0].length)
        except (ModelChangedError, KeyboardInterrupt):
            raise
        except BaseException as error:
            values = self._alone(lane, rows, _refused(error))
        for item, keys in batch:
            item.take(lane, keys)
        return [_Flight(lane, batch, rows, values, start)]

    def _submitted(self, lane: Lane, rows: Sequence[Any]) -> "Sequence[object] | Callable[[], Sequence[object]]":
        """The model's answers; or, where it can work while others are packed, what waits for them."""
        if self.in_flight == 1 or lane.variant is not None or lane.kind is not Logits:
            return self._ask(lane, rows)
        before = state()
        try:
            wait = self.model.submit(rows)  # type: ignore[attr-defined]
        finally:
            put_back(before)
        return lambda: answers.logits(wait(), rows, self.model.classes)

    def _land(self, flight: "_Flight[T]") -> list[_Open[T]]:
        """Hands a batch's answers to those that asked. Returns the conversations."""
        values = flight.values
        if callable(values):
            try:
                values = values()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # of a GPU, which tells of them late
                values = self._alone(flight.lane, flight.rows, _refused(error))
        now = time.perf_counter()
        seconds, self._landed = (now - max(flight.start, self._landed)) / len(flight.rows), now
        self.counts.run += len(flight.rows)
        answered = zip(values, repeat(seconds), strict=False)
        for item, keys in flight.batch:
            item.known[flight.lane].update(zip(keys, answered, strict=False))
            item.flying -= 1
        return [item for item, _ in flight.batch]

    @staticmethod
    def _too_long(tokens: int) -> Sequence[object]:
        return [QuestionError(f"a text of {tokens} tokens does not fit into memory")]

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

    def _pack(self, active: Sequence[_Open[T]], lane: Lane) -> list[tuple[_Open[T], list[Key]]]:
        """Fills a batch with rows of the leader's length, then of the nearest lengths."""
        leader = active[0]
        budget = self.batch_tokens // (1 if lane.kind in (Logits, LogitsAt) else self.model.gradient_cost)
        others = sorted((i for i in active if lane in i.todo), key=lambda i: abs(i.length - leader.length))
        batch: list[tuple[_Open[T], list[Key]]] = []
        longest = rows = tokens = 0
        for item in others:
            width = max(longest, item.length)
            fit = min(max(budget // width - rows, 0 if rows else 1), len(item.todo[lane]))
            fit = min(fit, 1 - rows) if lane.kind is Inside else fit
            padding = width * (rows + fit) - tokens - fit * item.length
            if fit <= 0 or padding > MAX_PADDING * width * (rows + fit):
                break
            batch.append((item, list(islice(item.todo[lane], fit))))
            longest, rows, tokens = width, rows + fit, tokens + fit * item.length
        return batch

    def _ask(self, lane: Lane, rows: Sequence[Any]) -> Sequence[object]:
        """The model's answers, checked: one for each row, and nobody can write into them."""
        before = state()
        try:
            return self._ask_as_is(lane, rows) if lane.variant is None else self._ask_variant(lane.variant, lane, rows)
        finally:
            put_back(before)

    def _ask_variant(self, variant: Variant, lane: Lane, rows: Sequence[Any]) -> Sequence[object]:
        try:
            with self._variant(variant):
                return self._ask_as_is(lane, rows)
        except (QuestionError, MemoryError, ModelChangedError):
            raise
        except Exception as error:
            raise QuestionError(f"{variant.change} fails ({describe(error)})") from error

    def _variant(self, variant: Variant) -> AbstractContextManager[object]:
        """A context in which the model is the variant."""
        if variant not in self._variants:
            if len(self._variants) == MAX_VARIANTS:
                del self._variants[next(iter(self._variants))]
            self._variants[variant] = resolve_name(variant.change)(self.model, **dict(variant.arguments))
        return self._variants[variant]

    def _ask_as_is(self, lane: Lane, rows: Sequence[Any]) -> Sequence[object]:
        """What is asked of the model as it is now."""
        kind, rules = lane.kind, lane.rules
        if kind is Inside:
            return [self._call(question) for question in rows]
        if kind in (Logits, LogitsAt):
            return answers.logits(self._logits(rows), rows, self.model.classes)
        if kind is Embeddings:
            return answers.embeddings(self.model.embed(rows), rows)
        if kind is Gradients:
            return answers.gradients(self._gradients(rows, rules), rows, rules)
        return answers.attentions(self.model.attentions(rows), rows)

    def _logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, perhaps at embeddings, which not every classifier can read."""
        if rows[0].embeddings is not None and not self.model.reads_embeddings:
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


@dataclass(frozen=True)
class _Result(Generic[T]):
    value: T


def _plain_logits(lane: Lane) -> bool:
    """Rows that cost no more than a forward pass of the model as it is."""
    return lane.kind is Logits and lane.variant is None


def _stacked(values: Sequence[np.ndarray]) -> np.ndarray | QuestionError:
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


def _refused(error: BaseException) -> QuestionError:
    """Whatever the model raised, as a refusal."""
    return error if isinstance(error, QuestionError) else QuestionError(f"the model fails ({describe(error)})")
