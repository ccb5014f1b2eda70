"""How large batches of gradients may be: what a model keeps for them, counted."""

import pytest
import torch
from builders import tiny_classifier

from faithbench.models import memory
from faithbench.models.memory import bytes_kept, bytes_of_attention, cost_of, gradient_cost

GB = 10**9


def test_what_is_kept_grows_with_the_tokens_and_not_with_the_weights():
    classifier = tiny_classifier("bert")
    assert bytes_kept(classifier, 32) == pytest.approx(2 * bytes_kept(classifier, 16), rel=0.1)
    wide = tiny_classifier("bert", vocab_size=30_000)
    assert bytes_kept(wide, 16) == bytes_kept(classifier, 16)


def test_what_is_kept_is_what_a_layer_needs_for_gradients_at_its_input():
    classifier = tiny_classifier("bert", hidden_size=64, intermediate_size=256, num_hidden_layers=4)
    per_token = bytes_kept(classifier, 32) / 32 / 4 / 4 / 64  # in hidden sizes, layers and floats
    assert 7 < per_token < 14, "norms keep 2 of them, the GELU 4, attention 4"


def test_b_cos_layers_keep_more():
    plain, dynamic = (tiny_classifier("bert", b) for b in (None, 1.5))
    assert bytes_kept(dynamic, 16) > 2 * bytes_kept(plain, 16)


def test_attention_is_counted_for_all_heads():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    assert bytes_of_attention(classifier, 10) == 2 * 2 * 100 * 2 * 8
    half = tiny_classifier("bert", dtype=torch.bfloat16)
    assert bytes_of_attention(half, 10) == 2 * 2 * 100 * (2 * 2 + 4)


@pytest.mark.parametrize(
    ("tokens", "each", "room", "cost"),
    [(1000, 1e6, GB, 1), (1001, 1e6, GB, 2), (1000, 1e3, GB, 1), (65536, 1.6e6, 7.4e9, 15), (1000, 5e9, GB, 1000)],
)
def test_a_batch_is_as_large_as_fits(tokens: int, each: float, room: float, cost: int):
    assert cost_of(tokens, each, room) == cost
    assert tokens // cost * each <= room or tokens // cost == 1


def test_the_cost_follows_the_room_and_a_model_that_cannot_be_tried_has_the_usual_one(monkeypatch: pytest.MonkeyPatch):
    classifier = tiny_classifier("bert")
    monkeypatch.setattr(memory, "room", lambda device: 1e9)
    assert gradient_cost(classifier, 16) == 1
    monkeypatch.setattr(memory, "room", lambda device: 1e6)
    tight = gradient_cost(classifier, 16)
    assert tight > 1
    assert classifier.batch_tokens // tight * bytes_kept(classifier, 40) / 40 < 1e6
    monkeypatch.setattr(memory, "bytes_kept", None)
    assert gradient_cost(classifier, 16) == 16
