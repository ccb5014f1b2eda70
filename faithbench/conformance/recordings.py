"""What neurons of all kinds do in a few documents, to try describers on: the rare, the silent, and those below 0."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithbench.activations import NONE, Recording, Windows

PIECES = (
    " the",
    " cat",
    " saw",
    "\n",
    "\t",
    "'",
    '"',
    "",
    "\x1b[31m",
    "<b>",
    " caf\xe9",
    "\\n",
    "\u202e",
    " a",
    ",",
    "�",
)
DOCUMENTS, EACH, TOKENS = 20, 2, 6  # documents, windows of each, tokens of a window
SHARES = (12, 16)  # documents to fit, and to fit or calibrate
Rule = Callable[[Windows], Float[np.ndarray, "windows tokens"]]


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a neuron does in the documents that a describer sees, and the windows of others."""

    fit: Recording
    calibrate: Recording
    unseen: Windows


def recordings() -> Mapping[str, Recorded]:
    """One of each kind, by a name that says which."""
    windows = _windows()
    parts = np.split(np.arange(len(windows)), [EACH * share for share in SHARES])
    fit, calibrate, unseen = (windows.take(part) for part in parts)
    return {
        name: Recorded(Recording(fit, rule(fit)), Recording(calibrate, rule(calibrate)), unseen)
        for name, rule in RULES.items()
    }


def _windows() -> Windows:
    """Tokens at random; a document's last has none behind it."""
    drawn = np.random.default_rng(0).integers(len(PIECES), size=(DOCUMENTS, EACH * TOKENS))
    ids = drawn.reshape(-1, TOKENS)
    following = np.full(len(ids), NONE)
    following[::EACH] = ids[1::EACH, 0]
    return Windows(ids, np.repeat(np.arange(DOCUMENTS), EACH), following, PIECES)


def _strength(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """A number for each token."""
    return np.linspace(-2, 3, len(PIECES))[windows.ids]


RULES: Mapping[str, Rule] = {
    "a neuron that fires on some tokens": lambda windows: np.maximum(0.0, _strength(windows)),
    "a neuron that fires on a token behind another": lambda windows: _pair(windows.ids),
    "a neuron in half precision": lambda windows: _strength(windows).astype(np.float16).astype(np.float32),
    "a neuron that is below 0 nearly everywhere": lambda windows: 0.1 * np.minimum(0.1, _strength(windows)),
    "a neuron that never fires": lambda windows: np.zeros(windows.ids.shape),
    "a neuron that is the same at every token": lambda windows: np.full(windows.ids.shape, 0.1),
    "a neuron that fires once": lambda windows: _once(windows.ids),
}


def _pair(ids: np.ndarray) -> Float[np.ndarray, "windows tokens"]:
    fires = np.zeros(ids.shape)
    fires[:, 1:] = (ids[:, :-1] % 4 == 0) & (ids[:, 1:] % 4 == 1)
    return fires


def _once(ids: np.ndarray) -> Float[np.ndarray, "windows tokens"]:
    fires = np.zeros(ids.shape)
    fires[0, 0] = 7.0
    return fires
