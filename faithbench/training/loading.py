"""From a checkpoint folder or a hub id to a classifier, with one sentence for each way in which that goes wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.plugins.naming import is_folder
from faithbench.schemas import MissingFileError, read_json
from faithbench.training.checkpoint import CAUSAL, WEIGHTS, load, load_conventional
from faithbench.training.declared import CONFIG, Configuration, check_folder, differing_sizes
from faithbench.training.quiet import quiet

ADAPTER, PICKLE = "adapter_config.json", "pytorch_model.bin"
PATHS = ("./", "../", "/", "~")  # how a path begins, and no hub id
OWN = "own"  # for a precision: that of the weights
SIZES = "sizes in config.json are not those of the weights"


@dataclass(frozen=True)
class Loaded:
    """A classifier, and the identity and label of its source."""

    classifier: HuggingFaceClassifier
    identity: str
    label: str


def load_classifier(source: str, device: str, dtype: str, **options: Any) -> Loaded:
    """The classifier in a checkpoint folder or on the hub; what is saved as a causal language model is read as one.

    Args:
        source: folder or hub id, `owner/name` or with `@revision`.
        device: where to run.
        dtype: name of the precision; `OWN` for what the weights are kept in, float32 at least.
        options: of `HuggingFaceClassifier`.

    Raises:
        UserError: there is none, or model and tokenizer do not belong together.
    """
    if not options and _is_language_model(source):
        return load_language_model(source, device, dtype)
    return _loaded(source, AutoModelForSequenceClassification, HuggingFaceClassifier, device, dtype, options)


def load_language_model(source: str, device: str, dtype: str, **options: Any) -> Loaded:
    """The causal language model in a checkpoint folder or on the hub; as `load_classifier`.

    Args:
        source: likewise.
        device: likewise.
        dtype: likewise.
        options: of `HuggingFaceLanguageModel`.

    Raises:
        UserError: there is none, or model and tokenizer do not belong together.
    """
    return _loaded(source, AutoModelForCausalLM, HuggingFaceLanguageModel, device, dtype, options)


def _loaded(
    source: str, kind: Any, adapter: type[HuggingFaceClassifier], device: str, dtype: str, options: Mapping[str, Any]
) -> Loaded:
    try:
        network, tokenizer, identity = load_network(source, kind)
        classifier = adapter(network, tokenizer, device, _precision(network, dtype), **options)
    except UserError as error:
        raise UserError(str(error) if source in str(error) else f"model {source!r}: {error}") from error
    except Exception as error:  # of a configuration that nobody has thought of
        raise UserError(f"model {source!r} cannot be used: {reason(error)}.") from error
    return Loaded(classifier, identity, identity.rpartition("@")[0] or identity)


def load_network(source: str, kind: Any) -> tuple[Any, Any, str]:
    """A model of transformers, its tokenizer, and the identity of its source, a folder or hub id.

    Raises:
        UserError: there is none.
    """
    return _folder(source, kind) if is_folder(source) else _hub(source, kind)


def _is_language_model(source: str) -> bool:
    """Whether a folder or the hub says that a model was saved with the head of a causal language model."""
    repo, _, revision = source.partition("@")
    try:
        if is_folder(source):
            declared = read_json(Path(source) / CONFIG, Configuration, nan=True, large=True).get("architectures")
        elif source.startswith(PATHS):
            return False
        else:
            with quiet():
                config = AutoConfig.from_pretrained(repo, revision=revision or None, trust_remote_code=False)
            declared = config.architectures
    except Exception:  # said when it is loaded
        return False
    return any(name.endswith(CAUSAL) for name in declared or ())


def _precision(network: PreTrainedModel, dtype: str) -> torch.dtype | str:
    """The precision that is meant; weights kept in half precision are never meant to be computed with in it."""
    return torch.promote_types(network.dtype, torch.float32) if dtype == OWN else dtype


def _folder(source: str, kind: Any) -> tuple[Any, Any, str]:
    folder = Path(source)
    _check_files(folder)
    try:
        check_folder(folder, kind)
        with quiet():
            return load(folder, kind), AutoTokenizer.from_pretrained(folder, trust_remote_code=False), source
    except MissingFileError as error:
        raise UserError(f"model {source!r}: {folder} is not a readable checkpoint: {error}") from error
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the libraries fail in many ways, those in Rust by panics
        why = reason(error)
        told = differing_sizes(folder, kind) if why == SIZES else ""
        raise UserError(f"model {source!r}: {folder} is not a readable checkpoint: {why}{told}") from error


def _check_files(folder: Path) -> None:
    """What can be said of a folder by the names of its files.

    Raises:
        UserError: it is no classifier's.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if ADAPTER in names and "config.json" not in names:
        raise UserError(
            f"{folder} holds an adapter (LoRA and the like), not a whole model; merge it into its base first with "
            "peft: model.merge_and_unload().save_pretrained(folder)."
        )
    safe = any(name.endswith(".safetensors") for name in names)
    if not safe and any(name.endswith((".bin", ".pt", ".pth", ".h5", ".msgpack")) for name in names):
        raise UserError(
            f"{folder} has no {WEIGHTS}; other weights such as {PICKLE} can hold code and are never read. Load them "
            "where you trust them and write them anew: model.save_pretrained(folder)."
        )


def _hub(source: str, kind: Any) -> tuple[Any, Any, str]:
    if source.startswith(PATHS):
        raise UserError(f"model {source!r}: {_missing(Path(source).expanduser())}")
    repo, _, revision = source.partition("@")
    pinned = {"revision": revision or None, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(repo, **pinned)
            network = load_conventional(repo, kind, revision=revision or None)
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the libraries fail in many ways, those in Rust by panics
        raise UserError(
            f"model {source!r} is neither a folder nor to be had from the hub (not there, no safetensors, or the hub "
            f"cannot be reached): {reason(error)}"
        ) from error
    commit = getattr(network.config, "_commit_hash", None) or revision
    return network, tokenizer, f"{repo}@{commit}" if commit else repo


def _missing(folder: Path) -> str:
    """Why a path is no folder: it is a file, or is not there, and perhaps one beside it was meant."""
    if folder.is_file():
        return "that is a file; name the folder that it is in"
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    near = get_close_matches(folder.name, beside, n=1)
    return "there is no such folder" + (f"; did you mean {folder.with_name(near[0])}?" if near else "")


def reason(error: BaseException) -> str:
    """The first line of an error, short."""
    if "Unrecognized configuration class" in str(error):
        kind = str(error).partition("<class '")[2].partition("'")[0].rpartition(".")[2].removesuffix("Config")
        what = "causal language model" if "AutoModelForCausalLM" in str(error) else "sequence classifier"
        return f"transformers has no {what} of the type {kind}"
    if isinstance(error, KeyError):
        return f"nothing is known by the name {error}"
    if "ignore_mismatched_sizes" in str(error):
        return SIZES
    line = (str(error).strip().replace(":\n", ": ").splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:200]}…"
