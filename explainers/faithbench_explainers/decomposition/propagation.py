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

from faithbench.errors import QuestionError
from faithbench.interfaces import WhiteBox
from faithbench.questions import Row
from faithbench.types import Text
from faithbench_explainers.decomposition.anatomy import Function, Layer, anatomy_of
from faithbench_explainers.decomposition.decoders import DecoderAnatomy, DecoderLayer, decoder_anatomy_of

NEAR, COARSE = 1e-3, 5e-2  # shares of the largest logit by which the way through the parts may miss it
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
    propagation = Propagation(SPLITS[bias_split], chunk)
    with torch.inference_mode():
        decoder = _decoder_of(classifier, text)
        state = (
            _through_encoder(classifier, text, propagation, value_bias)
            if decoder is None
            else _through_decoder(decoder, classifier, text, propagation, value_bias)
        )
        return (state.parts[0].double() / _temperature(classifier)).cpu().numpy()


def _through_encoder(classifier: WhiteBox, text: Text, propagation: "Propagation", value_bias: str) -> "State":
    anatomy = anatomy_of(classifier)
    state = _apart(classifier.embedded(*classifier.inputs_of(text))[0])
    for number, layer in enumerate(anatomy.layers):
        last = number == len(anatomy.layers) - 1
        state = propagation.layer(layer, state, _attended(value_bias, number), read=1 if last else len(text))
    state = propagation.linear(anatomy.dense, State(state.value[:1], state.parts[:1]))
    return propagation.linear(anatomy.out, activate(anatomy.activation, state))


def _through_decoder(
    anatomy: DecoderAnatomy, classifier: WhiteBox, text: Text, propagation: "Propagation", value_bias: str
) -> "State":
    state = _apart(classifier.embedded(*classifier.inputs_of(text))[0])
    row = Row(text.ids, text.types, None, text.outputs, text.candidates)
    attention = torch.tensor(classifier.attentions([row])[0]).to(state.value)
    for number, (layer, weights) in enumerate(zip(anatomy.layers, attention, strict=True)):
        last = number == len(anatomy.layers) - 1
        state = propagation.decoder_layer(
            layer, state, weights, _attended(value_bias, number), 1 if last else len(text)
        )
    state = activate(anatomy.cap, propagation.linear(anatomy.out, propagation.any_norm(anatomy.norm, state)))
    state = state if anatomy.contrast is None else propagation.linear(anatomy.contrast, state)
    _check_same(classifier, state.value[0] / _temperature(classifier), torch.tensor(classifier.logits([row])[0]))
    return state


def _decoder_of(classifier: WhiteBox, text: Text) -> DecoderAnatomy | None:
    architecture = getattr(classifier, "architecture", None)
    return None if architecture is None or architecture.parts is not None else decoder_anatomy_of(classifier, text)


def _temperature(classifier: WhiteBox) -> float:
    """By which the classifier divides what its head gives."""
    return float(getattr(classifier, "temperature", 1.0))


def _attended(value_bias: str, layer: int) -> bool:
    return value_bias == "attended" or (value_bias == "attended_first" and layer == 0)


def _check_same(classifier: WhiteBox, found: Float[Tensor, "classes"], logits: Float[Tensor, "classes"]) -> None:
    """Some models put more into layers of these names, such as factors."""
    near = NEAR if logits.dtype == torch.float64 or found.dtype == torch.float32 else COARSE
    if float((found.double().cpu() - logits.double()).abs().max()) > near * max(1.0, float(logits.abs().max())):
        raise QuestionError(
            f"{type(classifier.model).__name__} computes something else than the layers that DecompX knows"
        )


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

    def decoder_layer(
        self,
        layer: DecoderLayer,
        state: State,
        weights: Float[Tensor, "heads tokens tokens"],
        attended: bool,
        read: int,
    ) -> State:
        """A layer of a decoder, whose parts read what is normed; of its output, so many last positions."""
        normed, tokens = self.any_norm(layer.norm, State(state.value, state.parts.clone())), len(state.value)
        weights, values = weights[:, tokens - read :], []
        (value, parts), bias = self._decoder_attention(layer, state, normed, weights, attended)
        for at in _spans(read, tokens * layer.expand.out_features, self.chunk):
            self.share(parts[at], None if bias is None else bias[at])
            outer = self._decoder_mlp(layer, self.any_norm(layer.mlp_norm, State(value[at], parts[at].clone())))
            parts[at] += outer.parts
            values.append(value[at] + outer.value)
        return State(torch.cat(values), parts)

    def _decoder_attention(
        self, layer: DecoderLayer, state: State, normed: State, weights: Tensor, attended: bool
    ) -> tuple[State, Float[Tensor, "positions d"] | None]:
        """Attention by known probabilities, and the residual connection; and the biases still to be handed out."""
        read, shares = weights.shape[1], layer.heads // layer.groups

        def mixed(states: Float[Tensor, "tokens *sources d"], sources: int) -> Tensor:
            return _join(weights @ _split(states, layer.groups).repeat_interleave(shares, 0), sources)

        context = mixed(layer.value(normed.value), 1)[:, 0]
        project, mix = Fixed.at(layer.value, normed.value), Fixed.at(layer.mix, context)
        value, parts, own = state.value[-read:], state.parts[-read:], layer.value.bias
        for at in _spans(len(state.value), context.shape[-1] * len(state.value), self.chunk):
            inner = project(normed.parts[:, at])
            if attended and own is not None:
                inner[at].diagonal().add_(own[:, None])
            parts[:, at] += mix(mixed(inner, inner.shape[1]))
        bias = None if layer.mix.bias is None else layer.mix.bias.expand(read, -1)
        if own is not None and not attended:
            whole = own.reshape(layer.groups, -1).repeat_interleave(shares, 0).flatten()
            moved = mix(whole.expand(read, 1, -1))[:, 0]
            bias = moved if bias is None else moved + bias
        return State(value + layer.mix(context), parts), bias

    def _decoder_mlp(self, layer: DecoderLayer, state: State) -> State:
        """The feed-forward network; of a gated one the gate is held."""
        inner = self.linear(layer.expand, state)
        if layer.gate is None:
            return self.linear(layer.contract, activate(layer.activation, inner))
        gate = layer.activation(layer.gate(state.value))
        return self.linear(layer.contract, State(inner.value * gate, inner.parts.mul_(gate[:, None])))

    def any_norm(self, module: nn.Module, state: State) -> State:
        """LayerNorm, or one that divides by the root mean square: x times numbers that are held."""
        return self.norm(module, state) if isinstance(module, nn.LayerNorm) else activate(module, state)

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
