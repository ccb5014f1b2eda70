"""Questions of tests: a text under masks."""

from collections.abc import Iterator

import numpy as np

from faithbench.questions import Logits
from faithbench.types import Text


def masks(text: Text, count: int) -> np.ndarray:
    """The full text, then the text without its first, second, … token."""
    keep = np.ones((count + 1, len(text)), dtype=bool)
    keep[np.arange(1, count + 1), np.arange(1, count + 1)] = False
    return keep


def asks(text: Text, times: int = 1, count: int = 3) -> Iterator[object]:
    """A component that asks the same masks several times."""
    for _ in range(times):
        logits = yield Logits(text, masks(text, count))
    return logits
