"""Attention flow against a linear program (arXiv 2005.00928); the research code's largest path against all paths."""

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, random_texts, text, tiny_classifier
from faithbench_explainers.attention import UNIT, Attention, flow, max_path, rollout
from jaxtyping import Float
from scipy.optimize import linprog
from slow_transformer import MODELS, SlowTransformer

from faithbench.conversations import ask

Layers = Float[np.ndarray, "layers tokens tokens"]


def random_layers(depth: int, n: int, seed: int, peaked: float = 0.3) -> Layers:
    return np.random.default_rng(seed).dirichlet(np.full(n, peaked), size=(depth, n))


def slow_flow(layers: Layers, read: int, token: int) -> float:
    """The largest flow as a linear program: a variable for each edge, conservation at each node between the ends."""
    depth, n, _ = layers.shape
    edges = list(product(range(depth, 0, -1), range(n), range(n)))  # from (layer, a) to (layer - 1, b)
    capacity = []
    for layer, a, b in edges:
        row = layers[layer - 1][a] + np.eye(n)[a]
        capacity.append(row[b] / row.sum())
    source, sink = (depth, read), (0, token)
    rows = []
    for node in product(range(depth + 1), range(n)):
        if node not in (source, sink):
            rows.append([((layer, a) == node) - ((layer - 1, b) == node) for layer, a, b in edges])
    wanted = [-float((layer, a) == source) for layer, a, b in edges]
    kept = {"A_eq": np.array(rows, float), "b_eq": np.zeros(len(rows))} if rows else {}
    found = linprog(wanted, **kept, bounds=[(0, c) for c in capacity])
    return -found.fun


@pytest.mark.parametrize("read", [0, -1])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_flow_is_the_solution_of_the_linear_program(depth, n, read):
    for seed in range(3):
        layers = random_layers(depth, n, seed)
        expected = [slow_flow(layers, read % n, token) for token in range(n)]
        np.testing.assert_allclose(flow(layers, read % n), expected, rtol=0, atol=1e-8)


def test_flow_takes_several_paths_where_the_best_product_takes_one():
    half = np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    # A + I over 2: from the first token 1/2 stays, 1/4 goes to each other; these pass on 1 and 1/2 to the second
    found = flow(np.stack([half, half]))
    np.testing.assert_allclose(found, [0.5, 0.75, 0.5], atol=1e-8)
    assert found[1] > rollout(np.stack([half, half]))[0, 1]


def test_no_more_flows_than_leaves_the_token_that_is_read_or_reaches_the_other():
    layers = random_layers(4, 8, 0, peaked=1.0)
    arrives = ((layers[0] + np.eye(8)) / 2).sum(0)
    found = flow(layers, 3)
    assert (found <= np.minimum(1, arrives) + 8 / UNIT).all()
    assert (found > 0).all()


@MODELS
def test_flow_takes_the_mean_over_heads_and_max_path_the_largest_of_them(kind, b):
    classifier = tiny_classifier(kind, b, dtype=torch.float64)
    for one in random_texts(classifier, (4, 1)):
        slow = SlowTransformer(classifier)
        _, told = slow.forward(slow.embeddings(one))
        mean, largest = (np.stack([part(layer.numpy(), axis=0) for layer in told]) for part in (np.mean, np.max))
        expected = [slow_flow(mean, 0, token) for token in range(len(one))]
        scores = answers(classifier, ask(Attention("flow"), one, 1)).scores
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-8)
        scores = answers(classifier, ask(Attention("max_path"), one, 1)).scores
        np.testing.assert_allclose(scores, slow_max_path(largest, 0), rtol=1e-10)


def test_flow_of_uniform_attention_in_closed_form():
    scores = answers(LinearModel.random(), ask(Attention("flow"), text([1, 5, 6, 7, 1]), 0)).scores
    np.testing.assert_allclose(scores, [0.6, 0.1, 0.1, 0.1, 0.1], atol=1e-8)  # one layer: (1/n + identity) / 2


def slow_max_path(layers: Layers, read: int) -> list[float]:
    """For each token the largest product along any path that begins at the token read, in the first layer."""
    n = layers.shape[-1]
    best = [0.0] * n
    for path in product([read], *[range(n)] * len(layers)):
        best[path[-1]] = max(best[path[-1]], prod(m[a, b] for m, a, b in zip(layers, path, path[1:], strict=False)))
    return best


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_max_path_is_the_best_of_all_paths_from_the_first_layer(depth):
    for n in (1, 2, 5):
        layers = random_layers(depth, n, depth)
        np.testing.assert_allclose(max_path(layers, n - 1), slow_max_path(layers, n - 1), rtol=1e-12)
    layers = random_layers(2, 4, 7)
    assert not np.allclose(max_path(layers), max_path(layers[::-1]))  # the order of layers matters


def test_only_the_version_of_flow_was_raised():
    versions = {variant: Attention(variant).version for variant in ("raw", "rollout", "flow", "max_path")}
    assert versions == {"raw": 1, "rollout": 1, "flow": 2, "max_path": 1}


@pytest.mark.slow
def test_flow_of_a_long_text_comes_to_an_end_and_to_no_more_than_can_leave_the_token_read():
    found = flow(random_layers(12, 128, 0))
    assert found.shape == (128,)
    assert (found > 0).all()
    assert found.max() <= 1 + 1e-6
