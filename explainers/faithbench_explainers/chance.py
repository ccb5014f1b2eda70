"""Chance that belongs to a text: the same draws whenever it is asked, others for other texts."""

import zlib

import numpy as np

from faithbench.types import Text


def generator(seed: int, text: Text) -> np.random.Generator:
    """Draws that depend on the seed and the text's id alone."""
    return np.random.default_rng([seed, zlib.crc32(text.id.encode())])


def check_seed(seed: int) -> None:
    """Raises a ValueError for a seed that numpy would refuse."""
    if seed < 0:
        raise ValueError(f"seed={seed!r} is not allowed; it must be at least 0.")


def check_count(name: str, value: int, most: int, least: int = 1) -> None:
    """Raises a ValueError for a number of samples or steps that makes no sense."""
    if not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not allowed; it must be from {least:,} to {most:,}.")
