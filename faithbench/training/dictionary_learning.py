"""Training of sparse autoencoders by Adam: ‖x − x̂‖² + l1 · Σ f, a mean over tokens; a killed training continues.

As in Bricken et al. 2023, directions keep the length 1 (the part of their gradient along them is left out), and latents
that have not fired for long begin anew, as what is missing in a token that is reconstructed badly. Activations are
divided by the root mean square of their norm, so that `l1` means the same at any site.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from faithbench.files import replacing, writing
from faithbench.neurons.sparse import SparseAutoencoder

BETAS, EPSILON = (0.9, 0.999), 1e-8
WARM_UP, DECAY = 0.02, 0.2  # of all steps: in which the learning rate rises, and in which it falls to 0
ANEW = (0.25, 0.5, 0.75)  # of all steps: when latents that have not fired since begin anew
FAINT = 0.2  # an encoder of such a latent, in lengths of the others'
STATES = 20  # that are saved in a training
STATE = "state.safetensors"
Batches = Callable[[int], Float[Tensor, "tokens inputs"]]  # activations of a step, the same whenever it is asked


@dataclass(frozen=True)
class DictionaryRecipe:
    """How a sparse autoencoder is trained.

    Args:
        latents: directions.
        steps: of Adam.
        l1: price of a latent's activation, where activations have a root mean square norm of 1.
        lr: learning rate at its peak.
        seed: of weights, and of what begins anew.
    """

    latents: int
    steps: int
    l1: float
    lr: float = 2e-3
    seed: int = 0


@dataclass
class _State:
    """A training at a step: weights, what Adam knows of each, and which latents have fired since it was looked."""

    sae: SparseAutoencoder
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    fired: Bool[Tensor, "latents"]
    step: int = 0


def train_dictionary(batches: Batches, recipe: DictionaryRecipe, work: Path | None = None) -> SparseAutoencoder:
    """A sparse autoencoder of activations.

    Args:
        batches: activations of each step, from 0; those of step 0 also say their scale and centre.
        recipe: how.
        work: folder in which states are kept; a training with the same recipe continues from the last. None: none are.

    Raises:
        UserError: the folder cannot be written.
    """
    path = None if work is None else work / f"dictionary-{_digest(recipe)}" / STATE
    begun = _begun(batches(0), recipe)
    state = _continued(begun, path) if path is not None and _is_whole(path) else begun
    every = math.ceil(recipe.steps / STATES)
    while state.step < recipe.steps:
        _step(state, batches(state.step), recipe)
        if path is not None and state.step % every == 0:
            _save(state, path)
    return state.sae.requires_grad_(False)


def _digest(recipe: DictionaryRecipe) -> str:
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]


def _begun(activations: Float[Tensor, "tokens inputs"], recipe: DictionaryRecipe) -> _State:
    """Random directions, which encode as they decode, around the mean."""
    sae = SparseAutoencoder(activations.shape[1], recipe.latents)
    generator = torch.Generator().manual_seed(recipe.seed)
    directions = normalize(torch.randn(sae.decoder.shape, generator=generator), dim=1)
    with torch.no_grad():
        scale = activations.square().sum(1).mean().sqrt().clamp(min=torch.finfo(activations.dtype).tiny)
        sae.scale.copy_(scale)
        sae.center.copy_((activations / scale).mean(0))
        sae.encoder.copy_(directions)
        sae.decoder.copy_(directions)
    sae = sae.to(activations.device)
    first, second = ({name: torch.zeros_like(value) for name, value in sae.named_parameters()} for _ in BETAS)
    return _State(sae, first, second, torch.zeros(recipe.latents, dtype=torch.bool, device=activations.device))


def _step(state: _State, activations: Float[Tensor, "tokens inputs"], recipe: DictionaryRecipe) -> None:
    sae, scaled = state.sae, activations / state.sae.scale
    with torch.enable_grad():
        latents = sae.code(scaled)
        missing = scaled - sae.decode(latents)
        loss = (missing.square().sum(1) + recipe.l1 * latents.sum(1)).mean()
        names, weights = zip(*sae.named_parameters(), strict=True)
        gradients = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))
    state.step += 1
    with torch.no_grad():
        along = (gradients["decoder"] * sae.decoder).sum(1, keepdim=True)
        gradients["decoder"] -= along * sae.decoder
        _adam(state, gradients, recipe.lr * share_of_rate(state.step, recipe.steps))
        sae.decoder.copy_(normalize(sae.decoder, dim=1))
        state.fired |= (latents > 0).any(0)
        if state.step in {round(share * recipe.steps) for share in ANEW}:
            _begin_anew(state, missing, recipe)


def share_of_rate(step: int, steps: int) -> float:
    """The learning rate at a step from 1, as a share of its peak: it rises, stays and falls to 0."""
    rises, falls = max(1, math.ceil(WARM_UP * steps)), max(1, math.ceil(DECAY * steps))
    return min(1.0, step / rises, (steps - step + 1) / falls)


def _adam(state: _State, gradients: dict[str, Tensor], rate: float) -> None:
    """A step of Adam (Kingma & Ba 2015, arXiv 1412.6980)."""
    for name, weight in state.sae.named_parameters():
        first, second = state.first[name], state.second[name]
        first.lerp_(gradients[name], 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradients[name], gradients[name], value=1 - BETAS[1])
        corrected = (second / (1 - BETAS[1] ** state.step)).sqrt_().add_(EPSILON)
        weight.addcdiv_(first, corrected, value=-rate / (1 - BETAS[0] ** state.step))


def _begin_anew(state: _State, missing: Float[Tensor, "tokens inputs"], recipe: DictionaryRecipe) -> None:
    """Latents that have not fired since it was looked last point where tokens are reconstructed badly."""
    dead = torch.nonzero(~state.fired).flatten()
    state.fired.zero_()
    errors = missing.square().sum(1).double().cpu().numpy()
    if not len(dead) or not errors.sum() > 0:
        return
    chances = errors**2 / (errors**2).sum()
    drawn = np.random.default_rng([recipe.seed, state.step]).choice(len(errors), len(dead), p=chances)
    directions = normalize(missing[torch.from_numpy(drawn).to(missing.device)], dim=1)
    sae = state.sae
    alive = torch.ones(len(sae.bias), dtype=torch.bool, device=dead.device)
    alive[dead] = False
    length = sae.encoder[alive].norm(dim=1).mean() if alive.any() else sae.encoder.new_ones(())
    sae.decoder[dead] = directions
    sae.encoder[dead] = FAINT * length * directions
    sae.bias[dead] = 0
    for moments in (state.first, state.second):
        for name in ("decoder", "encoder", "bias"):
            moments[name][dead] = 0


def _save(state: _State, path: Path) -> None:
    """A state, whole or not at all."""
    parts = {"sae": state.sae.state_dict(), "first": state.first, "second": state.second}
    tensors = {f"{part}.{name}": value for part, of in parts.items() for name, value in of.items()}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), replacing(path) as temporary:
        save_file({**tensors, "fired": state.fired, "step": torch.tensor(state.step)}, temporary)


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, "pt"):
            return True
    except Exception:  # not there, or torn
        return False


def _continued(begun: _State, path: Path) -> _State:
    """The state that was saved."""
    told = {name: value.to(begun.fired.device) for name, value in load_file(path).items()}
    parts = [
        {name.removeprefix(f"{part}."): value for name, value in told.items() if name.startswith(f"{part}.")}
        for part in ("sae", "first", "second")
    ]
    begun.sae.load_state_dict(parts[0])
    return _State(begun.sae, parts[1], parts[2], told["fired"], int(told["step"]))
