"""Sparse autoencoders of language models' neurons: trained on their activations, measured, and kept as checkpoints."""

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel
from typing_extensions import TypedDict

from faithbench.errors import UserError
from faithbench.files import cache_folder, remove_leftovers
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.neurons.sites import Site, find_sites
from faithbench.neurons.sparse import SparseAutoencoder, has_reconstruction, with_change, with_reconstruction
from faithbench.plugins.naming import ModelRef, build_dataset, is_folder
from faithbench.plugins.spec import Component
from faithbench.schemas import read_json
from faithbench.training.blocks import Blocks, whole_blocks
from faithbench.training.checkpoint import WEIGHTS
from faithbench.training.dictionary_learning import DictionaryRecipe, train_dictionary
from faithbench.training.finished_model import FINISHED
from faithbench.training.hardware import hardware, versions
from faithbench.training.keeping import (
    FinishedReport,
    fault,
    finishing,
    forget_work,
    in_turn,
    report_of,
    weights_hash,
    work_place,
)
from faithbench.training.language_modelling import EVALUATED, perplexity
from faithbench.training.named_models import untrained
from faithbench.training.prepare import finished_folder, load_model, prepare
from faithbench.training.sae import SparseLatents
from faithbench.training.setup import Setup

BATCH = 2048  # tokens of a step, about
MEASURED = 50_000  # tokens of validation texts, at most
TAP, CONFIG = "tap", "config.json"


class Sizes(TypedDict):
    """Of an autoencoder."""

    inputs: int
    latents: int


@dataclass(frozen=True)
class Reconstruction:
    """Puts an autoencoder that has been trained into the model that it was trained on.

    Args:
        folder: of the autoencoder.
        layer: which of the sites.
        site: regular expression for their names.
    """

    folder: str
    layer: int
    site: str

    def change(self, classifier: HuggingFaceClassifier) -> HuggingFaceClassifier:
        """The model with the reconstruction."""
        site = _site(classifier.model, self.site, self.layer)
        return classifier.remade(with_reconstruction(classifier.model, site, _loaded(Path(self.folder))))


class Tap(nn.Module):
    """Passes activations on, and keeps the last."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.empty(0)

    def forward(self, activations: Tensor) -> Tensor:
        """The same."""
        self.last = activations
        return activations


class Nothing(nn.Module):
    """Zeros in the place of activations."""

    def forward(self, activations: Tensor) -> Tensor:
        """Of the same shape."""
        return torch.zeros_like(activations)


def is_there(named: ModelRef, data: Component, setup: Setup) -> bool:
    """Whether the autoencoder that is named has been trained on a model that was trained on a data set."""
    return fault(sae_folder(named, data, setup), FinishedReport) is None


def sae_folder(named: ModelRef, data: Component | None, setup: Setup) -> Path:
    """Where the autoencoder is kept; besides its name and data it depends on the weights of the model."""
    texts = _texts(named, data)
    identity = " ".join([named.identity, f"{texts.identity}{texts.content}", _weights(named.root, data, setup)])
    return cache_folder("checkpoints", identity, texts.label, named.label)


def _weights(root: ModelRef, data: Component | None, setup: Setup) -> str:
    """What pins the weights of a model, as far as its name does not."""
    if folder := finished_folder(root, data, setup):
        return weights_hash(folder)
    named = root.component
    path = named.object.path if named and isinstance(named.object, FINISHED) else root.text
    return weights_hash(Path(path)) if is_folder(path) else ""


def _texts(named: ModelRef, data: Component | None) -> Component:
    """The data set whose texts an autoencoder is trained on.

    Raises:
        UserError: nobody says.
    """
    own = _parameters(named).data
    if not own and data is None:
        raise UserError(f"{named.label} is trained on texts; say with data=… on those of which data set.")
    return build_dataset(own) if own or data is None else data


def _parameters(named: ModelRef) -> SparseLatents:
    assert named.component is not None
    found: SparseLatents = named.component.object
    return found


def learnt(
    named: ModelRef, classifier: HuggingFaceClassifier, data: Component | None, setup: Setup
) -> tuple[Reconstruction, dict[str, Any]]:
    """What puts an autoencoder into a model, and the report of its training, which is now unless it was.

    Args:
        named: of `faithbench.training.sae`.
        classifier: the model.
        data: what that is trained on; None where nobody says.
        setup: whether it may be trained, and where.

    Raises:
        UserError: see `SparseLatents.learn`.
    """
    sae, texts = _parameters(named), _texts(named, data)
    if not isinstance(classifier, HuggingFaceLanguageModel):
        raise UserError(
            f"{named.label} is not allowed: {named.root.label} is no causal language model, whose loss would say what "
            "the reconstruction leaves out."
        )
    if has_reconstruction(classifier.model):
        raise UserError(f"{named.label} is not allowed: that model is one of latents already; name what it is made of.")
    _site(classifier.model, sae.site, sae.layer)
    folder = sae_folder(named, data, setup)
    remove_leftovers(folder.parent)
    if fault(folder, FinishedReport) is not None:
        if not setup.train:
            raise UserError(untrained(named.identity, texts.identity))
        title = f"{named.label} on {texts.label}"
        with in_turn(folder, lambda holder: setup.say(f"Waiting for another training of {title}: {holder}.")):
            if fault(folder, FinishedReport) is not None:
                _train(named, texts, folder, _exact(named, classifier, data, setup), setup)
    forget_work(folder)
    return Reconstruction(str(folder.absolute()), sae.layer, sae.site), report_of(folder) or {}


def _exact(
    named: ModelRef, classifier: HuggingFaceClassifier, data: Component | None, setup: Setup
) -> HuggingFaceClassifier:
    """The model with weights in single precision, so that the autoencoder does not depend on that of a run."""
    if classifier.model.dtype == torch.float32:
        return classifier
    assert named.made_of is not None
    single = replace(setup, dtype="float32")
    found = load_model(named.made_of, single) if data is None else prepare(named.made_of, data, single)
    assert isinstance(found.classifier, HuggingFaceClassifier)
    return found.classifier


def _site(model: PreTrainedModel, pattern: str, layer: int) -> Site:
    """The site that is meant.

    Raises:
        UserError: there is none, or one that cannot be reconstructed.
    """
    sites = find_sites(model, pattern)
    if layer >= len(sites):
        raise UserError(f"layer={layer} is not allowed; the model has {len(sites)} such sites, from 0.")
    if sites[layer].calls > 1:
        raise UserError(f"site {sites[layer].name!r} cannot be reconstructed: its module is called several times.")
    return sites[layer]


def _train(named: ModelRef, texts: Component, folder: Path, classifier: HuggingFaceClassifier, setup: Setup) -> None:
    """Trains an autoencoder into a folder, and measures it."""
    sae, start = _parameters(named), time.perf_counter()
    blocks = whole_blocks(texts, "train", classifier, sae.tokens, sae.seed)
    held_out = whole_blocks(texts, "validation", classifier, MEASURED, sae.seed)
    site = _site(classifier.model, sae.site, sae.layer)
    rows = max(1, BATCH // blocks.length)
    recipe = DictionaryRecipe(
        sae.width * site.units, math.ceil(sae.tokens / (rows * blocks.length)), sae.l1, seed=sae.seed
    )
    setup.say(
        f"Training {named.label} on {texts.label}: {recipe.latents:,} latents of the {site.units:,} neurons of "
        f"{site.name}, {recipe.steps:,} steps of {rows * blocks.length:,} tokens, on {setup.device}; kept in {folder}"
    )
    tapped = with_change(classifier.model, [site], TAP, Tap())
    work = work_place(folder)
    dictionary = train_dictionary(lambda step: _activations(tapped, blocks, rows, step, sae.seed), recipe, work)
    report = {
        "model": named.identity,
        "dataset": texts.identity,
        "training": asdict(recipe) | {"tokens": sae.tokens, "batch_tokens": rows * blocks.length},
        "texts": {"train": len(texts.object.load("train")), "validation": len(texts.object.load("validation"))},
        "seed": sae.seed,
        "steps": recipe.steps,
        "site": site.name,
        **measured(classifier.model, site, dictionary, held_out),
        "seconds_of_last_start": round(time.perf_counter() - start, 1),
        "hardware": hardware(torch.device(setup.device)),
        "versions": versions(),
    }
    with finishing(folder, report) as made:
        save_file(dictionary.state_dict(), made / WEIGHTS)
        sizes = {"inputs": site.units, "latents": recipe.latents}
        (made / CONFIG).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")


def _loaded(folder: Path) -> SparseAutoencoder:
    sizes: Sizes = read_json(folder / CONFIG, Sizes)
    found = SparseAutoencoder(sizes["inputs"], sizes["latents"])
    found.load_state_dict(load_file(folder / WEIGHTS))
    return found.requires_grad_(False)


def _activations(
    tapped: PreTrainedModel, blocks: Blocks, rows: int, step: int, seed: int
) -> Float[Tensor, "tokens units"]:
    """What goes through the tap in the blocks of a step: all in turn, in an order of each turn's own."""
    places = [divmod(place, len(blocks)) for place in range(step * rows, (step + 1) * rows)]
    orders = {turn: np.random.default_rng([seed, turn]).permutation(len(blocks)) for turn, _ in places}
    numbers = [int(orders[turn][within]) for turn, within in places]
    ids = torch.stack([blocks[number]["input_ids"] for number in numbers]).to(tapped.device)
    with torch.no_grad():
        tapped(input_ids=ids, use_cache=False)
    return _tapped(tapped).flatten(0, 1)


def _tapped(model: PreTrainedModel) -> Float[Tensor, "rows tokens units"]:
    """What went through the tap last."""
    return next(module.last for module in model.modules() if isinstance(module, Tap))


def measured(model: PreTrainedModel, site: Site, sae: SparseAutoencoder, blocks: Blocks) -> dict[str, Any]:
    """What a reconstruction leaves out, on texts that it was not trained on.

    Returns:
        `validation`, as of language models with the reconstruction in place, and besides `loss_recovered` (percent),
        `unexplained` (percent of the variance of activations), `l0` and `dead` (latents); `start`, the model as it is,
        and `zeros`, the loss with zeros in the place of the site.
    """
    own = perplexity(model, blocks)
    zeros = perplexity(with_change(model, [site], "zeros", Nothing()), blocks)
    found = perplexity(with_reconstruction(model, site, sae), blocks)
    recovered = 100 * _ratio(zeros["loss"] - found["loss"], zeros["loss"] - own["loss"])
    inside = _inside(with_change(model, [site], TAP, Tap()), sae, blocks)
    validation = {**found, "loss_recovered": recovered, **inside}
    return {"validation": validation, "start": {"validation": own}, "zeros": zeros["loss"]}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _inside(tapped: PreTrainedModel, sae: SparseAutoencoder, blocks: Blocks) -> dict[str, float]:
    """Of the latents: what they do not explain, how many are active at a token, how many never are."""
    sae = copy.deepcopy(sae).to(tapped.device)
    missing, total, square = 0.0, torch.zeros(()), 0.0
    active, tokens = torch.zeros(len(sae.bias), device=tapped.device), 0
    with torch.inference_mode():
        for batch in DataLoader(blocks, batch_size=EVALUATED):
            tapped(input_ids=batch["input_ids"].to(tapped.device), use_cache=False)
            activations = _tapped(tapped).flatten(0, 1)
            latents = sae.code(activations / sae.scale)
            wide = activations.double()
            missing += float((wide - (sae.scale * sae.decode(latents)).double()).square().sum())
            total, square = total.to(wide) + wide.sum(0), square + float(wide.square().sum())
            active += (latents > 0).sum(0)
            tokens += len(latents)
    variance = square - float(total.square().sum()) / tokens
    return {
        "unexplained": 100 * _ratio(missing, variance),
        "l0": float(active.double().sum()) / tokens,
        "dead": int((active == 0).sum()),
        "latents": len(sae.bias),
    }
