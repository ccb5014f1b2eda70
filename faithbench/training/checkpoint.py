"""Loading classifiers, B-cos or not, from a folder with `config.json` and safetensors, or from the hub."""

from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from faithbench.bcos.convert import convert
from faithbench.errors import UserError

WEIGHTS = "model.safetensors"


def load(folder: Path) -> PreTrainedModel:
    """The classifier saved in a folder by `save_pretrained`, converted again first if it was B-cos.

    One whose settings do not speak of the embeddings' bias was made when conversion kept it.

    Raises:
        UserError: weights are missing.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    settings = getattr(config, "bcos", None)
    if settings is None:
        return load_conventional(str(folder))
    del config.bcos
    settings = {"embedding_bias": True} | settings
    model = convert(AutoModelForSequenceClassification.from_config(config, trust_remote_code=False), **settings)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError:
        if (renamed := _renamed(folder, config)) is None:
            raise
        model = convert(renamed, **settings)
    return model.eval()


def _renamed(folder: Path, config: PretrainedConfig) -> PreTrainedModel | None:
    """A conventional model with weights that transformers saves under other names; None if not all are there."""
    model, found = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    complete = all(name.endswith("bias") for name in found["missing_keys"])
    return model if complete and not found["unexpected_keys"] else None


def load_conventional(source: str, **options: object) -> PreTrainedModel:
    """A classifier from a folder or hub id: safetensors only, no remote code, and all of its weights there.

    Raises:
        UserError: weights are missing, those of the head for instance.
    """
    model, found = AutoModelForSequenceClassification.from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
    )
    if found["missing_keys"]:
        names = ", ".join(sorted(found["missing_keys"])[:3])
        raise UserError(f"model {source!r} is no fine-tuned classifier: it has no weights for {names}.")
    return model
