"""ShapSampl and KernelShap against the sum over all coalitions, against captum and shap, and against simple games."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, shared_classifier, text
from captum import attr
from faithbench_explainers.kernel_shap import KernelShap
from faithbench_explainers.shap_sampl import ShapSampl
from scipy import stats
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.conversations import ask, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row
from faithbench.types import Text

MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
BOTH = pytest.mark.parametrize("explainer", [ShapSampl(n_permutations=4), KernelShap(60)], ids=["sampled", "kernel"])


def forward_of(classifier: HuggingFaceClassifier, one: Text):
    """Logits as a function of content ids, special tokens put around: what captum and shap need."""

    def forward(content: Tensor) -> Tensor:
        ids = torch.from_numpy(one.ids).repeat(len(content), 1)
        ids[:, one.content] = content
        with torch.no_grad():
            return classifier.model(input_ids=ids).logits

    return forward


def exact(classifier: HuggingFaceClassifier, one: Text, target: int, players: np.ndarray) -> np.ndarray:
    """Shapley's own sum, over all coalitions S without i: |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))."""
    n = len(players)
    ids = np.tile(one.ids, (2**n, 1))
    for coalition in range(2**n):
        absent = [players[i] for i in range(n) if not coalition >> i & 1]
        ids[coalition, absent] = classifier.tokenizer.mask_token_id
    with torch.no_grad():
        values = classifier.model(input_ids=torch.from_numpy(ids)).logits[:, target].numpy()
    scores = np.zeros(len(one))
    for i in range(n):
        for coalition in range(2**n):
            if not coalition >> i & 1:
                size = coalition.bit_count()
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                scores[players[i]] += weight * (values[coalition | 1 << i] - values[coalition])
    return scores


@dataclass(frozen=True)
class Pairs:
    """A game of pairs: the logit of class 0 is Σ_i own[i] + Σ_{i<j} pair[i, j] over the positions not masked (id 0)."""

    own: np.ndarray
    pair: np.ndarray
    classes: int = 2
    batch_tokens: int = 4096
    gradient_cost: int = 1

    @classmethod
    def random(cls, n: int) -> "Pairs":
        draws = np.random.default_rng(n)
        pair = draws.normal(size=(n + 2, n + 2))
        return cls(draws.normal(size=n + 2), np.triu(pair, 1) + np.triu(pair, 1).T)

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        present = (np.stack([row.ids for row in rows]) != 0).astype(float)
        logit = present @ self.own + np.einsum("ri,ij,rj->r", present, self.pair, present) / 2
        return np.stack([logit, -logit], axis=1)

    def shapley(self, players: Sequence[int]) -> np.ndarray:
        """Each pair of players is shared equally; a pair with a token that stays belongs to the player."""
        stays = np.setdiff1d(np.arange(len(self.own)), players)
        scores = np.zeros(len(self.own))
        for i in players:
            scores[i] = self.own[i] + self.pair[i, stays].sum() + self.pair[i, players].sum() / 2
        return scores


def numbered(n: int, name: str = "text") -> Text:
    """A text of n content tokens, all different."""
    return text(range(1, n + 3), name=name)


@pytest.mark.slow
@MODELS
def test_kernel_shap_of_all_coalitions_is_exact(kind, b):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (6, 1, 2), seed=3)):
        expected = exact(classifier, one, target, one.content)
        for explainer in (KernelShap(n_samples=62), KernelShap(paired=False, seed=9)):
            found = answers(classifier, explainer(one, target))
            np.testing.assert_allclose(found.scores, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
            assert found.scores[one.special].tolist() == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["strict", "paper"])
@MODELS
def test_shap_sampl_is_within_its_standard_errors_and_efficient(kind, b, protocol):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (6, 3), seed=4)):
        players = one.content if protocol == "strict" else np.arange(len(one))
        expected = exact(classifier, one, target, players)
        found = answers(classifier, ShapSampl(n_permutations=200, protocol=protocol)(one, target))
        errors = found.standard_errors
        assert (errors[players] > 0).all()
        assert np.abs((found.scores - expected)[players] / errors[players]).max() < 4
        assert errors[players].max() < 0.2 * np.abs(expected).max()
        assert found.scores.sum() == pytest.approx(expected.sum(), abs=1e-10)
        if protocol == "strict":
            assert (found.scores[one.special] == 0).all()
            assert (errors[one.special] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("antithetic", [False, True])
def test_standard_errors_are_honest_and_the_mean_over_seeds_is_exact(antithetic):
    classifier = shared_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (6,), seed=5)
    expected, runs = exact(classifier, one, 1, one.content)[one.content], 200
    explainer = ShapSampl(n_permutations=60, antithetic=antithetic)
    found = [answers(classifier, replace(explainer, seed=seed)(one, 1)) for seed in range(runs)]
    scores = np.stack([f.scores[one.content] for f in found])
    errors = np.stack([f.standard_errors[one.content] for f in found])
    z = (scores - expected) / errors
    np.testing.assert_allclose(z.var(axis=0), 1, atol=0.3)
    freedom = (30 if antithetic else 60) - 1  # a standard error is itself an estimate: Student's t
    assert z.var() == pytest.approx(freedom / (freedom - 2), abs=0.12)
    assert np.abs((scores.mean(axis=0) - expected) / scores.std(axis=0)).max() < 4 / np.sqrt(runs)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), scores.std(axis=0, ddof=1), rtol=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("antithetic", [False, True])
def test_captum_walking_the_same_permutations_gives_the_same_mean_and_standard_errors(antithetic, monkeypatch):
    classifier = shared_classifier("roberta", 1.5, dtype=torch.float64)
    explainer = ShapSampl(n_permutations=8, antithetic=antithetic)
    monkeypatch.setattr(torch, "float", torch.float64)  # captum sums in torch.float
    for one in random_texts(classifier, (6, 1, 9)):
        sampling, changes = attr.ShapleyValueSampling(forward_of(classifier, one)), []
        content = torch.from_numpy(one.ids[one.content])[None]
        for order in explainer.orders(one, len(one.content)).tolist():
            sampling.permutation_generator = lambda features, samples, order=order: [order]
            changes.append(sampling.attribute(content, baselines=one.mask_id, target=1)[0].numpy())
        draws = np.reshape(changes, (4, 2, -1)).mean(axis=1) if antithetic else np.stack(changes)
        found = answers(classifier, explainer(one, 1))
        errors = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        np.testing.assert_allclose(found.scores[one.content], draws.mean(axis=0), rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.standard_errors[one.content], errors, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_captum_on_all_orders_and_on_many_agrees():
    classifier = shared_classifier("distilbert", dtype=torch.float64)
    (one,) = random_texts(classifier, (5,), seed=1)
    content, forward = torch.from_numpy(one.ids[one.content])[None], forward_of(classifier, one)
    asked = {"baselines": one.mask_id, "target": 0, "perturbations_per_eval": 5}
    kernel = answers(classifier, KernelShap()(one, 0)).scores[one.content]
    np.testing.assert_allclose(kernel, attr.ShapleyValues(forward).attribute(content, **asked)[0].numpy(), rtol=1e-4)
    torch.manual_seed(0)
    sampled = attr.ShapleyValueSampling(forward).attribute(content, n_samples=300, **asked)[0].numpy()
    ours = answers(classifier, ShapSampl(n_permutations=300)(one, 0))
    errors = ours.standard_errors[one.content]
    assert np.abs((ours.scores[one.content] - sampled) / errors).max() < 4 * np.sqrt(2)
    asked["perturbations_per_eval"] = 50
    regressed = attr.KernelShap(forward).attribute(content, n_samples=1000, **asked)[0].numpy()
    np.testing.assert_allclose(kernel, regressed, rtol=0, atol=0.05 * np.abs(kernel).max())


@pytest.mark.slow
def test_the_shap_packages_exact_explainer_agrees():
    shap = pytest.importorskip("shap")
    classifier = shared_classifier("bert", 1.5, dtype=torch.float64)
    (one,) = random_texts(classifier, (6,), seed=2)
    forward, content = forward_of(classifier, one), one.ids[one.content]
    explainer = shap.explainers.Exact(
        lambda rows: forward(torch.from_numpy(rows)).numpy(),
        lambda keep, row: (np.where(keep, row, one.mask_id)[None],),
    )
    expected = explainer(content[None]).values[0, :, 1]
    scores = answers(classifier, KernelShap()(one, 1)).scores[one.content]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("n", "permutations", "protocol"), [(12, 25, "strict"), (3, 25, "strict"), (4, 2, "paper")])
def test_shap_sampl_costs_the_rows_it_needs_and_none_is_run_twice(n, permutations, protocol):
    classifier, one = LinearModel.random(vocabulary=20), numbered(n)
    explainer = ShapSampl(permutations, protocol=protocol)
    players = n if protocol == "strict" else n + 2
    question = next(explainer(one, 0))
    engine = Engine(classifier)
    list(engine.run([together({0: ask(explainer, one, 0)})]))
    assert engine.counts.asked == len(question.keep) == 2 + permutations * (players - 1)
    assert engine.counts.run == len({row.tobytes() for row in question.keep})


def test_special_tokens_are_players_in_the_papers_protocol_only():
    game, one = Pairs.random(5), numbered(5)
    strict, paper = (next(ShapSampl(protocol=protocol)(one, 0)).keep for protocol in ("strict", "paper"))
    assert strict[:, one.special].all()
    assert not paper[0].any()
    for protocol, players in (("strict", range(1, 6)), ("paper", range(7))):
        scores = answers(game, ShapSampl(2, antithetic=True, protocol=protocol)(one, 0)).scores
        np.testing.assert_allclose(scores, game.shapley(players), atol=1e-12)


def test_orders_are_uniform_and_belong_to_seed_and_text():
    one, other = numbered(3), numbered(3, name="other")
    orders = ShapSampl(n_permutations=6000).orders(one, 3)
    counts = [(orders == order).all(axis=1).sum() for order in permutations(range(3))]
    assert sum(counts) == 6000
    assert stats.chisquare(counts).pvalue > 0.01
    few = ShapSampl(n_permutations=20).orders(one, 3)
    np.testing.assert_array_equal(few, ShapSampl(n_permutations=20, baseline="pad").orders(one, 3))
    assert (few != ShapSampl(n_permutations=20).orders(other, 3)).any()
    assert (few != ShapSampl(n_permutations=20, seed=1).orders(one, 3)).any()


def test_antithetic_orders_come_in_reversed_pairs_and_are_exact_on_a_game_of_pairs():
    one, game = numbered(7), Pairs.random(7)
    explainer = ShapSampl(n_permutations=6, antithetic=True)
    orders = explainer.orders(one, 7)
    np.testing.assert_array_equal(orders[1::2], orders[::2, ::-1])
    assert len({order.tobytes() for order in orders}) == 6
    found = answers(game, explainer(one, 0))
    np.testing.assert_allclose(found.scores, game.shapley(range(1, 8)), atol=1e-12)
    assert found.standard_errors.max() < 1e-12
    plain = answers(game, ShapSampl(n_permutations=6)(one, 0))
    assert np.abs(plain.scores - found.scores).max() > 0.1


@BOTH
def test_a_text_of_one_token_gets_the_whole_change(explainer):
    classifier = shared_classifier("bert", 1.5, dtype=torch.float64)
    (one,) = random_texts(classifier, (1,))
    found = answers(classifier, explainer(one, 1))
    np.testing.assert_allclose(found.scores, exact(classifier, one, 1, one.content), atol=1e-12)
    if found.standard_errors is not None:
        np.testing.assert_allclose(found.standard_errors, 0, atol=1e-12)


def test_one_permutation_has_no_standard_errors():
    game, one = Pairs.random(4), numbered(4)
    assert answers(game, ShapSampl(n_permutations=1)(one, 0)).standard_errors is None
    assert answers(game, ShapSampl(n_permutations=2, antithetic=True)(one, 0)).standard_errors is None
    assert answers(game, ShapSampl(n_permutations=2)(one, 0)).standard_errors is not None


@BOTH
def test_a_masked_token_is_worth_nothing_and_equal_tokens_of_a_bag_the_same(explainer):
    model, one = LinearModel.random(), text([1, 5, 0, 5, 1])
    scores = answers(model, explainer(one, 2)).scores
    assert scores[2] == pytest.approx(0, abs=1e-12)
    assert scores[1] == pytest.approx(scores[3], abs=1e-12)


@BOTH
def test_the_result_is_the_same_whatever_the_batch(explainer):
    classifier = shared_classifier("roberta", dtype=torch.float64)
    texts = random_texts(classifier, (6, 1, 9, 7, 8))
    for batch_tokens in (100, 4096):
        outcomes = Engine(classifier, batch_tokens).run(together({t.id: ask(explainer, t, 1)}) for t in texts)
        found = {key: outcome.value for each in outcomes for key, outcome in each.items()}
        for one in texts:
            alone = answers(classifier, explainer(one, 1)).scores
            np.testing.assert_allclose(found[one.id].scores, alone, rtol=0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize(
    "explainer",
    [ShapSampl(2), ShapSampl(3, protocol="paper"), KernelShap(), KernelShap(200, paired=False)],
)
def test_linear_model_knows_its_shapley_values(explainer, n):
    model, one = LinearModel.random(vocabulary=50), numbered(n)
    share = model.table @ model.weights[:, 1]
    players = np.arange(n + 2) if "paper" in repr(explainer) else one.content
    expected = np.zeros(n + 2)
    expected[players] = (share[one.ids] - share[0])[players]
    np.testing.assert_allclose(answers(model, explainer(one, 1)).scores, expected, atol=1e-9)


@pytest.mark.parametrize("n_samples", [60, 100, 300])
def test_paired_kernel_shap_is_exact_on_a_game_of_pairs(n_samples):
    game, one = Pairs.random(12), numbered(12)  # v(S) − v(the others) shares each pair equally, and is a sum
    scores = answers(game, KernelShap(n_samples)(one, 0)).scores
    np.testing.assert_allclose(scores, game.shapley(range(1, 13)), atol=1e-8)
    single = answers(game, KernelShap(n_samples, paired=False)(one, 0)).scores
    assert np.abs(single - scores).max() > 1e-3


def shapley_kernel(n: int) -> dict[bytes, float]:
    """(n − 1) / (C(n, s) · s · (n − s)) of every coalition but the empty and the full one, scaled to sum to 1."""
    kernel = {}
    for size in range(1, n):
        for members in combinations(range(n), size):
            coalition = np.isin(np.arange(n), members)
            kernel[coalition.tobytes()] = (n - 1) / (comb(n, size) * size * (n - size))
    return {coalition: weight / sum(kernel.values()) for coalition, weight in kernel.items()}


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [10, 50])
@pytest.mark.parametrize("paired", [True, False])
def test_weights_of_coalitions_are_the_shapley_kernel_in_expectation(paired, n_samples):
    n, runs, kernel = 6, 600, shapley_kernel(6)
    found = np.zeros((runs, len(kernel)))
    place = {coalition: i for i, coalition in enumerate(kernel)}
    for seed in range(runs):
        coalitions, weights = KernelShap(n_samples, paired=paired, seed=seed).coalitions(numbered(n))
        keys = [row.tobytes() for row in coalitions]
        assert len(set(keys)) == len(keys) <= n_samples
        found[seed, [place[key] for key in keys]] = weights
        assert weights.sum() == pytest.approx(1)
        if paired:
            weight = dict(zip(keys, weights, strict=True))
            assert all(weight[(~row).tobytes()] == weight[row.tobytes()] for row in coalitions)
    expected = np.array(list(kernel.values()))
    whole = np.ptp(found, axis=0) < 1e-12
    np.testing.assert_allclose(found[0, whole], expected[whole], rtol=1e-12)
    assert whole.sum() == (12 if n_samples == 50 else 0)  # sizes 1 and 5
    sizes = np.array([np.frombuffer(coalition, dtype=bool).sum() for coalition in kernel])
    groups = np.concatenate([np.eye(len(kernel)), sizes == np.arange(2, 5)[:, None]])[:, ~whole]  # each, and by size
    sums, expected = found[:, ~whole] @ groups.T, groups @ expected[~whole]
    varied = sums.std(axis=0) > 1e-12
    z = (sums.mean(axis=0) - expected)[varied] / sums.std(axis=0)[varied] * np.sqrt(runs)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("n", [1, 2, 3, 6, 40])
@pytest.mark.parametrize("n_samples", [2, 3, 7, 62])
def test_a_small_budget_is_kept_and_the_scores_sum_to_the_total(n, n_samples):
    game, one = Pairs.random(n), numbered(n)
    for paired in (True, False):
        explainer = KernelShap(n_samples, paired=paired)
        assert len(next(explainer(one, 0)).keep) <= 2 + n_samples
        scores = answers(game, explainer(one, 0)).scores
        assert np.isfinite(scores).all()
        assert scores.sum() == pytest.approx(game.shapley(range(1, n + 1)).sum(), abs=1e-9)


@pytest.mark.parametrize("n_samples", [2, 20])
def test_no_position_is_preferred_where_samples_are_fewer_than_players(n_samples):
    model, one = LinearModel.binary([0.0, *[1.0] * 42]), numbered(40)
    scores = [answers(model, KernelShap(n_samples, seed=seed)(one, 1)).scores[1:-1] for seed in range(50)]
    np.testing.assert_allclose(np.mean(scores, axis=0), 1, atol=0.5)
