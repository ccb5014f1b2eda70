"""Variants of a model: noise and random weights, in company and alone, and the model as it was afterwards."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from builders import EXACT, LinearModel, answers, one, random_texts, text, tiny_classifier, tiny_tokenizer
from slow_transformer import MODELS, SlowTransformer, embeddings_module

from faithbench.answering import asking as asking_module
from faithbench.answering import engine as engine_module
from faithbench.answering.engine import Engine
from faithbench.conformance import Crowded
from faithbench.conversations import on_variant, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.variants import Noise, Randomised
from faithbench.questions import (
    FROZEN,
    NOISE,
    RANDOMISED,
    Attentions,
    Embeddings,
    Gradients,
    Inside,
    Logits,
    LogitsAt,
    OnVariant,
    Question,
    Row,
    Variant,
)
from faithbench.types import Text

HERE = __name__


def noise(seed: int = 0, radius: float = 0.1) -> Variant:
    return Variant(NOISE, (("radius", radius), ("seed", seed)))


def randomised(part: int, cascade: bool = True, seed: int = 0) -> Variant:
    return Variant(RANDOMISED, (("part", part), ("cascade", cascade), ("seed", seed)))


def full(one: Text) -> np.ndarray:
    return np.ones((1, len(one)), dtype=bool)


def state_of(classifier: HuggingFaceClassifier) -> tuple[object, ...]:
    """All that a variant must put back: the very tensors, their numbers, and hooks."""
    modules = [*classifier.model.modules()]
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
    return classifier.fingerprint(), hooks, [p.data_ptr() for p in classifier.model.parameters()]


def weights(classifier: Any, text: Text) -> dict[str, torch.Tensor]:
    """A look inside: the parameters, copied."""
    return {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}


def with_weights(classifier: HuggingFaceClassifier, state: dict[str, torch.Tensor]) -> HuggingFaceClassifier:
    """Another classifier, with other weights."""
    network = copy.deepcopy(classifier.model)
    network.load_state_dict(state)
    return HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)


def fail(classifier: Any, text: Text) -> None:
    raise KeyError("in the midst")


@pytest.mark.slow
@MODELS
def test_questions_under_noise_are_those_at_the_noisy_embeddings(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    before = state_of(classifier)
    texts = random_texts(classifier, (5, 1, 9))
    slow = SlowTransformer(classifier)
    for t in texts:
        asked = (Embeddings(t, full(t)), Logits(t, full(t)), Gradients(t, 1), Gradients(t, 1, rules=FROZEN))
        for model in (classifier, Crowded(classifier, texts)):
            found = [answers(model, one(OnVariant(noise(), each))) for each in asked]
            place = torch.from_numpy(found[0][0])
            state, _ = slow.forward(place)
            np.testing.assert_allclose(found[1][0], state.value[0], **EXACT)
            frozen = state.slope[0, 1].reshape(place.shape)
            np.testing.assert_allclose(found[3].gradient, frozen, rtol=0, atol=1e-9)
            place.requires_grad_()
            (gradient,) = torch.autograd.grad(slow.forward(place)[0].value[0, 1], place)
            np.testing.assert_allclose(found[2].gradient, gradient, rtol=0, atol=1e-9)
            np.testing.assert_allclose(found[2].embeddings, place.detach(), **EXACT)
            moved = found[0][0] - slow.embeddings(t).numpy()
            assert 0.08 < np.abs(moved).max() <= 0.1
    assert state_of(classifier) == before


def test_noise_is_uniform_and_the_same_at_each_place_of_every_text():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    texts = random_texts(classifier, (30, 12))

    def moved(t: Text, variant: Variant) -> np.ndarray:
        return (
            answers(classifier, one(OnVariant(variant, Embeddings(t, full(t)))))[0] - classifier.embed([Row(t.ids)])[0]
        )

    long, short = (moved(t, noise(radius=2.0)) for t in texts)
    np.testing.assert_allclose(short, long[: len(short)], **EXACT)
    assert np.abs(long.mean()) < 0.2  # of 512 draws the mean has a standard error of 0.05
    assert long.std() == pytest.approx(2 / 3**0.5, rel=0.1)
    assert np.abs(long).max() == pytest.approx(2, abs=0.05)
    assert not np.isclose(moved(texts[1], noise(1, 2.0)), short).any()
    np.testing.assert_allclose(moved(texts[1], noise(radius=1.0)), short / 2, **EXACT)


def parts_of(classifier: HuggingFaceClassifier) -> list[list[str]]:
    """Names of the parameters of each part, told by their beginnings: all tiny models have two layers."""
    kind = classifier.model.config.model_type
    layer = f"{kind}.{'transformer' if kind == 'distilbert' else 'encoder'}.layer"
    names = [name for name, _ in classifier.model.named_parameters()]
    inside = [[n for n in names if n.startswith(f"{layer}.{i}.")] for i in (1, 0)]
    inside.append([n for n in names if n.startswith(f"{kind}.embeddings.")])
    return [[n for n in names if not any(n in part for part in inside)], *inside]


@pytest.mark.slow
@MODELS
@pytest.mark.parametrize("cascade", [True, False])
def test_random_weights_are_in_the_parts_named_and_answers_are_those_of_such_a_model(kind, b, cascade):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    before, own = state_of(classifier), weights(classifier, None)
    texts = random_texts(classifier, (5, 1))
    parts = parts_of(classifier)
    count = answers(classifier, one(Inside(texts[0], "faithbench.models.variants:count_parts")))
    assert count == len(parts) == 4
    assert all(parts)
    for part in range(count):
        variant = randomised(part, cascade)
        drawn = answers(classifier, one(OnVariant(variant, Inside(texts[0], f"{HERE}:weights"))))
        changed = {name for name, tensor in drawn.items() if not torch.equal(tensor, own[name])}
        assert changed == {name for names in parts[0 if cascade else part : part + 1] for name in names}
        other = with_weights(classifier, drawn)
        for t in texts:
            for question in (Logits(t, full(t)), Embeddings(t, full(t)), Attentions(t)):
                found = answers(Crowded(classifier, texts), one(OnVariant(variant, question)))
                np.testing.assert_allclose(found, answers(other, one(question)), **EXACT)
            found = answers(classifier, one(OnVariant(variant, Gradients(t, 2, rules=FROZEN))))
            np.testing.assert_allclose(
                found.gradient, answers(other, one(Gradients(t, 2, rules=FROZEN))).gradient, **EXACT
            )
    assert state_of(classifier) == before


def test_random_weights_have_the_mean_and_spread_of_the_models_own():
    classifier = tiny_classifier("bert", dtype=torch.float64, hidden_size=64, intermediate_size=256)
    own = weights(classifier, None)
    (t,) = random_texts(classifier, (3,))
    drawn, same, other = (
        answers(classifier, one(OnVariant(randomised(3, seed=seed), Inside(t, f"{HERE}:weights"))))
        for seed in (0, 0, 1)
    )
    for name, tensor in drawn.items():
        assert torch.equal(tensor, same[name])
        assert not torch.equal(tensor, other[name])
        n = tensor.numel()
        if n > 1000:
            error = float(own[name].std()) / n**0.5
            assert float(tensor.mean()) == pytest.approx(float(own[name].mean()), abs=5 * error)
            assert float(tensor.std()) == pytest.approx(float(own[name].std()), rel=5 / n**0.5)
            assert abs(np.corrcoef(tensor.flatten(), own[name].flatten())[0, 1]) < 5 / n**0.5


def test_a_part_draws_the_same_weights_alone_and_in_a_cascade():
    classifier = tiny_classifier("roberta")
    (t,) = random_texts(classifier, (3,))
    cascade, alone = (
        answers(classifier, one(OnVariant(randomised(2, c), Inside(t, f"{HERE}:weights")))) for c in (True, False)
    )
    assert all(torch.equal(cascade[name], alone[name]) for name in parts_of(classifier)[2])


@pytest.mark.slow
@pytest.mark.parametrize("b", [None, 1.5])
def test_weights_that_come_to_lie_where_others_lay_are_not_taken_for_them(b):
    classifier = tiny_classifier("bert", b, dtype=torch.float64)
    (t,) = random_texts(classifier, (4,))

    def logits(seed: int) -> np.ndarray:
        with Randomised(classifier, part=1, cascade=False, seed=seed):
            drawn = weights(classifier, t)
            found = classifier.logits([Row(t.ids)])
        return found - with_weights(classifier, drawn).logits([Row(t.ids)])

    assert [np.abs(logits(seed)).max() < 1e-10 for seed in range(12)] == [True] * 12


@pytest.mark.parametrize("variant", [noise(), randomised(2)], ids=["noise", "randomised"])
def test_the_model_is_as_before_when_something_fails_in_the_midst(variant):
    classifier = tiny_classifier("bert", 1.5)
    before, (t,) = state_of(classifier), random_texts(classifier, (4,))
    logits = classifier.logits([Row(t.ids)])
    for question in (Inside(t, f"{HERE}:fail"), Gradients(t, 0, rules="json:NoRules"), Inside(t, "no.such:look")):
        (found,) = Engine(classifier).run([together({0: one(OnVariant(variant, question))})])
        assert found[0].error.startswith("QuestionError: ")
        assert state_of(classifier) == before
    context = {NOISE: Noise, RANDOMISED: Randomised}[variant.change](classifier, **dict(variant.arguments))
    with context:
        changed = classifier.logits([Row(t.ids)])
    assert not np.allclose(changed, logits)
    assert state_of(classifier) == before
    np.testing.assert_array_equal(classifier.logits([Row(t.ids)]), logits)


@dataclass
class Failing:
    """A context that fails somewhere."""

    classifier: Any
    where: str

    def __post_init__(self) -> None:
        self.at("init")

    def __enter__(self) -> None:
        self.at("enter")

    def __exit__(self, *_: object) -> None:
        self.at("exit")

    def at(self, where: str) -> None:
        if where == self.where:
            raise ArithmeticError(where)


class Breaking:
    """A context in which the model itself fails."""

    def __init__(self, classifier: Any) -> None:
        self.layer = embeddings_module(classifier)

    def __enter__(self) -> None:
        self.handle = self.layer.register_forward_hook(lambda module, args, output: output[..., :3])

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


class Poisoned(Breaking):
    """A context in which the model gives what is no number."""

    def __enter__(self) -> None:
        self.handle = self.layer.register_forward_hook(lambda module, args, output: output * torch.nan)


BAD = [
    *(Variant(f"{HERE}:Failing", (("where", where),)) for where in ("init", "enter", "exit")),
    Variant(f"{HERE}:Breaking"),
    Variant(f"{HERE}:Poisoned"),
    Variant("no_such_package:Change"),
    Variant("json:dumps"),
    Variant(NOISE, (("no_such", 1),)),
    randomised(4),
    randomised(-1),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda v: f"{v.change.split(':')[1]}{[value for _, value in v.arguments]}")
def test_a_variant_that_fails_fails_only_its_asker(bad):
    classifier = tiny_classifier("bert")
    before, (t,) = state_of(classifier), random_texts(classifier, (4,))
    askings = {
        "bad": one(OnVariant(bad, Logits(t, full(t)))),
        "good": one(OnVariant(noise(), Logits(t, full(t)))),
        "plain": one(Logits(t, full(t))),
    }
    (found,) = Engine(classifier).run([together(askings)])
    assert found["bad"].error.startswith("QuestionError: ")
    assert found["good"].error is found["plain"].error is None
    np.testing.assert_allclose(found["plain"].value, classifier.logits([Row(t.ids)]), rtol=1e-5)
    assert state_of(classifier) == before


def test_a_model_without_parts_refuses_variants_and_answers_the_rest():
    model, t = LinearModel.random(), text([1, 3, 1])
    askings = {v.change: one(OnVariant(v, Logits(t, full(t)))) for v in (noise(), randomised(0))}
    (found,) = Engine(model).run([together({**askings, "plain": one(Logits(t, full(t)))})])
    assert [found[v].error.startswith("QuestionError: ") for v in (NOISE, RANDOMISED)] == [True, True]
    np.testing.assert_allclose(found["plain"].value, model.logits([Row(t.ids)]))


VARIANTS = [None, noise(0), noise(1), randomised(0), randomised(3), randomised(3, seed=1)]


def all_variants(classifier: Any) -> list[list[np.ndarray]]:
    """The same questions asked of all variants at once, of several texts; each text's logits and gradients."""
    texts = random_texts(classifier, (5, 4, 5))

    def curious(t: Text) -> Iterator[object]:
        asked = (Logits(t, full(t)), Gradients(t, 1), LogitsAt(t, np.ones((1, len(t), 16))))
        return (yield tuple(each if v is None else OnVariant(v, each) for v in VARIANTS for each in asked))

    found = Engine(classifier).run([together({0: curious(t)}) for t in texts])
    values = [outcome[0].value for outcome in found]
    return [[v if isinstance(v, np.ndarray) else v.gradient for v in each] for each in values]


def one_by_one(classifier: Any) -> list[list[np.ndarray]]:
    """The same from an engine for each question."""
    found = []
    for t in random_texts(classifier, (5, 4, 5)):
        asked = (Logits(t, full(t)), Gradients(t, 1), LogitsAt(t, np.ones((1, len(t), 16))))
        values = [answers(classifier, on_variant(v, one(each))) for v in VARIANTS for each in asked]
        found.append([v if isinstance(v, np.ndarray) else v.gradient for v in values])
    return found


def differences(some: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> list[float]:
    by_size = (sorted(each, key=lambda values: values[0].sum()) for each in (some, others))
    pairs = (zip(a, b, strict=True) for a, b in zip(*by_size, strict=True))
    return [float(np.abs(x - y).max()) for pair in pairs for x, y in pair]


def test_rows_of_different_variants_never_meet():
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    apart = one_by_one(classifier)
    assert max(differences(all_variants(classifier), apart)) < 1e-10
    for values in apart:
        logits = np.stack(values[::3])
        assert len(np.unique(logits.round(9), axis=0)) == len(VARIANTS)


def test_a_planted_fault_in_the_lanes_is_seen(monkeypatch):
    real = engine_module.rows_of

    def forgetful(question: Question) -> object:
        lane, rows = real(question)
        return lane._replace(variant=None), rows

    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    apart = one_by_one(classifier)
    monkeypatch.setattr(engine_module, "rows_of", forgetful)
    assert max(differences(all_variants(classifier), apart)) > 1e-3


def test_more_variants_than_are_kept_ready_are_all_answered(monkeypatch):
    monkeypatch.setattr(asking_module, "MAX_VARIANTS", 2)
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    assert max(differences(all_variants(classifier), one_by_one(classifier))) < 1e-10
    engine, (t,) = Engine(classifier), random_texts(classifier, (5,))
    assert list(engine.run([together({v: on_variant(v, one(Logits(t, full(t)))) for v in VARIANTS})]))
    assert len(engine._asker.variants) == 2
