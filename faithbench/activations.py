"""What describers and scores of neurons see: windows of text, a neuron's activations in them, and its description.

A description of a neuron is an explanation like any other, and is scored by what it predicts (Bills et al. 2023): an
explanation is *made* from some documents, *simulates* the activations in others, and the two are compared. In records a
neuron is the unit that a text is elsewhere, its describer stands where an explainer does, and its score is a metric.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.types import Measurement, read_only, rows_of

UNIT = "neuron"  # the trait `unit` of data sets, describers and scores of neurons
NONE = -1  # stands for the token behind a document's last
ROUNDING = 1e-6  # of the largest number: what differs by less is the same, but for single-precision arithmetic


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of documents, all as long, of one tokenizer; every neuron of a model is looked at in the same.

    `documents` say which document each is of, `following` which token comes behind it (`NONE` where nothing does).
    `pieces` are the tokens of the vocabulary as people write them, by id. `places` say where each is from: the piece of
    a document that a model reads at once, and the window's first token in that; None of windows that nobody read.
    """

    ids: Int[np.ndarray, "windows tokens"]
    documents: Int[np.ndarray, "windows"]
    following: Int[np.ndarray, "windows"]
    pieces: Sequence[str]
    places: Int[np.ndarray, "windows 2"] | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "documents", "following", "places"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, read_only(array))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def next_ids(self) -> Int[np.ndarray, "windows tokens"]:
        """The token behind each."""
        return np.concatenate([self.ids[:, 1:], self.following[:, None]], axis=1)

    def take(self, places: Int[np.ndarray, "some"]) -> "Windows":
        """Some of them."""
        return Windows(
            self.ids[places],
            self.documents[places],
            self.following[places],
            self.pieces,
            None if self.places is None else self.places[places],
        )

    def between(self, begin: int, end: int) -> "Windows":
        """Those from one to before another, in the same memory."""
        ids, documents, following = (rows_of(each, begin, end) for each in (self.ids, self.documents, self.following))
        places = None if self.places is None else rows_of(self.places, begin, end)
        return Windows(ids, documents, following, self.pieces, places)

    def cut(self, places: Int[np.ndarray, "some"], starts: Int[np.ndarray, "some"], tokens: int) -> "Windows":
        """Shorter windows: of each at these places the tokens from a start on.

        Args:
            places: of windows; one may be there several times.
            starts: of each, at most `len(window) - tokens`.
            tokens: of a shorter window.
        """
        columns = starts[:, None] + np.arange(tokens)
        behind = self.next_ids[places, starts + tokens - 1]
        origin = (
            None if self.places is None else self.places[places] + np.stack([np.zeros_like(starts), starts], axis=1)
        )
        return Windows(self.ids[places[:, None], columns], self.documents[places], behind, self.pieces, origin)


@dataclass(frozen=True, eq=False)
class Recording:
    """A neuron's activations in windows."""

    windows: Windows
    activations: Float[np.ndarray, "windows tokens"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "activations", read_only(self.activations))

    def take(self, places: Int[np.ndarray, "some"]) -> "Recording":
        """What was recorded in some of the windows."""
        return Recording(self.windows.take(places), self.activations[places])

    def cut(self, places: Int[np.ndarray, "some"], starts: Int[np.ndarray, "some"], tokens: int) -> "Recording":
        """What was recorded in parts of windows, as `Windows.cut`."""
        part = self.activations[places[:, None], starts[:, None] + np.arange(tokens)]
        return Recording(self.windows.cut(places, starts, tokens), part)

    def top(self, count: int, draws: np.random.Generator) -> Int[np.ndarray, "some"]:
        """Places of the windows with the largest activations, the first first, one a document; ties fall by lot.

        They are fewer where there are not so many documents.
        """
        return top_places(self.activations.max(axis=1), self.windows.documents, count, draws)

    def strongest(self, count: int) -> Int[np.ndarray, "some"]:
        """The same for people to see: of equal windows the earlier one."""
        order = np.argsort(-self.activations.max(axis=1), kind="stable")
        _, firsts = np.unique(self.windows.documents[order], return_index=True)
        return order[np.sort(firsts)[:count]]

    def drawn(self, count: int, draws: np.random.Generator) -> Int[np.ndarray, "some"]:
        """Places of windows drawn at random, none twice; all of them where there are not so many."""
        return draws.permutation(len(self.windows))[:count]


def top_places(
    peaks: Float[np.ndarray, "windows"], documents: Int[np.ndarray, "windows"], count: int, draws: np.random.Generator
) -> Int[np.ndarray, "some"]:
    """Places of the largest peaks, as `Recording.top`."""
    order = draws.permutation(len(peaks))
    order = order[np.argsort(-peaks[order], kind="stable")]
    _, first = np.unique(documents[order], return_index=True)
    return order[np.sort(first)][:count]


@dataclass(frozen=True, eq=False)
class Neuron:
    """One neuron, and what it does in three sets of documents, which share none.

    Args:
        unit: its name: the module's, a colon, its number, as in `model.layers.0.mlp.act:17`.
        layer: of the model, from 0.
        number: in its module.
        fit: what a description is made from.
        calibrate: what a description may be chosen by, and simulations be put on the scale of activations by.
        evaluate: what it is scored on.
    """

    unit: str
    layer: int
    number: int
    fit: Recording
    calibrate: Recording
    evaluate: Recording

    def generator(self, purpose: str, seed: int = 0) -> np.random.Generator:
        """Draws that depend on what they are for, the seed and the neuron alone."""
        return np.random.default_rng([zlib.crc32(purpose.encode()), seed, zlib.crc32(self.unit.encode())])


@runtime_checkable
class Description(Protocol):
    """What is said of a neuron: data, that predict its activations.

    Attributes:
        text: for people.
        bits: its length, from 0.
    """

    @property
    def text(self) -> str: ...

    @property
    def bits(self) -> float: ...

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The activations that it predicts, on any scale."""


class Describer(Protocol):
    """Describes a neuron; it sees what is to be fitted and calibrated, never what it is scored on."""

    def __call__(self, fit: Recording, calibrate: Recording) -> Description: ...


@dataclass(frozen=True, eq=False)
class Overwritten:
    """A question to the model: how far its next-token distributions move when a neuron's activations are others.

    Answered with the Jensen-Shannon divergence of each token's from the model's own, in nats, 0 to ln 2:
    `Float[ndarray, "windows tokens"]`.

    Args:
        windows: which texts.
        values: what stands in the place of the neuron's activations.
    """

    windows: Windows
    values: Float[np.ndarray, "windows tokens"]


class Score(Protocol):
    """Scores the description of a neuron, in percent; NaN where that is not defined, and then `reason` tells why.

    The first three `parts` of its measurements are the standard deviations of the activations and of the simulation in
    the windows that were scored (0 where they are constant) and how many tokens those have. Of two more, the
    last is what the value is divided by.

    One that has questions to the model is a generator that yields `Overwritten` and receives the answer.
    """

    def __call__(self, neuron: Neuron, description: Description) -> "Asking[Measurement] | Measurement": ...


def deviation(values: Float[np.ndarray, "*shape"]) -> float:
    """Standard deviation; 0 where there are no numbers, or all are equal but for rounding (`ROUNDING`)."""
    numbers = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(numbers).max(initial=0.0))
    if not largest or float(np.ptp(numbers / largest)) <= ROUNDING:
        return 0.0
    return largest * float((numbers / largest).std())


def reason(parts: Sequence[float]) -> str:
    """Why a score with these `parts` is NaN (see `Score`); "" where they do not tell."""
    activations, simulation, tokens, *more = [*parts, *([math.nan] * (3 - len(parts)))]
    reasons = (
        (tokens == 0, "no windows"),
        (activations == 0, "activations constant"),
        (len(more) == 2 and more[1] == 0, "the mean in its place changes nothing"),
        (simulation == 0, "simulation constant"),
    )
    return next((words for holds, words in reasons if holds), "")
