"""What numbers depend on besides the plan: the device in words, and versions of packages."""

import os
from importlib.metadata import version

import torch

PACKAGES = ("faithbench", "torch", "transformers", "numpy")


def hardware(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s) of {os.cpu_count()}"


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}
