"""Converted GPT-2 and Llama against a slow forward pass, number by number, from the weights of the conventional model.

It knows the specification alone: unit rows and |cos|^(B-1) in attention outputs and feed-forwards, plain projections
without bias, norms without bias, a plain head, Conv1D's transposed weights, rotary positions, grouped queries, SwiGLU.
"""

import math

import numpy as np
import pytest
from language_networks import IDS, WIDTH, language_network
from transformers import PreTrainedModel

from faithbench.bcos import convert

Vector = np.ndarray
HEADS, B = 4, 1.3
EACH = WIDTH // HEADS


class Slow:
    """The B-cos form of a conventional decoder."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.config = model.config
        self.weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}

    def bcos(self, rows: Vector, x: Vector) -> Vector:
        length = math.sqrt(math.fsum(v * v for v in x) + 1e-6)
        outputs = [float(row @ x) / math.sqrt(math.fsum(w * w for w in row)) for row in rows]
        return np.array([(abs(o / length) + 1e-6) ** (B - 1) * o for o in outputs])

    def attend(self, queries: list[Vector], keys: list[Vector], values: list[Vector], place: int) -> Vector:
        """One head's mixture for the token at a place, of itself and those before."""
        scores = [math.exp(queries[place] @ keys[at] / math.sqrt(EACH)) for at in range(place + 1)]
        return sum(score / math.fsum(scores) * values[at] for at, score in enumerate(scores))

    def head_of(self, states: list[Vector], head: int) -> list[Vector]:
        return [state[head * EACH : (head + 1) * EACH] for state in states]

    def logits(self, ids: list[int]) -> Vector:
        states = self.embed(ids)
        for number in range(2):
            states = self.layer(states, number)
        return self.head() @ self.last(states[-1])


class SlowGPT2(Slow):
    """GPT-2: LayerNorm before each part, fused projections, tanh-GELU, learned positions, a tied head."""

    def embed(self, ids: list[int]) -> list[Vector]:
        tokens, places = self.weights["transformer.wte.weight"], self.weights["transformer.wpe.weight"]
        return [tokens[token] + places[place] for place, token in enumerate(ids)]

    def norm(self, name: str, x: Vector) -> Vector:
        mean = math.fsum(x) / len(x)
        variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
        return (x - mean) / math.sqrt(variance + self.config.layer_norm_epsilon) * self.weights[f"{name}.weight"]

    def layer(self, states: list[Vector], number: int) -> list[Vector]:
        base = f"transformer.h.{number}"
        rows = {
            name: self.weights[f"{base}.{name}.weight"].T
            for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        }
        fused = [rows["attn.c_attn"] @ self.norm(f"{base}.ln_1", x) for x in states]
        queries, keys, values = ([x[part * WIDTH : (part + 1) * WIDTH] for x in fused] for part in range(3))
        out = []
        for place, state in enumerate(states):
            mixed = [
                self.attend(self.head_of(queries, h), self.head_of(keys, h), self.head_of(values, h), place)
                for h in range(HEADS)
            ]
            middle = state + self.bcos(rows["attn.c_proj"], np.concatenate(mixed))
            inner = self.bcos(rows["mlp.c_fc"], self.norm(f"{base}.ln_2", middle))
            inner = np.array([0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) for x in inner])
            out.append(middle + self.bcos(rows["mlp.c_proj"], inner))
        return out

    def last(self, state: Vector) -> Vector:
        return self.norm("transformer.ln_f", state)

    def head(self) -> Vector:
        return self.weights["transformer.wte.weight"]


class SlowLlama(Slow):
    """Llama: RMSNorm before each part, rotary positions, two queries a key, SwiGLU, a head of its own."""

    def embed(self, ids: list[int]) -> list[Vector]:
        return [self.weights["model.embed_tokens.weight"][token] for token in ids]

    def norm(self, name: str, x: Vector) -> Vector:
        mean = math.fsum(v * v for v in x) / len(x)
        return x / math.sqrt(mean + self.config.rms_norm_eps) * self.weights[f"{name}.weight"]

    def turned(self, x: Vector, place: int) -> Vector:
        """A head's query or key, turned by its place: number i with number i + half, by 10,000^(-2i/d) a step."""
        half, out = EACH // 2, np.empty(EACH)
        for i in range(half):
            angle = place * 10000 ** (-2 * i / EACH)
            out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
            out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
        return out

    def layer(self, states: list[Vector], number: int) -> list[Vector]:
        base = f"model.layers.{number}"
        rows = {name: self.weights[f"{base}.self_attn.{name}_proj.weight"] for name in "qkvo"}
        mlp = {name: self.weights[f"{base}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down")}
        normed = [self.norm(f"{base}.input_layernorm", x) for x in states]
        queries, keys, values = ([rows[name] @ x for x in normed] for name in "qkv")
        out = []
        for place, state in enumerate(states):
            mixed = []
            for h in range(HEADS):
                turned = [self.turned(x, at) for at, x in enumerate(self.head_of(queries, h))]
                shared = [self.turned(x, at) for at, x in enumerate(self.head_of(keys, h // 2))]
                mixed.append(self.attend(turned, shared, self.head_of(values, h // 2), place))
            middle = state + self.bcos(rows["o"], np.concatenate(mixed))
            inner = self.norm(f"{base}.post_attention_layernorm", middle)
            gates = np.array([x / (1 + math.exp(-x)) for x in self.bcos(mlp["gate"], inner)])
            out.append(middle + self.bcos(mlp["down"], gates * self.bcos(mlp["up"], inner)))
        return out

    def last(self, state: Vector) -> Vector:
        return self.norm("model.norm", state)

    def head(self) -> Vector:
        return self.weights["lm_head.weight"]


@pytest.mark.parametrize(("kind", "slow"), [("GPT2", SlowGPT2), ("Llama", SlowLlama)])
def test_converted_logits_are_those_of_the_specification(kind, slow):
    model = language_network(kind)
    expected = slow(model).logits(IDS[0].tolist())
    found = convert(model, B)(IDS).logits[0, -1].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # rotary angles: float32
    conventional = model(IDS).logits[0, -1].detach().numpy()
    assert np.abs(found - conventional).max() > 0.1 * np.abs(conventional).max()
