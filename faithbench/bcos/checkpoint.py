"""Saving and loading classifiers, B-cos or not, as a folder with `config.json` and safetensors."""

from pathlib import Path

from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from faithbench.bcos.convert import convert

WEIGHTS = "model.safetensors"


def load(folder: Path) -> PreTrainedModel:
    """The classifier saved in a folder by `save_pretrained`, converted again first if it was B-cos."""
    config = AutoConfig.from_pretrained(folder)
    settings = getattr(config, "bcos", None)
    if settings is None:
        return AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True)
    del config.bcos
    model = convert(AutoModelForSequenceClassification.from_config(config), **settings)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval()
