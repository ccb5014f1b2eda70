"""Running a model on one row of tokens, on a copy, to see what its modules do."""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.architectures.activations import REFUSALS
from faithbench.architectures.inspection import takes
from faithbench.errors import UserError, describe

TOKENS = 6


def probe_row(model: PreTrainedModel) -> Int[Tensor, "1 tokens"]:
    """Tokens from all over the vocabulary, none of them special; at the end that which ends a text if there is one."""
    settings = model.config.get_text_config().to_dict()
    special = {value for name, value in settings.items() if name.endswith("_token_id") and isinstance(value, int)}
    rows = model.get_input_embeddings().weight.shape[0]
    spread = torch.linspace(0, rows - 1, TOKENS + len(special)).long().tolist()
    ids = [number for number in spread if number not in special][:TOKENS]
    end = settings.get("eos_token_id")
    return torch.tensor([[*ids, end] if isinstance(end, int) and 0 <= end < rows else ids], device=model.device)


def run(model: PreTrainedModel, ids: Int[Tensor, "1 tokens"]) -> object:
    """What a model gives for a row, without a cache of keys and values."""
    uncached = {"use_cache": False} if takes(model.base_model, "use_cache") else {}
    return model(input_ids=ids, **uncached)


def copy_with(model: PreTrainedModel, tensor: Callable[[Tensor], Tensor]) -> PreTrainedModel:
    """A copy of the modules with what a function makes of each parameter and buffer."""
    replaced = {id(own): tensor(own) for own in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, replaced)


def constant(tensor: Tensor) -> Tensor:
    """The same numbers in the same memory, which nothing is derived by."""
    return nn.Parameter(tensor.detach(), requires_grad=False) if isinstance(tensor, nn.Parameter) else tensor


def is_causal(model: PreTrainedModel) -> bool:
    """Whether a language model's logits do not depend on the tokens that follow, by no more than a gradient of 0.

    Raises:
        UserError: the model cannot be run, or gives no logits.
    """
    twin, ids, leaves = copy_with(model, constant).eval(), probe_row(model), list[Tensor]()

    def cut(module: object, args: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    with torch.enable_grad(), twin.get_input_embeddings().register_forward_hook(cut):
        logits = logits_of(twin, ids)
    if logits.shape[:-1] != ids.shape or not logits.requires_grad:
        return False
    earlier = logits[:, :-1]
    weights = torch.randn(earlier.shape, generator=torch.Generator().manual_seed(0)).to(earlier)
    (gradient,) = torch.autograd.grad((weights * earlier).sum(), leaves[0])
    return not bool(gradient[:, -1].any())


def logits_of(model: PreTrainedModel, ids: Int[Tensor, "1 tokens"]) -> Float[Tensor, "1 *outputs"]:
    """The logits of a row.

    Raises:
        UserError: the model cannot be run, or gives no logits.
    """
    try:
        logits = getattr(run(model, ids), "logits", None)
    except REFUSALS as error:
        raise UserError(f"{type(model).__name__} cannot be run: {describe(error)}") from error
    if not isinstance(logits, Tensor):
        raise UserError(f"{type(model).__name__} is no sequence classifier or language model: it has no logits.")
    return logits
