"""A sparse autoencoder of one layer's neurons as a model of its own, whose neurons are the latents.

Training and module are this package's own: they are two short files, while libraries for it (sae-lens,
dictionary-learning) bring hubs, trackers and wrappers of models with them, and none continues a killed training.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from faithbench.errors import UserError
from faithbench.parameters import check_seed, check_whole
from faithbench.plugins.naming import ModelRef, build_dataset, refer
from faithbench.plugins.spec import Component

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier
    from faithbench.training.setup import Setup

LATENTS = "faithbench.training.latents"


@dataclass(frozen=True)
class SparseLatents:
    """A causal language model that computes with a sparse autoencoder's reconstruction of one layer's neurons.

    The latents are its neurons. The autoencoder (Bricken et al. 2023; arXiv 2309.08600) is trained with the price `l1`
    on what the hidden layer of the MLP does in the texts that the model was trained on: 512 units where states are 128
    wide, so that 16 times as many are 8,192 latents. Other sites can be named, such as what a layer gives (`site`). It
    is kept as checkpoints are, and a killed training continues.

    The report says what the reconstruction leaves out (`unexplained`, percent of the activations' variance), how many
    latents are active at a token (`l0`), how many never are (`dead`), the loss with the reconstruction in place, and
    `loss_recovered`: 100 · (L₀ − L) / (L₀ − L₁), with L₁ the model's own loss and L₀ that with zeros in the place of
    the site. All of that is of validation texts.

    Args:
        model: a named model, a folder or a hub id, or another control; a causal language model.
        layer: which of the sites, from 0.
        width: latents, in multiples of the site's neurons.
        l1: price of a latent's activation, where the site's activations have a root mean square norm of 1: latents of
            less than half of it are not worth theirs.
        tokens: that it is trained on; texts are read again where they have fewer.
        site: regular expression for the names of modules; empty for those that `neurons(…)` looks at.
        data: spec of the data set whose texts it is trained on; empty: those of the model.
        seed: of weights and texts.
    """

    model: str
    layer: int = 0
    width: int = 16
    l1: float = 0.05
    tokens: int = 2_000_000
    site: str = ""
    data: str = ""
    seed: int = 0
    on_request: ClassVar[bool] = True
    next_token: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", refer(self.model).spec)
        if self.data:
            object.__setattr__(self, "data", build_dataset(self.data).spec)
        for name, least, most in (("layer", 0, 10_000), ("width", 1, 1000), ("tokens", 2, 10**12)):
            check_whole(name, getattr(self, name), least, most)
        if not 0 <= self.l1 < float("inf"):
            raise UserError(f"l1={self.l1!r} is not allowed; it must be a number from 0.")
        check_seed(self.seed)

    def change(self, classifier: "HuggingFaceClassifier") -> "HuggingFaceClassifier":
        """Only once the autoencoder has been trained; see `learn`."""
        raise UserError("sae(…) has to be trained first.")

    def learnt(self, named: ModelRef, data: Component, setup: "Setup") -> bool:
        """Whether the autoencoder has been trained on a model that was trained on a data set."""
        there: bool = resolve_name(f"{LATENTS}:is_there")(named, data, setup)
        return there

    def learn(
        self, named: ModelRef, classifier: "HuggingFaceClassifier", data: Component | None, setup: "Setup"
    ) -> tuple[Any, dict[str, Any]]:
        """What puts the autoencoder into the model, and the report of its training, which is now unless it was.

        Raises:
            UserError: the model is no causal language model, there is no such site, or the training is not allowed.
        """
        found: tuple[Any, dict[str, Any]] = resolve_name(f"{LATENTS}:learnt")(named, classifier, data, setup)
        return found
