"""Hidden states as sums of parts, one for each token of the input: DecompX's propagation (arXiv 2306.02873).

Every step is linear once some factors are held at their values in the forward pass: attention probabilities, 1/std of
the norms, f(x)/x of the activations, scales of B-cos layers. Parts follow such a step one by one; its bias is handed
out to them. The parts of all tokens at all positions are one tensor of tokens × tokens × d, which is changed in place:
attention goes through it some sources at a time, everything else some positions at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.interfaces import WhiteBox
from faithbench.types import Text
from faithbench_explainers.decomposition.anatomy import Function, Layer, anatomy_of

CHUNK = 1 << 23  # numbers in the largest tensor that is made besides the parts
Parts = Float[Tensor, "positions sources d"]
Split = Callable[[Parts, Float[Tensor, "*positions d"]], None]


def table(
    classifier: WhiteBox,
    text: Text,
    bias_split: str = "dot",
    value_bias: str = "attended_first",
    chunk: int = CHUNK,
) -> Float[np.ndarray, "tokens classes"]:
    """The part of each token in each logit; a column sums to the logit. `DecompX` says what the arguments mean.

    Args:
        classifier: a `HuggingFaceClassifier`.
        text: which.
        bias_split: `dot` or `dimension`.
        value_bias: `attended_first`, `attended` or `shared`.
        chunk: numbers in the largest tensor besides the parts; values do not depend on it.

    Raises:
        QuestionError: the classifier is of a kind that is not known.
    """
    anatomy = anatomy_of(classifier)
    propagation = Propagation(SPLITS[bias_split], chunk)
    with torch.inference_mode():
        state = _apart(classifier.embedded(*classifier.inputs_of(text))[0])
        for number, layer in enumerate(anatomy.layers):
            attended = value_bias == "attended" or (value_bias == "attended_first" and number == 0)
            last = number == len(anatomy.layers) - 1
            state = propagation.layer(layer, state, attended, read=1 if last else len(text))
        state = propagation.linear(anatomy.dense, State(state.value[:1], state.parts[:1]))
        state = propagation.linear(anatomy.out, activate(anatomy.activation, state))
        return state.parts[0].double().cpu().numpy()


class State(NamedTuple):
    """What stands at some positions, and the part that each source has in it: value = parts.sum(1)."""

    value: Float[Tensor, "positions d"]
    parts: Parts


@dataclass(frozen=True)
class Propagation:
    """One step after another for the parts. Steps but `linear` change the parts that they are given.

    Args:
        split: hands a bias out to parts.
        chunk: numbers in the largest tensor besides the parts.
    """

    split: Split
    chunk: int

    def layer(self, layer: Layer, state: State, attended: bool, read: int) -> State:
        """A layer of the transformer; of its output, so many first positions."""
        (value, parts), bias = self.attention(layer, state, attended, read)
        tokens, values = parts.shape[1], []
        for at in _spans(read, tokens * layer.expand.out_features, self.chunk):
            self.share(parts[at], None if bias is None else bias[at])
            mixed = self.norm(layer.mix_norm, State(value[at], parts[at]))
            inner = activate(layer.activation, self.linear(layer.expand, mixed))
            outer = self.linear(layer.contract, inner)
            values.append(self.norm(layer.norm, State(mixed.value + outer.value, mixed.parts.add_(outer.parts))).value)
        return State(torch.cat(values), parts)

    def attention(
        self, layer: Layer, state: State, attended: bool, read: int
    ) -> tuple[State, Float[Tensor, "positions d"] | None]:
        """Attention and the residual connection; and the biases that are still to be handed out to the parts."""
        value, parts = state
        query, key, content = (_split(part(value), layer.heads) for part in (layer.query, layer.key, layer.value))
        weights = (query[:, :read] @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        context = _join(weights @ content, 1)[:, 0]
        project, mix = Fixed.at(layer.value, value), Fixed.at(layer.mix, context)
        for at in _spans(len(value), value.numel(), self.chunk):
            inner = project(parts[:, at])
            if attended and layer.value.bias is not None:
                inner[at].diagonal().add_(layer.value.bias[:, None])
            inner = _join(weights @ _split(inner, layer.heads), inner.shape[1])
            parts[:read, at] += mix(inner)
        bias = None if layer.mix.bias is None else layer.mix.bias.expand(read, -1)
        if layer.value.bias is not None and not attended:  # comes through whole: rows of attention sum to 1
            moved = mix(layer.value.bias.expand(read, 1, -1))[:, 0]
            bias = moved if bias is None else moved + bias
        return State(value[:read] + layer.mix(context), parts[:read]), bias

    def linear(self, module: nn.Linear, state: State) -> State:
        """A linear layer."""
        parts = Fixed.at(module, state.value)(state.parts)
        self.share(parts, module.bias)
        return State(module(state.value), parts)

    def norm(self, module: nn.LayerNorm, state: State) -> State:
        """Layer normalisation: the mean is linear, 1/std is held."""
        inverse = (state.value.var(-1, correction=0, keepdim=True) + module.eps).rsqrt()
        parts = state.parts.sub_(state.parts.mean(-1, keepdim=True)).mul_((inverse * module.weight)[:, None])
        self.share(parts, module.bias)
        return State(module(state.value), parts)

    def share(self, parts: Parts, bias: Float[Tensor, "*positions d"] | None) -> None:
        """Adds a bias, if there is one, to the parts."""
        if bias is not None:
            self.split(parts, bias)


@dataclass(frozen=True)
class Fixed:
    """A linear layer without its bias, at certain inputs: its weight, and the scales of its outputs if it has some."""

    weight: Float[Tensor, "out d"]
    scale: Float[Tensor, "positions out"] | None

    @classmethod
    def at(cls, module: nn.Linear, inputs: Float[Tensor, "positions d"]) -> "Fixed":
        """The layer at these inputs; a B-cos layer, known by its unit weights, scales its outputs."""
        unit_weight: Callable[[], Tensor] | None = getattr(module, "unit_weight", None)
        if unit_weight is None:
            return cls(module.weight, None)
        outputs = module(inputs) if module.bias is None else module(inputs) - module.bias
        return cls(unit_weight(), _ratio(outputs, F.linear(inputs, unit_weight())))

    def __call__(self, parts: Parts) -> Float[Tensor, "positions sources out"]:
        out = parts @ self.weight.mT
        return out if self.scale is None else out.mul_(self.scale[:, None])


def activate(function: Function, state: State) -> State:
    """An activation: its slope through the origin is held. Changes the parts that it is given."""
    value = function(state.value)
    return State(value, state.parts.mul_(_ratio(value, state.value)[:, None]))


def by_dot(parts: Parts, bias: Float[Tensor, "*positions d"]) -> None:
    """Hands a bias out by |b·x|: the paper's way."""
    sizes = (parts @ bias[..., None]).abs_()
    parts.addcmul_(_portions(sizes), bias.unsqueeze(-2))


def by_dimension(parts: Parts, bias: Float[Tensor, "*positions d"]) -> None:
    """Hands each number of a bias out by |x| in its own dimension."""
    parts.addcmul_(_portions(parts.abs()), bias.unsqueeze(-2))


SPLITS: dict[str, Split] = {"dot": by_dot, "dimension": by_dimension}


def _portions(sizes: Float[Tensor, "positions sources any"]) -> Float[Tensor, "positions sources any"]:
    """Sizes divided by their sum over the sources; equal ones where it is 0."""
    total = sizes.sum(1, keepdim=True)
    return torch.where(total == 0, 1 / sizes.shape[1], sizes.div_(total))


def _ratio(outputs: Float[Tensor, "positions d"], inputs: Float[Tensor, "positions d"]) -> Float[Tensor, "positions d"]:
    """f(x)/x; 0 where x = 0, whose parts sum to 0 anyway."""
    return torch.where(inputs == 0, 0.0, outputs / inputs)


def _apart(value: Float[Tensor, "tokens d"]) -> State:
    """The beginning: what stands at a position is its own token's."""
    tokens = torch.arange(len(value), device=value.device)
    parts = value.new_zeros(len(value), *value.shape)
    parts[tokens, tokens] = value
    return State(value, parts)


def _split(states: Float[Tensor, "tokens *sources d"], heads: int) -> Float[Tensor, "heads tokens _"]:
    """Each head's share of the dimensions, for all sources at once."""
    return states.reshape(*states.shape[:-1], heads, -1).movedim(-2, 0).flatten(2)


def _join(states: Float[Tensor, "heads tokens _"], sources: int) -> Float[Tensor, "tokens sources d"]:
    """The inverse of `_split`."""
    return states.reshape(*states.shape[:-1], sources, -1).movedim(0, -2).flatten(-2)


def _spans(total: int, width: int, chunk: int) -> Iterator[slice]:
    """Slices of 0 … total, each of as many items of a width as fit into a chunk, at least one."""
    step = max(1, chunk // width)
    return (slice(start, min(start + step, total)) for start in range(0, total, step))
