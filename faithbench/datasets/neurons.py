"""A model's neurons, looked at in the texts of a data set: what is explained is a neuron, not a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from faithbench.errors import UserError, brief
from faithbench.parameters import check_choice, check_pattern, check_seed, check_whole
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import Component
from faithbench.shown import listed
from faithbench.types import SPLITS, Example


@dataclass(frozen=True)
class Neurons:
    """Neurons of a model, and documents in which their activations are looked at.

    Documents are divided by a hash of their texts: 60 % to describe neurons by, 10 % to calibrate, 30 % to score
    descriptions on. They are read in windows of so many tokens, none of which reaches over the end of a document.

    Args:
        dataset: spec of a data set, whose texts are the documents.
        per_layer: neurons of each layer, drawn at random; 0: all.
        site: regular expression for the names of the modules whose outputs are neurons, as in `mlp.act`, or with
            `.input` behind, of those that read them, as in `mlp.down_proj.input`; empty: the hidden units of a model's
            MLPs, the codes of CRATE.
        documents: of them, drawn at random, at most; 0: all.
        window: tokens of a window.
        split: of the data set: `train`, `validation` or `test`.
        seed: draws documents and neurons.
    """

    dataset: str
    per_layer: int = 128
    site: str = ""
    documents: int = 5_000
    window: int = 64
    split: str = "train"
    seed: int = 0
    unit: ClassVar[str] = "neuron"
    class_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", self.texts.spec)
        for name, least, most in (("per_layer", 0, 10**6), ("documents", 0, 10**8), ("window", 2, 10**6)):
            check_whole(name, getattr(self, name), least, most)
        check_choice("split", self.split, SPLITS)
        check_seed(self.seed)
        check_pattern("site", self.site)
        if self.texts.traits.unit == self.unit or self.texts.traits.for_model:
            raise UserError(
                f"dataset={brief(self.texts.label)} is not allowed; it must be a data set of texts that are there "
                "whatever the model, such as standard_ebooks or a file."
            )

    @cached_property
    def texts(self) -> Component:
        """The data set that the documents are of."""
        return build_dataset(self.dataset)

    @property
    def base(self) -> str:
        """What a named model is trained on."""
        base = self.texts.traits.base
        return self.texts.spec if base is None else base

    @property
    def content(self) -> str:
        """What the spec of the data set does not pin."""
        return self.texts.content

    def load(self, split: str) -> Sequence[Example]:
        """The documents, whichever split a plan names: which they are of, the data set says itself.

        Raises:
            UserError: they cannot be had.
        """
        found = [example for example in self._whole() if example.text.strip()]
        if not found:
            raise UserError(f"{brief(self.texts.label)} has no text in its split {self.split!r}, so no documents.")
        if self.documents and self.documents < len(found):
            chosen = np.random.default_rng(self.seed).permutation(len(found))[: self.documents]
            found = [found[place] for place in sorted(chosen)]
        return found

    def _whole(self) -> Sequence[Example]:
        """The split; a UserError names those that there are, if it is none of them."""
        try:
            texts: Sequence[Example] = self.texts.object.load(self.split)
        except UserError as error:
            there = [split for split in SPLITS if split != self.split and self._has(split)]
            if not there:
                raise
            raise UserError(
                f"{brief(self.texts.label)} has no split {self.split!r} to take documents of; it has "
                f"{listed(there)}: use split={there[0]}."
            ) from error
        return texts

    def _has(self, split: str) -> bool:
        try:
            return bool(self.texts.object.load(split))
        except UserError:
            return False
