"""The engine: no row twice, full batches, bounded work, errors that stay where they happen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from builders import LinearModel, answers, random_texts, text, tiny_classifier
from masked_questions import asks, masks

from faithbench.answering import engine as engine_module
from faithbench.answering import queue as queue_module
from faithbench.answering.engine import Engine
from faithbench.conversations import ask, attempt, together
from faithbench.errors import QuestionError
from faithbench.questions import FROZEN, GONE, HIDDEN, Attentions, Gradients, Logits, Point, Question, Row
from faithbench.types import Text


@dataclass
class Watched:
    """A linear model that notes the batches it was given, and may run out of memory or give NaN."""

    model: LinearModel = field(default_factory=LinearModel.random)
    batch_tokens: int = 64
    gradient_cost: int = 4
    classes: int = 3
    reads_embeddings: bool = True
    memory: int = 10**9  # tokens that fit
    poison: int | None = None  # a token id that makes logits NaN
    batches: list[list[np.ndarray]] = field(default_factory=list)

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        self._note(rows)
        logits = self.model.logits(rows)
        logits[[self.poison in row.ids for row in rows]] = np.nan
        return logits

    def embed(self, rows: Sequence[Row]) -> list:
        self._note(rows)
        return self.model.embed(rows)

    def gradients(self, points: Sequence[Point], rules: str) -> list:
        self._note([point.row for point in points])
        return self.model.gradients(points, rules)

    def attentions(self, rows: Sequence[Row]) -> list[np.ndarray]:
        self._note(rows)
        return self.model.attentions(rows)

    def _note(self, rows: Sequence[Row]) -> None:
        ids = [row.ids for row in rows]
        if len(ids) * max(map(len, ids)) > self.memory:
            raise MemoryError
        self.batches.append(ids)


def texts_of(lengths: Sequence[int]) -> list[Text]:
    rng = np.random.default_rng(0)
    return [text([1, *rng.integers(2, 12, n), 1], name=str(i)) for i, n in enumerate(lengths)]


def test_answers_are_those_of_one_row_at_a_time_whatever_the_batches():
    model = LinearModel.random()
    texts = texts_of([4, 9, 5, 30, 6, 4, 9, 17])
    for budget in (1, 20, 64, 10_000):
        results = Engine(Watched(model), budget).run(together({t.id: ask(asks, t)}) for t in texts)
        found = {key: outcome.value for result in results for key, outcome in result.items()}
        for t in texts:
            slow = [model.logits([Row(np.where(keep, t.ids, t.mask_id))])[0] for keep in masks(t, 3)]
            np.testing.assert_allclose(found[t.id], slow, rtol=1e-12)


def test_no_row_runs_twice_and_every_asker_is_charged():
    model = Watched()
    (t,) = texts_of([8])
    engine = Engine(model)
    (outcomes,) = engine.run([together({"once": ask(asks, t), "thrice": ask(asks, t, 3)})])
    assert engine.counts.asked == 16
    assert engine.counts.run == 4 == len({row.tobytes() for batch in model.batches for row in batch})
    assert (outcomes["once"].rows, outcomes["thrice"].rows) == (4, 12)
    assert outcomes["once"].seconds > 0


def test_ids_of_two_widths_whose_bytes_are_equal_are_different_rows():
    wide = text([3, 4])
    narrow = replace(text([3, 0, 4, 0]), ids=np.array([3, 0, 4, 0], dtype=np.int32))
    assert wide.ids.tobytes() == narrow.ids.tobytes()

    def both(t: Text) -> Iterator[object]:
        return (yield Logits(wide, masks(wide, 0)), Logits(narrow, masks(narrow, 0)))

    model = Watched()
    (outcomes,) = Engine(model).run([together({"it": ask(both, wide)})])
    first, second = outcomes["it"].value
    np.testing.assert_allclose(second, model.model.logits([Row(np.array([3, 0, 4, 0]))]))
    assert not np.allclose(first, second)


def test_gradients_for_two_classes_and_both_kinds_are_different_rows():
    model = Watched()
    (t,) = texts_of([8])

    def curious(t: Text) -> Iterator[object]:
        return (yield Gradients(t, 0), Gradients(t, 1), Gradients(t, 1, rules=FROZEN), Gradients(t, 0), Attentions(t))

    engine = Engine(model)
    (outcomes,) = engine.run([together({"it": ask(curious, t)})])
    assert engine.counts.run == 4
    a, b, c, d, attention = outcomes["it"].value
    assert np.array_equal(a.gradient, d.gradient)
    assert not np.allclose(a.gradient, b.gradient)
    assert c.logit == b.logit
    assert attention.shape == (1, 1, 10, 10)


def test_batches_keep_to_the_budget_and_hold_little_padding():
    model = Watched(batch_tokens=100)
    texts = sorted(texts_of(list(range(3, 40)) * 3), key=len, reverse=True)
    assert len(list(Engine(model).run(together({0: ask(asks, t)}) for t in texts))) == len(texts)
    for batch in model.batches:
        width = max(map(len, batch))
        assert len(batch) == 1 or len(batch) * width <= 100
        assert len(batch) * width - sum(map(len, batch)) <= len(batch) * width / 16
    full = sum(len(batch) * max(map(len, batch)) for batch in model.batches) / (100 * len(model.batches))
    assert full > 0.6  # as full as rows of up to 41 tokens can fill 100


def test_texts_are_begun_only_when_there_is_room():
    begun: list[int] = []

    def conversation(i: int, t: Text) -> Iterator[object]:
        begun.append(i)
        return (yield from together({0: ask(asks, t)}))

    texts = texts_of([8] * 500)
    results = Engine(Watched(batch_tokens=64)).run(conversation(i, t) for i, t in enumerate(texts))
    ahead = [len(begun) - finished for finished, _ in enumerate(results)]
    assert len(begun) == 500
    assert max(ahead) < 12  # two batches of 64 tokens hold 12 rows of 10


def test_out_of_memory_halves_the_budget_and_is_remembered():
    model = Watched(batch_tokens=400, memory=120)
    engine = Engine(model)
    assert len(list(engine.run(together({0: ask(asks, t)}) for t in texts_of([8] * 40)))) == 40
    assert engine.batch_tokens == 100


def test_a_row_that_never_fits_fails_its_text_alone():
    long, short = texts_of([8, 2])
    engine = Engine(Watched(memory=5))
    outcomes = dict(engine.run([attempt("long", ask(asks, long)), attempt("short", ask(asks, short))]))
    assert outcomes["long"].error == "QuestionError: a text of 10 tokens does not fit into memory"
    assert outcomes["short"].value.shape == (4, 3)


def test_a_component_that_raises_fails_alone():
    def fails_at_once(t: Text) -> object:
        raise ZeroDivisionError("at once")

    def fails_later(t: Text) -> Iterator[object]:
        yield Logits(t, masks(t, 1))
        raise KeyError("later")

    (t,) = texts_of([8])
    askings = {"a": ask(fails_at_once, t), "b": ask(fails_later, t), "c": ask(asks, t)}
    (outcomes,) = Engine(Watched()).run([together(askings)])
    assert outcomes["a"].error == "ZeroDivisionError: at once"
    assert outcomes["b"].error == "KeyError: 'later'"
    assert outcomes["c"].error is None
    assert outcomes["c"].value.shape == (4, 3)


def test_a_component_without_questions_just_returns():
    (outcomes,) = Engine(Watched()).run([together({"it": ask(lambda: 42)})])
    assert outcomes["it"].value == 42
    assert outcomes["it"].rows == 0


def test_logits_that_are_not_numbers_fail_their_text_alone():
    poisoned, sound = text([1, 5, 6, 7, 1], name="poisoned"), text([1, 3, 8, 4, 1], name="sound")
    engine = Engine(Watched(poison=6))
    outcomes = dict(engine.run([attempt(t.id, ask(asks, t)) for t in (poisoned, sound)]))
    assert "logits that are not finite numbers" in outcomes[poisoned.id].error
    (_, undisturbed), *_ = Engine(Watched()).run([attempt(0, ask(asks, sound))])
    assert np.array_equal(outcomes["sound"].value, undisturbed.value)


def test_a_planted_fault_in_deduplication_is_seen(monkeypatch: pytest.MonkeyPatch):
    real = engine_module.rows_of
    calls = iter(range(1000))

    def never_equal(question: Logits) -> object:
        lane, rows = real(question)
        return lane._replace(rules=str(next(calls))), rows

    monkeypatch.setattr(engine_module, "rows_of", never_equal)
    (t,) = texts_of([8])
    engine = Engine(Watched())
    list(engine.run([together({0: ask(asks, t, 3)})]))
    assert engine.counts.run == 12


def test_attention_and_gradients_of_a_transformer_do_not_depend_on_padding(monkeypatch: pytest.MonkeyPatch):
    classifier = tiny_classifier("bert")
    texts = random_texts(classifier, (3, 9, 6))
    alone = {t.id: answers(classifier, _both(t)) for t in texts}
    monkeypatch.setattr(queue_module, "MAX_PADDING", 1.0)
    results = Engine(classifier, 10_000).run(together({t.id: ask(_both, t)}) for t in texts)
    padded = {key: outcome.value for result in results for key, outcome in result.items()}
    for t in texts:
        np.testing.assert_allclose(padded[t.id][0], alone[t.id][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(padded[t.id][1].gradient, alone[t.id][1].gradient, rtol=1e-4, atol=1e-6)


def _both(t: Text) -> Iterator[object]:
    return (yield Attentions(t), Gradients(t, 1, rules=FROZEN))


def test_a_single_gradient_that_does_not_fit_fails_only_its_asker():
    class Tight(Watched):
        def gradients(self, points: Sequence[Point], rules: str) -> list:
            raise MemoryError

    short = text([1, 2, 3, 1])
    both = together({"gradient": ask(lambda: one(Gradients(short, 0))), "logits": ask(asks, short, 1, 1)})
    (outcomes,) = Engine(Tight()).run([both])
    assert outcomes["gradient"].error == "QuestionError: a text of 4 tokens does not fit into memory"
    assert outcomes["logits"].error is None


def one(question: object) -> Iterator[object]:
    return (yield question)


@pytest.mark.parametrize("rules", ["no_such_package:Rules", "builtins:float", "json:NoRules"])
def test_rules_that_fail_fail_only_their_asker(rules):
    classifier = tiny_classifier("bert")
    (t,) = random_texts(classifier, (4,))
    bad, good = ask(lambda: one(Gradients(t, 0, rules=rules))), ask(lambda: one(Gradients(t, 0)))
    (outcomes,) = Engine(classifier).run([together({"bad": bad, "good": good})])
    assert outcomes["bad"].error.startswith("QuestionError: ")
    assert rules in outcomes["bad"].error
    assert outcomes["good"].error is None


@dataclass
class Late(Watched):
    """A GPU, which goes on while batches are packed, and tells of its troubles when it is waited for."""

    in_flight: int = 2
    fails: str = ""  # a batch of more rows than one
    order: list[str] = field(default_factory=list)

    def submit(self, rows: Sequence[Row]):
        self.order.append("given")

        def wait() -> np.ndarray:
            self.order.append("awaited")
            if self.fails and len(rows) > 1:
                raise {"memory": MemoryError, "other": RuntimeError}[self.fails](self.fails)
            return self.logits(rows)

        return wait


@pytest.mark.parametrize("fails", ["", "memory", "other"])
def test_a_model_that_works_while_batches_are_packed_gives_the_same_answers(fails: str):
    texts = texts_of([4, 9, 5, 30, 6, 4, 9, 17])
    now, late = Watched(), Late(fails=fails)
    soon, later = (
        {
            key: outcome
            for one in Engine(model).run(together({t.id: ask(asks, t)}) for t in texts)
            for key, outcome in one.items()
        }
        for model in (now, late)
    )
    assert soon.keys() == later.keys() == {t.id for t in texts}
    for name, outcome in soon.items():
        np.testing.assert_allclose(later[name].value, outcome.value, rtol=1e-12)
    assert late.order[:3] == ["given", "given", "awaited"], "the second batch is given before the first is awaited"
    assert sum(map(len, late.batches)) == sum(map(len, now.batches)), "no row twice"


def test_a_row_that_fails_when_it_is_awaited_fails_its_text_alone():
    texts = texts_of([4, 4, 4])
    poison = int(texts[1].ids[1])
    own = {t.id for t in texts if poison in t.ids}
    results = Engine(Late(poison=poison)).run(together({t.id: ask(asks, t, 1, 0)}) for t in texts)
    failed = {key for result in results for key, outcome in result.items() if outcome.error}
    assert failed == own
    assert 0 < len(own) < len(texts)


def in_many_ways(t: Text) -> list[Question]:
    """The whole text, the text without its second token and without any, in all ways in which these can be asked."""
    keep = np.ones((3, len(t)), dtype=bool)
    keep[1, 1], keep[2, 1:-1] = False, False
    fills = [None, t.mask_id, 5, HIDDEN, GONE]
    orders = (keep, keep[::-1], keep[:1])
    each = [Logits(t, rows, np.full(rows.shape, fill)) for fill in (t.mask_id, 5, HIDDEN) for rows in orders]
    return [*(Logits(t, rows, fill) for fill in fills for rows in orders), *each]


def slowly(model: LinearModel, question: Logits) -> np.ndarray:
    """The answer to a question, row by row."""
    t, rows = question.text, []
    for number, kept in enumerate(question.keep):
        fill = t.mask_id if question.fill is None else question.fill
        here = fill[number] if isinstance(fill, np.ndarray) else np.full(len(t), fill)
        ids = t.ids[kept] if isinstance(fill, int) and fill == GONE else np.where(kept, t.ids, here)
        rows.append(model.logits([Row(ids)])[0])
    return np.stack(rows)


@pytest.mark.parametrize("budget", [7, 64, 10_000])
def test_a_row_is_run_once_however_it_is_asked_and_whoever_asks(budget: int):
    t = text([1, 5, 6, 7, 0, 8, 1])
    model, questions = Watched(batch_tokens=budget), in_many_ways(t)
    cells = {i: ask(lambda question=question: one(question)) for i, question in enumerate(questions)}
    later = {"later": ask(lambda: all_of(questions))}
    engine = Engine(model)
    (outcomes,) = engine.run([together({**cells, **later})])
    for i, question in enumerate(questions):
        np.testing.assert_array_equal(outcomes[i].value, slowly(model.model, question))
        np.testing.assert_array_equal(outcomes["later"].value[i], outcomes[i].value)
    ran = [row.tobytes() for batch in model.batches for row in batch]
    # the whole text; with 5, the mask, hidden or gone in the place of one token, which is 5 itself, and of all
    assert len(ran) == len(set(ran)) == engine.counts.run == 1 + 3 + 4
    assert engine.counts.asked == 2 * sum(len(question.keep) for question in questions)


def all_of(questions: Sequence[Question]) -> Iterator[object]:
    """A component that asks one question after the other."""
    answers = []
    for question in questions:
        answers.append((yield question))
    return answers


def test_rows_of_other_outputs_and_types_are_other_rows():
    plain = text([1, 5, 6, 1])
    typed = replace(plain, types=np.array([0, 0, 1, 1]))
    keep = np.ones((1, 4), dtype=bool)
    questions = [
        *(
            Logits(plain, keep),
            Logits(typed, keep),
            Logits(plain, keep, outputs=(0,)),
            Logits(plain, keep, outputs=(2,)),
        ),
        *(Logits(replace(plain, outputs=(2, 0)), keep, outputs=(0,)), Logits(typed, keep, GONE)),
    ]
    engine = Engine(model := Watched())
    (outcomes,) = engine.run([together({0: ask(lambda: all_of(questions))})])
    whole, same, first, last, named, gone = outcomes[0].value
    assert engine.counts.run == 4, "output 2 is asked by its number and by its name, the typed text in two ways"
    np.testing.assert_array_equal(whole, model.model.logits([Row(plain.ids)]))
    np.testing.assert_array_equal(same, gone)
    np.testing.assert_array_equal(np.hstack([first, last, named]), whole[:, [0, 2, 2]])


class Plain:
    """Somebody's classifier, which knows `logits` of a list of rows and nothing else."""

    def __init__(self) -> None:
        self.model, self.classes, self.batch_tokens, self.seen = LinearModel.random(), 3, 50, 0

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        first, *others = rows
        assert isinstance(rows[-1], Row)
        assert len(rows[1:]) == len(others) == len(rows) - 1
        assert first is rows[0]
        self.seen += len(rows)
        return np.array([self.model.logits([row])[0] for row in reversed(rows)])[::-1]


def test_a_classifier_that_only_knows_logits_of_rows_is_enough():
    model, texts = Plain(), texts_of([4, 9, 5, 30])
    engine = Engine(model)
    results = engine.run(together({t.id: ask(asks, t)}) for t in texts)
    found = {key: outcome.value for result in results for key, outcome in result.items()}
    for t in texts:
        np.testing.assert_allclose(found[t.id], slowly(model.model, Logits(t, masks(t, 3))), rtol=1e-12)
    assert model.seen == engine.counts.run == 16


@dataclass
class Choosy(Watched):
    """A model that refuses batches with a certain token, in one way or another."""

    refuses: int = 0
    raises: type[BaseException] = RuntimeError

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        if any(self.refuses in row.ids for row in rows):
            raise self.raises(f"no {self.refuses}")
        return super().logits(rows)


@pytest.mark.parametrize("raises", [RuntimeError, QuestionError, SystemExit])
def test_a_row_of_a_block_that_fails_is_refused_to_those_who_asked_it(raises: type[BaseException]):
    t = text([1, 5, 6, 7, 1])
    keep = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 0, 0, 1, 1]], dtype=bool)
    model = Choosy(refuses=6, raises=raises)
    askings = {"fine": one(Logits(t, keep[2:])), "bad": one(Logits(t, keep)), "too": one(Logits(t, keep[[2, 1]]))}
    (outcomes,) = Engine(model).run([together(askings)])
    assert outcomes["fine"].error is None
    np.testing.assert_array_equal(outcomes["fine"].value, slowly(model.model, Logits(t, keep[2:])))
    assert "no 6" in outcomes["bad"].error
    assert "no 6" in outcomes["too"].error
    assert (outcomes["bad"].rows, outcomes["too"].rows) == (3, 2)


def test_logits_of_one_row_that_are_no_numbers_leave_the_other_rows_of_its_block():
    t = text([1, 5, 6, 7, 1])
    keep = masks(t, 3)
    engine = Engine(model := Watched(poison=6))
    (outcomes,) = engine.run([together({"bad": one(Logits(t, keep)), "fine": one(Logits(t, keep[2:3]))})])
    assert "not finite" in outcomes["bad"].error
    np.testing.assert_array_equal(outcomes["fine"].value, slowly(model.model, Logits(t, keep[2:3])))


@pytest.mark.parametrize("memory", [40, 100, 300])
def test_every_row_is_answered_though_memory_is_too_small_for_the_first_batches(memory: int):
    texts = texts_of([8, 3, 8, 20, 8] * 5)
    engine = Engine(model := Watched(batch_tokens=1000, memory=memory))
    results = engine.run(together({t.id: ask(asks, t)}) for t in texts)
    found = {key: outcome.value for result in results for key, outcome in result.items()}
    for t in texts:
        np.testing.assert_allclose(found[t.id], slowly(model.model, Logits(t, masks(t, 3))), rtol=1e-12)
    assert sum(map(len, model.batches)) == engine.counts.run == 4 * len(texts)
    assert engine.batch_tokens in {1000 // 2**halved for halved in range(1, 6)}


def test_rows_that_lose_tokens_are_batched_by_the_length_that_is_left():
    model, texts = Watched(batch_tokens=200), texts_of([30] * 12)
    shorter = [np.tri(len(t), dtype=bool)[1::2] for t in texts]
    cells = [together({t.id: one(Logits(t, keep, GONE))}) for t, keep in zip(texts, shorter, strict=True)]
    assert all(outcome.error is None for result in Engine(model).run(cells) for outcome in result.values())
    assert sum(map(len, model.batches)) == 12 * 16
    for batch in model.batches:
        width = max(map(len, batch))
        assert len(batch) * width - sum(map(len, batch)) <= len(batch) * width / 16


def test_answers_are_each_askers_own():
    def writes(t: Text) -> Iterator[object]:
        logits = yield Logits(t, masks(t, 1))
        logits += 1
        return logits

    (t,) = texts_of([8])
    (outcomes,) = Engine(model := Watched()).run([together({0: writes(t), 1: writes(t)})])
    for outcome in outcomes.values():
        np.testing.assert_allclose(outcome.value, slowly(model.model, Logits(t, masks(t, 1))) + 1)


def test_a_model_that_gives_the_same_array_again_changes_no_answer():
    class Reused(Watched):
        held = np.zeros((100, 3))

        def logits(self, rows: Sequence[Row]) -> np.ndarray:
            self.held[: len(rows)] = super().logits(rows)
            return self.held[: len(rows)]

    texts = texts_of([4, 9, 5, 30])
    model = Reused()
    results = Engine(model).run(together({t.id: ask(asks, t)}) for t in texts)
    for result in results:
        for key, outcome in result.items():
            expected = slowly(model.model, Logits(texts[int(key)], masks(texts[int(key)], 3)))
            np.testing.assert_allclose(outcome.value, expected, rtol=1e-12)


def test_a_text_without_tokens_is_refused_and_others_answered():
    none = np.zeros(0, dtype=int)
    empty = replace(text([1, 1]), ids=none, words=none, special=none.astype(bool), tokens=())
    (t,) = texts_of([8])
    odd = {0: one(Attentions(empty)), 1: one(Logits(empty, np.ones((1, 0), dtype=bool)))}
    (outcomes,) = Engine(Watched()).run([together({**odd, "sound": ask(asks, t)})])
    assert outcomes[0].error == outcomes[1].error
    assert "its text has no tokens" in outcomes[0].error
    assert outcomes["sound"].error is None
