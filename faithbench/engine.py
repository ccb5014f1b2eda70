"""Answers the questions of many texts in bulk: no row twice, batches of like length, memory bounded.

The idea is Haxl's (Marlow et al. 2014): components say what they need, one place decides how to fetch it.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int

from faithbench.errors import QuestionError, UserError
from faithbench.interfaces import Classifier
from faithbench.questions import Answer, Attentions, Conversation, Gradients, Logits, Question

T = TypeVar("T")
Ids = Int[np.ndarray, "tokens"]
Lane = tuple[type[Question], bool]  # rows of one lane can share a batch: the kind of question, frozen or not
Key = tuple[Lane, int, bytes]  # lane, target class, token ids
MAX_CONVERSATIONS = 512
AHEAD = 2  # batches' worth of open rows below which the next text is begun
MAX_PADDING = 1 / 8  # share of a batch that may be padding
GRADIENT_COST = 4  # a gradient row holds its activations: it counts as this many forward rows


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
    keys: list[list[Key]] = field(default_factory=list)
    todo: dict[Lane, dict[Key, tuple[Ids, int]]] = field(default_factory=dict)
    known: dict[Key, tuple[Any, float]] = field(default_factory=dict)
    length: int = 0


class Engine:
    """Runs conversations against one model.

    Args:
        model: answers batches.
        batch_tokens: tokens a forward batch holds, padding included; None for what the model suggests. Halved, and
            kept so, whenever the model runs out of memory.
    """

    def __init__(self, model: Classifier, batch_tokens: int | None = None) -> None:
        self.model = model
        self.batch_tokens = batch_tokens or model.batch_tokens
        self.counts = Counts()

    def run(self, conversations: Iterable[Conversation[T]]) -> Iterator[T]:
        """The results of all conversations, each as soon as it is complete.

        Raises:
            UserError: the model gives something that is not a number, or one row does not fit into memory.
        """
        source = iter(conversations)
        active: list[_Open[T]] = []
        while True:
            yield from self._begin(source, active)
            if not active:
                return
            for item in self._answer_batch(active):
                if all(key in item.known for keys in item.keys for key in keys):
                    result = self._advance(item, [self._answer(item, i) for i in range(len(item.questions))])
                    if result is not None:
                        active.remove(item)
                        yield result.value

    def _begin(self, source: Iterator[Conversation[T]], active: list[_Open[T]]) -> Iterator[T]:
        """Starts conversations until enough rows are open. Yields the results of those that ask nothing."""
        while len(active) < MAX_CONVERSATIONS and self._open_tokens(active) < AHEAD * self.batch_tokens:
            conversation = next(source, None)
            if conversation is None:
                return
            item = _Open(conversation)
            result = self._advance(item, None)
            if result is None:
                active.append(item)
            else:
                yield result.value

    def _open_tokens(self, active: Sequence[_Open[T]]) -> int:
        return sum(len(rows) * item.length for item in active for rows in item.todo.values())

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
                self._expand(item, question)
            if item.todo:
                return None
            answers = [self._answer(item, i) for i in range(len(item.questions))]

    @staticmethod
    def _forget(item: _Open[T]) -> None:
        """Keeps logits, which are small and asked again; attention and gradients have been handed over."""
        item.known = {key: value for key, value in item.known.items() if key[0][0] is Logits}

    def _expand(self, item: _Open[T], question: Question) -> None:
        lane, rows = _rows(question)
        item.length = len(question.text)
        target = question.target if isinstance(question, Gradients) else 0
        keys: list[Key] = []
        for ids in rows:
            key = (lane, target, ids.tobytes())
            keys.append(key)
            if isinstance(question, Gradients) and not 0 <= target < self.model.classes:
                item.known[key] = QuestionError(f"target {target} is not one of {self.model.classes} classes"), 0.0
            if key not in item.known:
                item.todo.setdefault(lane, {})[key] = (ids, target)
        item.keys.append(keys)
        self.counts.asked += len(keys)

    def _answer(self, item: _Open[T], index: int) -> Answer:
        found = [item.known[key] for key in item.keys[index]]
        values = [value for value, _ in found]
        stacked = isinstance(item.questions[index], Logits) and not isinstance(values[0], QuestionError)
        value = np.stack(values) if stacked else values[0]
        return Answer(value, rows=len(found), seconds=sum(seconds for _, seconds in found))

    def _answer_batch(self, active: Sequence[_Open[T]]) -> list[_Open[T]]:
        """Runs one batch, led by the oldest conversation. Returns the conversations that got an answer."""
        lane = next(iter(active[0].todo))
        batch = self._pack(active, lane)
        rows = [row for item, keys in batch for row in (item.todo[lane][key] for key in keys)]
        try:
            start = time.perf_counter()
            values: Sequence[Any] = self._ask(lane, [ids for ids, _ in rows], [target for _, target in rows])
            seconds = (time.perf_counter() - start) / len(rows)
        except QuestionError as error:
            values, seconds = [error] * len(rows), 0.0
        except MemoryError as error:
            if len(rows) == 1:
                raise UserError(f"a single text of {len(rows[0][0])} tokens does not fit into memory.") from error
            self.batch_tokens = max(1, self.batch_tokens // 2)
            return []
        self.counts.run += len(rows)
        answers = iter(values)
        for item, keys in batch:
            for key in keys:
                item.known[key] = next(answers), seconds
                del item.todo[lane][key]
            if not item.todo[lane]:
                del item.todo[lane]
        return [item for item, _ in batch]

    def _pack(self, active: Sequence[_Open[T]], lane: Lane) -> list[tuple[_Open[T], list[Key]]]:
        """Fills a batch with rows of the leader's length, then of the nearest lengths."""
        leader = active[0]
        budget = self.batch_tokens // (1 if lane[0] is Logits else GRADIENT_COST)
        others = sorted((i for i in active if lane in i.todo), key=lambda i: abs(i.length - leader.length))
        batch: list[tuple[_Open[T], list[Key]]] = []
        longest = rows = tokens = 0
        for item in others:
            width = max(longest, item.length)
            fit = min(max(budget // width - rows, 0 if rows else 1), len(item.todo[lane]))
            padding = width * (rows + fit) - tokens - fit * item.length
            if fit <= 0 or padding > MAX_PADDING * width * (rows + fit):
                break
            batch.append((item, list(islice(item.todo[lane], fit))))
            longest, rows, tokens = width, rows + fit, tokens + fit * item.length
        return batch

    def _ask(self, lane: Lane, rows: Sequence[Ids], targets: Sequence[int]) -> Sequence[Any]:
        kind, frozen = lane
        if kind is Logits:
            logits = self.model.logits(rows)
            _check_finite(logits, "logits")
            return list(logits)
        if kind is Gradients:
            gradients = self.model.gradients(rows, targets, frozen)
            for gradient in gradients:
                _check_finite(gradient.gradient, "gradients")
            return gradients
        return self.model.attentions(rows)


@dataclass(frozen=True)
class _Result(Generic[T]):
    value: T


def _rows(question: Question) -> tuple[Lane, list[Ids]]:
    ids = question.text.ids
    if isinstance(question, Logits):
        return (Logits, False), list(np.where(question.keep, ids, question.text.mask_id))
    if isinstance(question, Gradients):
        return (Gradients, question.frozen), [ids]
    return (Attentions, False), [ids]


def _check_finite(values: np.ndarray, what: str) -> None:
    if not np.isfinite(values).all():
        raise UserError(f"the model gives {what} that are not finite numbers (NaN or infinity); it cannot be scored.")
