"""What a checkpoint holds."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder."""
    return load_file(folder / "model.safetensors")


def assert_equal_weights(one: Path, two: Path) -> None:
    """Bit for bit."""
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def report(folder: Path) -> dict:
    """The training report."""
    return json.loads((folder / "training.json").read_text())
