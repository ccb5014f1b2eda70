"""How much memory a row takes on a device, so that batches of gradients and of attention are as large as may be."""

import math
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

MOST_BYTES = 8e9  # that a model and a batch may take on a GPU
USABLE = 0.8  # share of what is free there
OVERHEAD = 1.3  # what a backward pass holds at its peak, over what the forward pass kept for it
PROBED_TOKENS = 512  # a row of which attention is not yet most of what there is


def gradient_cost(classifier: Any, usual: int) -> int:
    """How many rows of logits a row of other questions needs the memory of, so that these stay below `MOST_BYTES`.

    The tokens of a batch are those whose gradients or attention fit into what the weights leave:
    cost = batch_tokens · max(bytes of a token's gradient, of its attention) / min(8 GB − weights, 0.8 · free).

    Args:
        classifier: an adapter; on a GPU, since elsewhere memory is no matter and small batches are fastest.
        usual: what is said of a model that cannot be tried.
    """
    tokens = min(PROBED_TOKENS, classifier.max_length)
    try:
        each = max(OVERHEAD * bytes_kept(classifier, tokens), bytes_of_attention(classifier, tokens)) / tokens
    except Exception:  # a model may refuse gradients in its own way
        return usual
    return cost_of(classifier.batch_tokens, each, room(classifier.device))


def cost_of(batch_tokens: int, each: float, room: float) -> int:
    """By how much a batch has to be smaller where each token takes so many bytes of so much room."""
    return max(1, math.ceil(batch_tokens * each / max(room, each)))


def room(device: torch.device) -> float:
    """Bytes that a batch may take on a GPU, beside the weights that are there."""
    free, _ = torch.cuda.mem_get_info(device)
    return min(MOST_BYTES - torch.cuda.memory_allocated(device), USABLE * free)


def bytes_kept(classifier: Any, tokens: int) -> int:
    """What a forward pass keeps for the backward pass, for each row of so many tokens.

    It is what two rows keep more than one: weights are kept too, however many rows there are.
    """
    one, two = (_kept(classifier, torch.full((rows, tokens), classifier.blank.id)) for rows in (1, 2))
    return two - one


def bytes_of_attention(classifier: Any, tokens: int) -> int:
    """What the attention of a row takes: probabilities of all heads, caught, stacked, and put into float32."""
    config, size = classifier.model.config, torch.finfo(classifier.dtype).bits // 8
    layers, heads = (int(getattr(config, name, 0) or 0) for name in ("num_hidden_layers", "num_attention_heads"))
    return layers * heads * tokens**2 * (2 * size + (4 if size < 4 else 0))


def _kept(classifier: Any, ids: Int[Tensor, "rows tokens"]) -> int:
    """Bytes that are alive for the backward pass alone."""
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = ids.to(classifier.device)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = classifier.embedded(ids).detach().clone().requires_grad_()
        with classifier.reading(leaf), torch.autograd.graph.saved_tensors_hooks(hold, _as_it_is):
            logits = classifier.forward(ids, candidates=ids[:, :2] if classifier.next_token else None)
        del logits
    return sum(held.values())


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
