"""What can be read off any transformer of transformers: its layers, its embeddings, its attention, its head."""

import inspect
from itertools import takewhile

from torch import nn
from transformers import PreTrainedModel

from faithbench.interfaces import Architecture

QUERY_KEY_VALUE = (
    r"(^|\.)((query|key|value)(_proj|_global)?|(pos_(q|k|key|query)?_?proj)|[qkv](_proj|_lin|_head)?|in_proj|"
    r"qkv(_proj)?|Wqkv|query_key_value|c_attn)$"
)
CUTS = ("attention.output", "mlp", "ffn", "intermediate", "sa_layer_norm")  # first modules after tokens were mixed


def inspected(model: PreTrainedModel) -> Architecture:
    """A model's architecture as far as its modules tell it."""
    return Architecture(
        embeddings=embeddings_name(model), attention_inputs=QUERY_KEY_VALUE, layers=layers_name(model), mixed=CUTS
    )


def layers_name(model: PreTrainedModel) -> str:
    """The list of layers: modules of one type, as many as the configuration says if any, near the embeddings; or "".

    Of several the first; a model that reads images has a list of layers for these, too.
    """
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [
        (name, len(module))
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len({type(member) for member in module}) == 1
    ]
    fitting = [name for name, members in lists if members == count]
    table = _name_of(model, model.get_input_embeddings()).split(".")
    return max(fitting or [name for name, _ in lists] or [""], key=lambda name: _shared(name.split("."), table))


def embeddings_name(model: PreTrainedModel) -> str:
    """The module called `embeddings` around the word embeddings, else these; "" if there are none."""
    name = _name_of(model, model.get_input_embeddings())
    parent = name.rpartition(".")[0]
    return parent if parent.rpartition(".")[2] == "embeddings" else name


def _name_of(model: PreTrainedModel, sought: nn.Module) -> str:
    return next((name for name, module in model.named_modules() if module is sought), "")


def _shared(one: list[str], other: list[str]) -> int:
    """How many modules two names are inside of together."""
    same = (mine == others for mine, others in zip(one, other, strict=False))
    return sum(1 for _ in takewhile(bool, same))


def takes(module: nn.Module, argument: str) -> bool:
    """Whether a module's forward pass has an argument of that name."""
    return argument in inspect.signature(module.forward).parameters


def token_head(model: PreTrainedModel) -> nn.Linear | None:
    """The linear layer `score` behind a decoder, which gives logits at every position; None for other heads."""
    score = getattr(model, "score", None)
    return score if isinstance(score, nn.Linear) and model.base_model is not model else None
