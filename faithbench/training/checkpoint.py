"""Loading models, B-cos or not, from a folder with `config.json` and safetensors, or from the hub."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from faithbench.bcos.convert import convert
from faithbench.errors import UserError
from faithbench.models import crate  # noqa: F401 # transformers is to know its models before a folder is read

WEIGHTS = "model.safetensors"
CAUSAL = ("ForCausalLM", "LMHeadModel")  # ends of the names of transformers' classes
CLASSIFIES = "ForSequenceClassification"


def load(folder: Path, kind: Any = AutoModelForSequenceClassification) -> PreTrainedModel:
    """The model saved in a folder by `save_pretrained`, converted again first if it was B-cos.

    One whose settings do not speak of the embeddings' bias was made when conversion kept it.

    Args:
        folder: which.
        kind: transformers' class for it, such as `AutoModelForCausalLM`.

    Raises:
        UserError: weights are missing.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    settings = getattr(config, "bcos", None)
    if settings is None:
        return load_conventional(str(folder), kind)
    _check_kind(str(folder), config, kind)
    settings = {"embedding_bias": True} | settings
    model = from_settings(config, kind)
    try:
        _fill(model, load_file(folder / WEIGHTS))
    except RuntimeError:
        if (renamed := _renamed(folder, config, kind, settings)) is None:
            raise
        model = renamed
    return model.eval()


def from_settings(config: PretrainedConfig, kind: Any) -> PreTrainedModel:
    """The model of a configuration, of which B-cos settings are taken, with weights as its architecture begins.

    Args:
        config: of it; the settings by which it was converted, if it was, are in the model's alone then.
        kind: transformers' class for it.
    """
    settings = getattr(config, "bcos", None)
    if settings is not None:
        del config.bcos
    model: PreTrainedModel = kind.from_config(config, trust_remote_code=False)
    return model if settings is None else convert(model, **({"embedding_bias": True} | settings))


def _fill(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Puts weights into a model; of those that are tied, files hold one.

    Raises:
        RuntimeError: some are missing, too many, or of another shape.
    """
    own = model.state_dict(keep_vars=True)
    shared = {id(own[name]) for name in weights if name in own}
    missing = [name for name, tensor in own.items() if name not in weights and id(tensor) not in shared]
    if missing or (unknown := model.load_state_dict(weights, strict=False).unexpected_keys):
        raise RuntimeError(f"weights are missing or not known: {missing or unknown}")


def _renamed(folder: Path, config: PretrainedConfig, kind: Any, settings: dict[str, Any]) -> PreTrainedModel | None:
    """The model, where transformers saves weights under other names; None if not all are there.

    Raises:
        UserError: the weights are those of a conventional model, whose biases conversion would take away.
    """
    conventional, found = kind.from_pretrained(
        folder, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    if found["unexpected_keys"] or not all(name.endswith("bias") for name in found["missing_keys"]):
        return None
    model = convert(conventional, **settings)
    there = {name for name, _ in conventional.named_parameters() if name.endswith("bias")} - found["missing_keys"]
    if dropped := sorted(there - model.state_dict().keys()):
        raise UserError(
            f"model {str(folder)!r} is B-cos by its config.json and not by its weights, which have a bias "
            f"{dropped[0]}: take bcos out of config.json."
        )
    return model


def load_conventional(
    source: str, kind: Any = AutoModelForSequenceClassification, **options: object
) -> PreTrainedModel:
    """A model from a folder or hub id: safetensors only, no remote code, and all of its weights there.

    Raises:
        UserError: weights are missing, those of the head for instance.
    """
    model, found = kind.from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
    )
    _check_kind(source, model.config, kind)
    if found["missing_keys"]:
        names = ", ".join(sorted(found["missing_keys"])[:3])
        what = "fine-tuned classifier" if kind is AutoModelForSequenceClassification else "trained language model"
        raise UserError(f"model {source!r} is no {what}: it has no weights for {names}.")
    if beyond := _beyond(model, found["unexpected_keys"]):
        raise UserError(
            f"model {source!r} has weights of more layers than its config.json tells ({beyond}); take the config.json "
            "that was saved with them."
        )
    return model


def _beyond(model: PreTrainedModel, unexpected: Iterable[str]) -> str:
    """The first weight that is of one more in a numbered list of the model's modules; empty if there is none."""
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    for name in sorted(unexpected):
        for number in re.finditer(r"\.(\d+)\.", name):
            if int(number[1]) >= lists.get(name[: number.start()], math.inf):
                return name
    return ""


def _check_kind(source: str, config: PretrainedConfig, kind: Any) -> None:
    """Whether a model was saved with the other head: with tied weights, none would be missing.

    Raises:
        UserError: it was.
    """
    saved = next(iter(config.architectures or ()), "")
    if kind is AutoModelForSequenceClassification and saved.endswith(CAUSAL):
        raise UserError(f"model {source!r} was saved as {saved}, no classifier; lm({source}) asks it what comes next.")
    if kind is AutoModelForCausalLM and saved.endswith(CLASSIFIES):
        raise UserError(f"model {source!r} was saved as {saved}, no language model; name it without lm(…).")
