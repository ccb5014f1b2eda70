"""Conversations that fork: each part ends by itself, rows are run once for all of them, and rounds stay together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from builders import LinearModel, text
from masked_questions import asks, masks

from faithbench.answering.engine import Engine
from faithbench.conversations import Conversation, Forked, attempt, together
from faithbench.questions import Gradients, Logits, Point, Row
from faithbench.types import Text

ONE = text([1, 3, 4, 5, 6, 1], name="one")


@dataclass
class Watched:
    """A linear model that notes the batches it was given."""

    model: LinearModel = field(default_factory=LinearModel.random)
    batch_tokens: int = 64
    gradient_cost: int = 4
    classes: int = 3
    reads_embeddings: bool = True
    batches: list[list[np.ndarray]] = field(default_factory=list)

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        self.batches.append([row.ids for row in rows])
        return self.model.logits(rows)

    def gradients(self, points: Sequence[Point], rules: str) -> list:
        self.batches.append([point.row.ids for point in points])
        return self.model.gradients(points, rules)


def forks(asked: Text, **parts: Iterator[object]) -> Conversation[object]:
    """One row, then the parts side by side."""
    yield from attempt("first", asks(asked, count=0))
    return Forked("first", [attempt(name, part) for name, part in parts.items()])


def many(asked: Text, rows: int, rounds: int = 1) -> Iterator[object]:
    """Different rows in each round."""
    found = []
    for number in range(rounds):
        keep = np.ones((rows, len(asked)), dtype=bool)
        fill = np.full(keep.shape, 2 + number)
        keep[:, 1] = False
        fill[:, 1] = 2 + np.arange(rows) % 9
        keep[:, 2] = number % 2 == 0
        keep[:, 3] = number < 2
        found.append((yield Logits(asked, keep, fill)))
    return len(found)


def test_what_is_known_is_given_at_once_and_each_part_as_it_ends():
    model = Watched(batch_tokens=12)
    steps = Engine(model).steps([forks(ONE, slow=many(ONE, 9, rounds=3), quick=asks(ONE))])
    order = [step.value if step is None or isinstance(step.value, str) else step.value[0] for step in steps if step]
    assert order == ["first", "quick", "slow"]


def test_no_row_is_run_twice_for_all_parts_though_they_wait_for_each_other():
    model = Watched(batch_tokens=12)
    engine = Engine(model)
    parts = {f"part {count}": asks(ONE, count=count) for count in (1, 3, 2)}
    found = {value[0]: value[1].value for value in engine.run([forks(ONE, **parts)]) if value != "first"}
    assert sum(map(len, model.batches)) == engine.counts.run == 4
    assert engine.counts.asked == 1 + 2 + 4 + 3
    assert engine.counts.open == 0
    slowly = LinearModel.random()
    for name, logits in found.items():
        (alone,) = Engine(slowly).run([together({0: asks(ONE, count=int(name[-1]))})])
        np.testing.assert_allclose(logits, alone[0].value, rtol=1e-12)


def test_gradients_that_parts_ask_together_are_run_once():
    def gradient() -> Iterator[object]:
        return (yield Gradients(ONE, 0)).gradient.sum()

    model = Watched()
    values = [v for v in Engine(model).run([forks(ONE, a=gradient(), b=gradient(), c=asks(ONE))]) if v != "first"]
    assert {name for name, _ in values} == {"a", "b", "c"}
    gradients = [batch for batch in model.batches if len(batch) == 1]
    assert len(gradients) == 2, "the first row, and one gradient for both"
    assert len({outcome.value for name, outcome in values if name in "ab"}) == 1


def test_batches_are_those_of_one_conversation_that_does_the_same():
    """So that numbers are the same to the last bit, whichever way components are run."""

    def parts() -> dict[str, Iterator[object]]:
        return {"a": many(ONE, 7, 3), "b": asks(ONE, times=2), "c": many(ONE, 2, 2)}

    def whole() -> Conversation[object]:
        yield from attempt("first", asks(ONE, count=0))
        return (yield from together(parts()))

    apart, one = Watched(batch_tokens=24), Watched(batch_tokens=24)
    list(Engine(apart).run([forks(ONE, **parts())]))
    list(Engine(one).run([whole()]))
    assert [np.stack(batch).tolist() for batch in apart.batches] == [np.stack(batch).tolist() for batch in one.batches]


def test_a_part_that_fails_disturbs_no_other_and_parts_fork_again():
    def raises() -> Iterator[object]:
        yield Logits(ONE, masks(ONE, 1))
        raise ValueError("no")

    def deeper() -> Conversation[object]:
        yield from attempt("deeper", asks(ONE, count=2))
        return Forked("deeper", [attempt("deepest", asks(ONE, count=3))])

    def first() -> Conversation[object]:
        yield from attempt("first", asks(ONE, count=0))
        return Forked("first", [attempt("bad", raises()), deeper(), attempt("good", asks(ONE))])

    found = [
        value if isinstance(value, str) else (value[0], value[1].error) for value in Engine(Watched()).run([first()])
    ]
    assert found[0] == "first"
    assert set(found) == {"first", ("bad", "ValueError: no"), "deeper", ("good", None), ("deepest", None)}
    assert found[-1] == ("deepest", None)


def test_a_conversation_that_forks_into_nothing_ends():
    def nothing() -> Conversation[object]:
        return Forked("nothing", [])
        yield

    assert next(Engine(Watched()).run([nothing(), attempt("other", asks(ONE))])) == "nothing"
