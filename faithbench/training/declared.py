"""What the files of a checkpoint's folder declare, checked before a model is made of it.

A configuration can ask for terabytes, for code of its own, or for B-cos settings that there are not; the header of the
weights says how many numbers there really are.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification
from typing_extensions import Required, TypedDict

from faithbench.errors import UserError, short
from faithbench.schemas import LARGE, check_file, read_json, reason
from faithbench.training.checkpoint import WEIGHTS

CONFIG, TOKENIZER, INDEX = "config.json", "tokenizer_config.json", f"{WEIGHTS}.index.json"
LABELS = 2**17  # of a model, at most
SPARE = 10**8  # numbers that a model may have beyond twice those in its weights: a head that is missing is said later
PARTS = 2000  # layers, say, that a model may have however few its tensors are
REPEATED = ("layer", "expert", "group", "block")  # in the names of such numbers
NO_CLASSES = "it has no id2label or num_labels, which means"  # to transformers
READ = (".json", ".safetensors", ".txt", ".model", ".jinja")
SETTINGS = ("b", "qkv", "biases", "embedding_bias", "gates")


class Settings(TypedDict, total=False):
    """How a B-cos model was converted."""

    b: Required[float]
    qkv: bool
    biases: bool
    embedding_bias: bool
    gates: list[str]


class Configuration(TypedDict, total=False):
    """What is believed of a configuration; transformers checks the rest."""

    model_type: Required[str]
    architectures: list[str] | None
    num_labels: int | None
    id2label: dict[str, str | int] | None
    label2id: dict[str, int | str] | None
    problem_type: str | None
    bcos: Settings | None


class TokenizerConfiguration(TypedDict, total=False):
    """What is believed of a tokenizer's configuration."""

    model_max_length: float | None
    tokenizer_class: str | None
    padding_side: str | None


class WeightIndex(TypedDict):
    """In which file each tensor is."""

    weight_map: dict[str, str]


def check_folder(folder: Path, kind: Any = AutoModelForSequenceClassification) -> None:
    """Refuses a folder whose files are not what they must be.

    Args:
        folder: of a checkpoint.
        kind: transformers' class for the model.

    Raises:
        UserError: names the file, and what in it is wrong.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in READ and not path.name.startswith("."):
            check_file(path, None if path.suffix == ".safetensors" else LARGE)  # weights are held against config.json
    configuration = read_json(folder / CONFIG, Configuration, nan=True, large=True)
    _check_configuration(folder / CONFIG, configuration)
    if (folder / TOKENIZER).exists():
        read_json(folder / TOKENIZER, TokenizerConfiguration, nan=True, large=True)
    if (folder / INDEX).exists():
        for name in read_json(folder / INDEX, WeightIndex, nan=True, large=True)["weight_map"].values():
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise UserError(f"{folder / INDEX}: {short(name)} is not the name of a file of weights in the folder.")
    _check_size(folder, configuration, kind)


def _check_configuration(path: Path, configuration: Configuration) -> None:
    kind = configuration["model_type"]
    if kind not in CONFIG_MAPPING:
        own = "needs code of its own (auto_map), which is never run" if "auto_map" in configuration else "is not known"
        raise UserError(f"{path}: model_type {short(kind)} {own}.")
    labels = [configuration.get("num_labels") or 0, len(configuration.get("id2label") or ())]
    if not 0 <= min(labels) <= max(labels) <= LABELS:
        raise UserError(f"{path}: num_labels is {short(labels[0])}; a model has between 1 and {LABELS:,}.")
    for name, value in _nested(configuration):
        if name.endswith("_implementation") and any(mark in str(value) for mark in "/:"):
            raise UserError(f"{path}: {name} is {short(value)}, code of the hub, which is never run.")
    settings = configuration.get("bcos")
    if settings is None:
        return
    if unknown := [name for name in settings if name not in SETTINGS]:
        raise UserError(f"{path}: bcos has the unknown setting {short(unknown[0])}; known: {', '.join(SETTINGS)}.")
    if not math.isfinite(settings["b"]):
        raise UserError(f"{path}: bcos.b is {settings['b']}, which is not finite.")


def _check_size(folder: Path, configuration: Mapping[str, Any], kind: Any) -> None:
    """A model is not much larger than its weights: else it would fill the memory before the difference is seen."""
    shapes = _shapes(folder)
    there, tensors = sum(map(math.prod, shapes.values())), len(shapes)
    if not tensors:
        return
    for name, value in _nested(configuration):
        if type(value) is int and value > max(tensors, PARTS) and any(part in name for part in REPEATED):
            raise UserError(f"{folder / CONFIG}: {name} is {short(value)}, and the weights are {tensors:,} tensors.")
    try:
        model = _declared(folder, kind)
    except Exception:  # said when it is loaded
        return
    declared = sum(math.prod(parameter.shape) for parameter in model.parameters())
    if declared > 2 * there + SPARE:
        raise UserError(f"{folder / CONFIG} declares a model of {declared:,} numbers, and its weights are {there:,}.")


def differing_sizes(folder: Path, kind: Any) -> str:
    """The first weight of which a folder's `config.json` says another shape than the weights have, in words."""
    shapes = _shapes(folder)
    model = _declared(folder, kind)
    for name, declared in model.state_dict().items():
        there = shapes.get(name, tuple(declared.shape))
        if there != tuple(declared.shape):
            classes = model.config.num_labels
            told = f": {name} is {[*declared.shape]} by the one and {[*there]} by the others"
            inside = name.startswith(f"{model.base_model_prefix}.")  # and not of the head
            if not inside and declared.shape[:1] == (classes,) and there[1:] == tuple(declared.shape)[1:]:
                given = read_json(folder / CONFIG, Configuration, nan=True, large=True)
                says = "its id2label or num_labels says" if {"num_labels", "id2label"} & given.keys() else NO_CLASSES
                told += f"; {says} {classes} classes, and the weights have {there[0]}: write these there"
            return told
    return ""


def _declared(folder: Path, kind: Any) -> Any:
    """The model of a folder's `config.json`: shapes without numbers."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        return kind.from_config(config, trust_remote_code=False)


def _nested(configuration: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All names and values, also of configurations inside of the configuration."""
    for name, value in configuration.items():
        yield name, value
        if isinstance(value, dict):
            yield from _nested(value)


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors that the headers of the weights declare; the library checks them against the files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # of Rust
            raise UserError(f"{path} cannot be read: {reason(error)}.") from error
    return shapes
