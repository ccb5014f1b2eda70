"""What numbers depend on besides the plan: the device in words, and versions of packages."""

import os
import platform
from importlib.metadata import version

import torch

PACKAGES = ("faithbench", "torch", "transformers", "numpy")


def hardware(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s) of {os.cpu_count()}"


def has_bfloat16(device: str) -> bool:
    """Whether it is a GPU of CUDA that computes in bfloat16 itself; older ones emulate that, which is slow."""
    if torch.device(device).type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def has_fast_bfloat16(device: str) -> bool:
    """Whether products of matrices in bfloat16 are faster there than in float32; of a CPU, as far as torch tells."""
    if torch.device(device).type != "cpu":
        return has_bfloat16(device)
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and bool(ask()) for ask in asked)


def machine(device: torch.device) -> dict[str, str]:
    """The device, the system, and versions of Python and of packages, in words; not whose it is."""
    return {
        "hardware": hardware(device),
        "system": platform.platform(),
        "python": platform.python_version(),
    } | versions()


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}
