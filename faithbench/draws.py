"""Per-text seeded generator: the same draws whenever they are asked for, others for other texts."""

import zlib

import numpy as np

from faithbench.types import Text


def generator(text: Text, purpose: str = "", seed: int = 0) -> np.random.Generator:
    """Draws that depend on what they are for, the seed and the text's id alone."""
    kind = [zlib.crc32(purpose.encode())] if purpose else []
    return np.random.default_rng([*kind, seed, zlib.crc32(text.id.encode())])
