"""Causal language models that go on with a prompt, by whatever names one: those that describe neurons, for instance."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from faithbench.errors import UserError, short
from faithbench.models.language_zoo import LanguageModel as NamedModel
from faithbench.models.vocabulary import longest
from faithbench.plugins.naming import ModelRef, build_dataset, refer
from faithbench.training.finished_model import LanguageModel
from faithbench.training.loading import load_network
from faithbench.training.named_models import trained
from faithbench.training.settings import training_data
from faithbench.training.setup import Setup, best_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_writer(name: str, dtype: str = "float32") -> tuple[Any, Any, int]:
    """A causal language model on the best device there is, its tokenizer, and how many tokens it reads.

    Args:
        name: folder or hub id; or the spec of a named model that has been trained and says on what (`data=…`).
        dtype: `float32`, `bfloat16` or `float16`.

    Raises:
        UserError: there is none.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype={dtype!r} is not allowed; use {', '.join(DTYPES)}.")
    network, tokenizer, _ = load_network(_source(refer(name)), AutoModelForCausalLM)
    network = network.to(device=best_device(None), dtype=DTYPES[dtype]).eval()
    return network, tokenizer, longest(network, tokenizer, 0)[0]


def _source(model: ModelRef) -> str:
    """The folder or hub id of a model."""
    if model.component is None:
        return model.text
    named = model.component.object
    if isinstance(named, LanguageModel):
        return named.path
    if not isinstance(named, NamedModel):
        raise UserError(f"model={short(model.text)} is no causal language model.")
    if not named.data:
        raise UserError(f"model={short(model.text)} does not say what it is trained on; add data=…, such as data=imdb.")
    setup = Setup(train=False)
    folder: Path = trained(model.component, training_data(model, build_dataset(named.data)), setup).folder
    return str(folder)
