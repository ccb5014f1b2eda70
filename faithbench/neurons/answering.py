"""How far a model's next-token distributions move when a neuron's activations are others.

Each window is a row of its own: the model reads the window's piece up to the window's end, with the neuron overwritten
at the window's tokens alone, so that no answer depends on which other windows are asked about.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from faithbench.activations import Overwritten
from faithbench.errors import QuestionError
from faithbench.neurons.reader import WHOLE
from faithbench.neurons.recording import Activations
from faithbench.neurons.sites import overwritten

MOST = WHOLE // 8  # logits of two distributions that are compared at a time, in double precision
KEPT = 2**26  # bytes of the model's own states that are kept for the next question


def answer(activations: Activations, neuron: int, question: Overwritten) -> Float[np.ndarray, "windows tokens"]:
    """The Jensen-Shannon divergence of each token's next-token distribution from the model's own, in nats, 0 to ln 2.

    Logits are the model's, in its precision; what is made of them is in double precision.

    Args:
        activations: of a language model.
        neuron: the place of a unit in them.
        question: windows of the corpus, or parts of such, and what stands at their tokens.

    Raises:
        QuestionError: the model says no next tokens, or the question is none about this corpus.
    """
    values, places = question.values, _places(activations, question)
    ends = places[:, 1] + question.windows.ids.shape[1]
    order, answers = np.argsort(-ends, kind="stable"), np.zeros(values.shape)

    def some(rows: slice) -> Int[np.ndarray, "some"]:
        chosen = order[rows]
        answers[chosen] = _divergences(activations, neuron, places[chosen], values[chosen])
        return chosen

    for _ in activations.reader.batches(ends[order], some):
        pass
    return answers


def _places(activations: Activations, question: Overwritten) -> Int[np.ndarray, "windows 2"]:
    """Where windows are; raises a QuestionError for what cannot be answered."""
    windows, values = question.windows, question.values
    if not activations.reader.says_next:
        name = type(activations.reader.network).__name__
        raise QuestionError(f"{name} says no next tokens, so that none can move when a neuron is overwritten")
    if windows.places is None:
        raise QuestionError("windows that were not read by a model cannot be overwritten: they have no places")
    if np.shape(values) != windows.ids.shape or not np.isfinite(values).all():
        raise QuestionError(
            f"values of shape {list(np.shape(values))} do not fit windows of {list(windows.ids.shape)}, or are no "
            "finite numbers"
        )
    return windows.places


def _divergences(
    activations: Activations,
    neuron: int,
    places: Int[np.ndarray, "some 2"],
    values: Float[np.ndarray, "some tokens"],
) -> Float[np.ndarray, "some tokens"]:
    """Those of windows that end at the same place of their pieces."""
    reader, corpus, unit = activations.reader, activations.corpus, activations.units[neuron]
    rows, tokens = values.shape
    end = int(places[0, 1]) + tokens
    ids = reader.ids(np.stack([corpus.ids[begin : begin + end] for begin in corpus.bounds[places[:, 0]]]))
    stand = torch.full(ids.shape, torch.nan, dtype=torch.float64)
    stand[:, -tokens:] = torch.tensor(values)
    own = _own(activations, places, ids, tokens)
    with overwritten(reader.network, unit.site, unit.number, stand.to(ids.device)):
        moved = _states(activations, ids)[:, -tokens:]
    pairs = own.flatten(0, 1), moved.flatten(0, 1)
    parts = reader.chunks(rows * tokens, MOST)
    told = [_jensen_shannon(*(reader.logits(each[part]) for each in pairs)) for part in parts]
    return torch.cat(told).reshape(rows, tokens).cpu().numpy()


def _own(
    activations: Activations, places: Int[np.ndarray, "some 2"], ids: Int[Tensor, "some end"], tokens: int
) -> Float[Tensor, "some tokens _"]:
    """The model's own states at windows; those that were needed last are kept."""
    kept, keys = activations.kept, [(int(piece), int(start), tokens) for piece, start in places]
    fresh = list({key: row for row, key in enumerate(keys) if key not in kept}.values())
    if fresh:
        made = _states(activations, ids[fresh])[:, -tokens:]
        if len(kept) * made[0].nbytes > KEPT:
            wanted = {key: kept[key] for key in keys if key in kept}
            kept.clear()
            kept.update(wanted)
        kept.update(zip((keys[row] for row in fresh), made.clone(), strict=True))
    return torch.stack([kept[key] for key in keys])


def _states(activations: Activations, ids: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens _"]:
    states = activations.reader.read(ids)
    assert states is not None
    return states


def _jensen_shannon(one: Float[Tensor, "some words"], other: Float[Tensor, "some words"]) -> Float[Tensor, "some"]:
    """Of the distributions that logits stand for, in nats."""
    p, q = (logits.double().log_softmax(-1) for logits in (one, other))
    mean = torch.logaddexp(p, q) - math.log(2)
    left, right = ((own.exp() * (own - mean)).nan_to_num().sum(-1) for own in (p, q))
    return ((left + right) / 2).clamp(0, math.log(2))
