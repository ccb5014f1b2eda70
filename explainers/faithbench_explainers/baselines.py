"""Baseline tokens: what stands where a token is taken away, the mask token or the padding token."""

from faithbench.parameters import check_choice
from faithbench.types import Text

BASELINES = ("mask", "pad")


def check_baseline(name: str) -> None:
    """Raises a ValueError for anything but a known baseline."""
    check_choice("baseline", name, BASELINES)


def fill_of(text: Text, name: str) -> int:
    """The token id of a baseline."""
    return text.mask_id if name == "mask" else text.pad_id
