"""Chance that belongs to a text: the same draws whenever it is asked, others for other texts."""

import zlib

import numpy as np

from faithbench.types import Text


def generator(seed: int, text: Text) -> np.random.Generator:
    """Draws that depend on the seed and the text's id alone."""
    return np.random.default_rng([seed, zlib.crc32(text.id.encode())])
