"""Loading models, B-cos or not, from a folder with `config.json` and safetensors, or from the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from faithbench.bcos.convert import convert
from faithbench.errors import UserError

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
    del config.bcos
    settings = {"embedding_bias": True} | settings
    model = convert(kind.from_config(config, trust_remote_code=False), **settings)
    try:
        _fill(model, load_file(folder / WEIGHTS))
    except RuntimeError:
        if (renamed := _renamed(folder, config, kind)) is None:
            raise
        model = convert(renamed, **settings)
    return model.eval()


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


def _renamed(folder: Path, config: PretrainedConfig, kind: Any) -> PreTrainedModel | None:
    """A conventional model with weights that transformers saves under other names; None if not all are there."""
    model, found = kind.from_pretrained(
        folder, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    complete = all(name.endswith("bias") for name in found["missing_keys"])
    return model if complete and not found["unexpected_keys"] else None


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
    return model


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
