"""Metrics of next-token questions: what is left of a prefix, against slow versions; and the whole suite."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from builders import answers, attribution
from faithbench_metrics.alignment import Alignment
from faithbench_metrics.decision_flip import DecisionFlip
from faithbench_metrics.perturbation.operators import OPERATORS, Operator, replacements
from next_token import language_model, questions, slow_d
from scipy import stats
from slow import slow_ranking

from faithbench.answering.engine import Engine
from faithbench.conversations import answering, ask, together
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.plugins import finding, spec
from faithbench.probability import log_odds, probabilities
from faithbench.types import Attribution, Text

KINDS = pytest.mark.parametrize("kind", ["gpt2", "llama"])
WAYS = pytest.mark.parametrize("operator", ["sample", "delete", "attention", "mask"])
VALUES = pytest.mark.parametrize("value", ["probability", "logit"])
TENTHS = range(1, 10)
Said = Callable[[Iterable[int]], float]  # what is said where these places are gone


def drawn(text: Text, seed: int = 1) -> Attribution:
    return attribution(text, np.random.default_rng(seed).normal(size=len(text)).tolist())


def chance(d: float) -> float:
    return 1 / (1 + math.exp(-d))


@cache
def named(kind: str) -> dict[str, tuple[Text, np.ndarray]]:
    """The questions by name, each with what its tokens are replaced by."""
    return {text.id: (text, replacements(text)) for text in questions(language_model(kind))}


@cache
def found_once(kind: str, name: str, operator: str, gone: frozenset[int]) -> tuple[float, ...]:
    """d of each draw where these places of the question of this name are gone."""
    text, draws = named(kind)[name]
    return tuple(slow_d(language_model(kind), text, sorted(gone), operator, draws))


def said(kind: str, text: Text, operator: str, value: str) -> Said:
    """The mean over draws of σ(d), or of d."""

    def found(gone: Iterable[int]) -> float:
        each = found_once(kind, text.id, operator, frozenset(map(int, gone)))
        return float(np.mean([d if value == "logit" else chance(d) for d in each]))

    return found


def drops(v: Said, text: Text, order: list[int], keep: bool = False) -> float:
    """The mean fall at the ratios where the top tokens go, or where they alone stay."""
    tops = [order[: max(1, len(order) * i // 10)] for i in TENTHS]
    return float(np.mean([v([]) - v(set(order) - set(top) if keep else top) for top in tops]))


def curve(v: Said, order: list[int]) -> float:
    heights = [v(order[:k]) for k in range(len(order) + 1)]
    return float(np.mean([(a + b) / 2 for a, b in itertools.pairwise(heights)]))


@KINDS
@WAYS
@VALUES
def test_what_is_left_of_a_prefix_is_measured_as_defined(kind, operator, value):
    model, unit = language_model(kind), 1 if value == "logit" else 100
    for text in questions(model):
        scores = drawn(text)
        v, order = said(kind, text, operator, value), slow_ranking(text, scores.scores)
        expected = {
            "comprehensiveness": drops(v, text, order),
            "sufficiency": drops(v, text, order, keep=True),
            "deletion": curve(v, order),
            "insertion": curve(v, order[::-1]),
            "srg": curve(v, order[::-1]) - curve(v, order),
        }
        for name, wanted in expected.items():
            metric = spec.build("metric", f"{name}(operator={operator}, value={value})").object
            assert answers(model, metric(text, scores)).value == pytest.approx(unit * wanted, abs=1e-9)


@KINDS
@WAYS
def test_flips_are_of_the_sign_of_d_and_log_odds_of_the_good_one(kind, operator):
    model, asked = language_model(kind), 0
    for text in questions(model):
        scores, v = drawn(text), said(kind, text, operator, "probability")
        order = slow_ranking(text, scores.scores)
        logs = [math.log(v(order[: max(1, len(order) * i // 10)])) - math.log(v([])) for i in TENTHS]
        metric = spec.build("metric", f"log_odds(operator={operator})").object
        assert answers(model, metric(text, scores)).value == pytest.approx(np.mean(logs), abs=1e-9)
        turned = replace(text, candidates=text.candidates[::-1])
        for one, sign in ((text, 1), (turned, -1)):
            d = [sign * (v(order[:k]) - 0.5) for k in range(len(order) + 1)]
            flips = next((k for k, each in enumerate(d) if each < 0), len(order))
            found = answers(model, DecisionFlip(operator)(one, replace(scores))).value
            if d[0] < 0:
                assert math.isnan(found)
            else:
                asked += 1
                assert found == pytest.approx(100 * flips / len(order))
    assert asked == 4


@KINDS
@WAYS
@VALUES
def test_monotonicity_ranks_squared_changes_of_d_or_of_its_chance(kind, operator, value):
    model = language_model(kind)
    for text in questions(model)[:3]:
        scores = drawn(text)

        def told(gone, text=text):
            each = found_once(kind, text.id, operator, frozenset(map(int, gone)))
            return np.array(each if value == "logit" else [chance(d) for d in each])

        whole = told([])
        effects = [np.mean((whole - told([place])) ** 2) for place in text.content]
        metric = spec.build("metric", f"monotonicity(operator={operator}, value={value})").object
        wanted = stats.spearmanr(np.abs(scores.scores[text.content]), effects).statistic
        assert answers(model, metric(text, scores)).value == pytest.approx(100 * wanted, abs=1e-9, nan_ok=True)


@KINDS
@pytest.mark.parametrize("operator", ["sample", "delete"])
@VALUES
def test_normalised_comprehensiveness_knows_all_orders_of_a_short_prefix(kind, operator, value):
    model = language_model(kind)
    text = questions(model)[0]
    scores, v = drawn(text), said(kind, text, operator, value)
    every = [drops(v, text, list(order)) for order in itertools.permutations(text.content)]
    own = drops(v, text, slow_ranking(text, scores.scores))
    wanted = 100 * (own - np.mean(every)) / (max(every) - np.mean(every))
    metric = spec.build("metric", f"normalised(comprehensiveness(operator={operator}, value={value}))").object
    assert answers(model, metric(text, scores)).value == pytest.approx(wanted, rel=1e-6)


@KINDS
@pytest.mark.parametrize("contrast", [True, False])
def test_the_logit_of_a_choice_is_d_whatever_the_outputs_are(kind, contrast):
    model = language_model(kind, contrast)
    for text in questions(model):
        whole = np.ones((1, len(text)), dtype=bool)
        (found,) = answers(model, Operator("delete", "logit").chances(text, whole))
        (d,) = slow_d(model, text, [], "mask", replacements(text))
        assert found == pytest.approx([d, -d], abs=1e-9)


@KINDS
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_prefix_of_which_nothing_is_left_is_a_blank_token(kind, operator):
    model = language_model(kind)
    text = questions(model)[3]  # one token, and none before it of GPT-2's
    keep = np.array([text.special, np.ones(len(text), dtype=bool), text.special])
    found = answers(model, Operator(operator, "logit").chances(text, keep))
    wanted = np.mean(slow_d(model, text, text.content, operator, replacements(text)))
    assert found[:, 0] == pytest.approx([wanted, slow_d(model, text, [], "mask", None)[0], wanted], abs=1e-9)


def settings() -> list[str]:
    """Every metric that is installed, and those that take tokens away by each operator that needs no mask."""
    names = [name for name in sorted(finding.find("metric")) if name != "normalised"]
    taking = [name for name in names if hasattr(spec.build("metric", name).object, "operator")]
    return names + [f"{name}(operator={each})" for name in taking for each in ("resampled", "delete", "attention")]


def favoured(model: HuggingFaceLanguageModel, text: Text) -> Text:
    """The question with the continuation that the model prefers as the good one."""
    (d,) = slow_d(model, text, [], "mask", replacements(text))
    return text if d > 0 else replace(text, candidates=text.candidates[::-1])


@KINDS
def test_the_whole_suite_runs_on_next_token_questions(kind):
    model = language_model(kind)
    texts, offered = [favoured(model, text) for text in questions(model)], {"evidence", "label", "vocabulary"}
    every = {name: spec.build("metric", name) for name in [*settings(), "normalised(srg(operator=delete))"]}
    built = {name: each for name, each in every.items() if offered >= set(each.traits.needs)}
    assert len(built) > 50

    def explained(question):
        return drawn(question.text)
        yield

    asked = {
        (name, text.id): answering(ask(each.object, text, drawn(text)), explained)
        for name, each in built.items()
        for text in texts
    }
    (found,) = Engine(model).run([together(asked)])
    errors = {key: outcome.error for key, outcome in found.items() if outcome.error is not None}
    assert errors == {}
    values = {key: outcome.value.value for key, outcome in found.items()}
    assert all(math.isfinite(value) or math.isnan(value) for value in values.values())
    nothing = {name for name in built if all(math.isnan(values[name, text.id]) for text in texts)}
    assert all(name.startswith("racu") for name in nothing)  # where all that is taken hardly matters


def test_alignment_reads_the_transposed_layers_of_gpt2():
    model = language_model("gpt2")
    text, inputs = questions(model)[2], {}

    def see(module, given):
        inputs[module] = given[0][0]

    blocks = model.model.transformer.h
    places = [[block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj] for block in blocks]
    handles = [module.register_forward_pre_hook(see) for each in places for module in each]
    slow_d(model, text, [], "mask", replacements(text))
    for handle in handles:
        handle.remove()
    medians = [
        np.median(
            [abs(float(torch.cosine_similarity(x, w, dim=0))) for m in each for x in inputs[m] for w in m.weight.T]
        )
        for each in places
    ]
    found = answers(model, Alignment()(text, drawn(text)))
    assert found.parts == pytest.approx([100 * each for each in medians], abs=1e-6)


def test_the_logit_of_a_probability_stays_exact_near_one():
    logits = np.array([[300.0, -300.0, -400.0], [1.0, 1.0, 1.0], [-800.0, 3.0, 2.0]])
    wanted = [[600, -600, -700], [-math.log(2)] * 3, [-803 - math.log1p(math.exp(-1)), 1, -1]]
    assert log_odds(logits) == pytest.approx(np.array(wanted), rel=1e-12, abs=1e-12)
    draws = np.random.default_rng(0).normal(size=(20, 5))
    chances = probabilities(draws)
    assert log_odds(draws) == pytest.approx(np.log(chances / (1 - chances)), rel=1e-9)
    assert (log_odds(draws, "sigmoid") == draws).all()
    assert (log_odds(draws, "identity") == draws).all()


@pytest.mark.parametrize("name", ["comprehensiveness", "sufficiency", "deletion", "insertion", "srg", "monotonicity"])
def test_the_value_is_left_out_of_the_identity_while_it_is_a_probability(name):
    plain, other = spec.build("metric", name), spec.build("metric", f"{name}(value=logit)")
    assert "value" not in plain.identity
    assert other.label == f"{name}(value=logit)"
    if name != "monotonicity":
        assert other.traits.range == (-math.inf, math.inf)
        assert math.isfinite(plain.traits.range[0])
    assert spec.build("metric", f"{name}(operator=resampled)").identity == (
        spec.build("metric", f"{name}(operator=sample)").identity
    )


def test_the_paper_knows_probabilities_only():
    with pytest.raises(ValueError, match="value='logit' is not allowed; protocol=paper allows only probability"):
        finding.get("metric", "comprehensiveness").load()(protocol="paper", value="logit")
