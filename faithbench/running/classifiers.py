"""The model that a notebook gives, whatever it is, as a classifier that answers."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from rich.console import Console
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.errors import UserError, WrongTypeError
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.plan import AUTO, DTYPES, MIXED
from faithbench.plugins.naming import build_dataset
from faithbench.running.arguments import path_or_name
from faithbench.training.checkpoint import CAUSAL
from faithbench.training.loading import OWN
from faithbench.training.prepare import load_model, prepare
from faithbench.training.setup import Setup, best_device

GENERATING = "text-generation"  # task of a pipeline of a language model
AnyModel: TypeAlias = str | Path | Classifier | PreTrainedModel


@dataclass(frozen=True)
class Named:
    """A classifier with what it is called, and what is known of its training (empty if nothing is)."""

    classifier: Classifier
    label: str
    report: Mapping[str, Any]


def classifier_of(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase | None,
    dataset: str | Path | None,
    device: str | None,
    dtype: str | torch.dtype | None,
) -> Classifier:
    """What answers for a model.

    Args:
        model: a checkpoint folder, a hub id, a named model, a classifier or causal language model of transformers, or
            one that answers already.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        dtype: of weights and activations; None for the model's own, of one that is loaded float32 at least.

    Raises:
        UserError: there is no such model, device or precision.
        WrongTypeError: an argument is no such thing.
    """
    return named_classifier(model, tokenizer, dataset, device, dtype).classifier


def named_classifier(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase | None,
    dataset: str | Path | None,
    device: str | None,
    dtype: str | torch.dtype | None,
    console: Console | None = None,
) -> Named:
    """What answers for a model, with its name; as `classifier_of`, and `console` hears what is out of the usual."""
    device, precision = None if device is None else str(device), _precision(dtype)
    if getattr(model, "task", None) == GENERATING and isinstance(getattr(model, "model", None), PreTrainedModel):
        model, tokenizer = model.model, tokenizer or model.tokenizer  # type: ignore[union-attr]  # a pipeline
    if isinstance(model, PreTrainedModel):
        kind = HuggingFaceLanguageModel if _goes_on(model) else HuggingFaceClassifier
        adapter = kind(copy.deepcopy(model), _tokenizer(tokenizer), best_device(device), precision)
        return Named(adapter, type(model).__name__, {})
    if not isinstance(model, (str, Path)):
        return Named(_ready(model, precision), type(model).__name__, {})
    setup = Setup(best_device(device), precision or OWN, train=False, console=console)
    found = (
        load_model(str(model), setup)
        if dataset is None
        else prepare(str(model), build_dataset(path_or_name("dataset", dataset)), setup)
    )
    return Named(found.classifier, found.label, found.report)


def _goes_on(model: PreTrainedModel) -> bool:
    """Whether it is a causal language model, by the name of its class or of one that it is made of."""
    return any(kind.__name__.endswith(CAUSAL) for kind in type(model).__mro__)


def _precision(dtype: object) -> str | None:
    """The name of a precision, which may be torch's own."""
    name = str(dtype).removeprefix("torch.")
    if name == AUTO:
        raise UserError(f"dtype={AUTO!r} is decided by runs, which measure what it does to scores; use {MIXED} here.")
    if dtype is None or name in DTYPES:
        return None if dtype is None else name
    raise UserError(f"dtype={dtype!r} is not allowed; use {', '.join(DTYPES)}.")


def _tokenizer(tokenizer: object) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise UserError("a model in memory needs its tokenizer: attribute(model, texts, tokenizer=…).")
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise WrongTypeError(
            f"tokenizer is of type {type(tokenizer).__name__}; give the model's, as AutoTokenizer.from_pretrained has "
            "it."
        )
    return tokenizer


def _ready(model: Any, precision: str | None) -> Classifier:
    """What is a classifier already, in a precision that it has.

    Raises:
        WrongTypeError: it is none.
        UserError: it has another precision.
    """
    if not isinstance(model, type) and all(hasattr(model, name) for name in ("encode", "logits", "classes", "task")):
        own = str(getattr(model, "precision", getattr(model, "dtype", "its own precision"))).removeprefix("torch.")
        if precision not in (None, own):
            raise UserError(
                f"dtype={precision!r} is not allowed with a classifier that is ready, which computes in {own}; make it "
                "so: HuggingFaceClassifier(network, tokenizer, dtype=…)."
            )
        classifier: Classifier = model
        return classifier
    hint = (
        "a pipeline's are attribute(pipeline.model, texts, tokenizer=pipeline.tokenizer)"
        if isinstance(getattr(model, "model", None), PreTrainedModel)
        else "a torch module must be a classifier of transformers"
        if isinstance(model, nn.Module)
        else "give a folder, a hub id, a name, or a classifier of transformers"
    )
    raise WrongTypeError(f"model is of type {type(model).__name__}; {hint}.")
