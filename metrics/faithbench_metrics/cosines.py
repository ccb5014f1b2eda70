"""Cosines between inputs and weight rows in the layers of a Hugging Face classifier: what `Alignment` asks for."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from faithbench.errors import QuestionError
from faithbench.interfaces import WhiteBox
from faithbench.types import Text


def percentiles(classifier: WhiteBox, text: Text) -> Float[np.ndarray, "layers 101"]:
    """The percentiles 0, 1, … 100 of |cos(x, w)| in each encoder layer; `Alignment` says of which x and w.

    Raises:
        QuestionError: the classifier is none of Hugging Face's, so that its layers are not known.
    """
    architecture = getattr(classifier, "architecture", None)
    if architecture is None:
        raise QuestionError(f"alignment reads Hugging Face classifiers, and {type(classifier).__name__} is none")
    layers = list(classifier.model.get_submodule(architecture.layers))
    with torch.inference_mode(), measured(layers, architecture.attention_inputs) as found:
        classifier.forward(*classifier.inputs_of(text), whole=True)
    return np.stack(found)


@contextmanager
def measured(layers: Sequence[nn.Module], plain: str) -> Iterator[list[Float[np.ndarray, "101"]]]:
    """Within it, each layer that has run adds the percentiles of its cosines to the list.

    Args:
        layers: run one after the other.
        plain: regular expression for the modules in a layer that count only if they are B-cos.
    """
    seen: list[Float[Tensor, "pairs"]] = []
    found: list[Float[np.ndarray, "101"]] = []

    def see(module: nn.Linear | Conv1D, inputs: tuple[Tensor, ...]) -> None:
        seen.append(cosines(inputs[0], module.weight.T if isinstance(module, Conv1D) else module.weight))

    def sum_up(*_: object) -> None:
        found.append(on_grid(torch.cat(seen)))
        seen.clear()

    counted = [module for layer in layers for module in _counted(layer, plain)]
    handles = [module.register_forward_pre_hook(see) for module in counted]
    handles += [layer.register_forward_hook(sum_up) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def cosines(inputs: Float[Tensor, "*rows d"], weight: Float[Tensor, "out d"]) -> Float[Tensor, "pairs"]:
    """|cos(x, w)| of each input with each weight row, in float32 at least; 0 where either is 0."""
    precision = torch.promote_types(weight.dtype, torch.float32)
    unit_inputs, unit_weight = (F.normalize(each.to(precision), dim=-1) for each in (inputs, weight))
    return F.linear(unit_inputs, unit_weight).abs().clamp(max=1).flatten()


def on_grid(values: Float[Tensor, "n"]) -> Float[np.ndarray, "101"]:
    """The percentiles 0, 1, … 100, linear between two values."""
    ordered = np.sort(values.cpu().numpy())  # several times as fast as torch's sort and numpy's partition
    return np.percentile(ordered, np.arange(101)).astype(np.float64)


def _counted(layer: nn.Module, plain: str) -> Iterator[nn.Linear | Conv1D]:
    """The linear modules that are B-cos, known by their unit weights, or in places where conversion makes them so."""
    for name, module in layer.named_modules():
        if isinstance(module, (nn.Linear, Conv1D)) and (hasattr(module, "unit_weight") or not re.search(plain, name)):
            yield module
