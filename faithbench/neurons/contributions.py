"""What the neurons of a white box's last block bring to a logit, exactly, and what becomes of logits if one is another.

With z = Σ_j a_j d_j + r in front of the last norm, of gain g, bias b and deviation σ, and E the output layer:
logit_v = Σ_j a_j ⟨g∘E_v, d_j − mean(d_j)⟩/σ + ⟨g∘E_v, r − mean(r)⟩/σ + ⟨E_v, b⟩. In CRATE (arXiv 2410.16443) there is
no r: the contributions of neurons are all of the logit. σ is that of the text at hand, and is held.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.errors import UserError, brief
from faithbench.models.crate import WhiteBoxForCausalLM
from faithbench.neurons.sites import Site, changed, find_sites


@dataclass(frozen=True, eq=False)
class Contributions:
    """Of the last block's neurons to the logits of some tokens, at every place of texts.

    The sum of `neurons` over its last axis, `rest` and `constant` is the logit.

    Args:
        site: where the neurons are; number j of it is unit `{site}:{j}`.
        activations: of the neurons.
        neurons: a_j ⟨g∘E_v, d_j − mean(d_j)⟩/σ.
        rest: what came past the last block's neurons, through its residual connection; 0 in CRATE, which has none.
        constant: ⟨E_v, b⟩, the same in every text.
        logits: the model's own.
    """

    site: str
    activations: Float[Tensor, "rows tokens units"]
    neurons: Float[Tensor, "rows tokens outputs units"]
    rest: Float[Tensor, "rows tokens outputs"]
    constant: Float[Tensor, "outputs"]
    logits: Float[Tensor, "rows tokens outputs"]

    @property
    def gap(self) -> Float[Tensor, "rows tokens outputs"]:
        """The logit without all that is said of it: rounding."""
        return self.logits - self.neurons.sum(-1) - self.rest - self.constant


def contributions(
    model: PreTrainedModel,
    ids: Int[Tensor, "rows tokens"],
    outputs: Sequence[int],
    attention_mask: Int[Tensor, "rows tokens"] | None = None,
) -> Contributions:
    """Direct contributions of the last block's neurons to logits, with the statistics of the last norm held.

    Args:
        model: a CRATE or its baseline, of `faithbench.models.crate`.
        ids: of texts.
        outputs: ids of the tokens whose logits are taken apart.
        attention_mask: where texts are padded.

    Returns:
        Values for each text, place and output: take few outputs at a time.

    Raises:
        UserError: the model is another, or an output is no token of it.
    """
    if not isinstance(model, WhiteBoxForCausalLM):
        raise UserError(
            f"{type(model).__name__} is no white box whose last block is known: contributions are those of CRATE and "
            "gpt-relu models."
        )
    size = len(model.lm_head.weight)
    if wrong := [output for output in outputs if not 0 <= output < size]:
        raise UserError(f"outputs has {wrong[0]}, and the model's tokens are 0 to {size - 1}.")
    block: Any = model.model.layers[-1]
    mlp, norm = block.mlp, model.model.norm
    with torch.no_grad(), _kept(mlp.act, norm) as kept:
        logits = model(input_ids=ids, attention_mask=attention_mask, use_cache=False).logits[..., list(outputs)]
        activations, states = kept[mlp.act][1], kept[norm][0]
        told = model.lm_head.weight[list(outputs)]
        scaled = told * norm.weight
        scaled = scaled - scaled.mean(-1, keepdim=True)  # ⟨w, x − mean(x)⟩ = ⟨w − mean(w), x⟩
        inverse = (states.var(-1, correction=0, keepdim=True) + norm.eps).rsqrt()
        neurons = (activations * inverse)[:, :, None] * (scaled @ mlp.directions)
        rest = ((states - activations @ mlp.directions.T) * inverse) @ scaled.T
        constant = told.new_zeros(len(told)) if norm.bias is None else told @ norm.bias
    return Contributions(_name_of(model, mlp.act), activations, neurons, rest, constant, logits)


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, own in model.named_modules() if own is module)


@contextmanager
def _kept(*modules: nn.Module) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Within it, what modules read and give is kept."""
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept[module] = inputs[0], output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def steered(model: PreTrainedModel, unit: str, value: float | Float[Tensor, "rows tokens"]) -> Iterator[None]:
    """Within it, a neuron's activation is another, whatever the model reads or generates.

    The neuron is overwritten where the model itself reads it: no reconstruction, such as that of a sparse autoencoder,
    brings an error in, and with a neuron's own activations nothing changes at all.

    Args:
        model: any of transformers.
        unit: a neuron as records name it, such as `model.layers.1.mlp.act:17`.
        value: one for all tokens, or one for each.

    Raises:
        UserError: there is no such neuron.
    """
    site, number = _place(model, unit)
    values = torch.as_tensor(value, device=model.device)

    def overwrite(units: Tensor) -> Tensor:
        told = units.clone()
        told[..., number] = values.to(told.dtype)
        return told

    with changed(model, {site: overwrite}):
        yield


def effect(
    model: PreTrainedModel,
    ids: Int[Tensor, "rows tokens"],
    unit: str,
    value: float | Float[Tensor, "rows tokens"],
    attention_mask: Int[Tensor, "rows tokens"] | None = None,
) -> Float[Tensor, "rows tokens vocabulary"]:
    """By how much logits change where a neuron's activation is another.

    Args:
        model: any causal language model of transformers.
        ids: of texts.
        unit: as of `steered`.
        value: likewise.
        attention_mask: where texts are padded.

    Raises:
        UserError: there is no such neuron.
    """
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": attention_mask, "use_cache": False}
    with torch.no_grad():
        before: Tensor = model(**inputs).logits
        with steered(model, unit, value):
            after: Tensor = model(**inputs).logits
    return after - before


def _place(model: PreTrainedModel, unit: str) -> tuple[Site, int]:
    """The site of a neuron, and its number there.

    Raises:
        UserError: there is no such neuron.
    """
    name, _, number = unit.rpartition(":")
    module = name.partition("#")[0]  # behind it, which of several calls
    sites = {site.name: site for site in find_sites(model, f"^{re.escape(module)}$")} if module else {}
    if name not in sites or not number.isdecimal():
        raise UserError(f"unit={brief(repr(unit))} is no neuron; write a module's name, a colon and a number.")
    if int(number) >= sites[name].units:
        raise UserError(f"unit={unit!r} is no neuron; {name!r} has {sites[name].units:,}, which begin with 0.")
    return sites[name], int(number)
