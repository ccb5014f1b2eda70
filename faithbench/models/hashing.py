"""Hashes of weights."""

from typing import Any

import torch
from torch import Tensor


def add_weight(digest: Any, name: str, value: object) -> None:
    """Adds a weight to a hash; quantised ones with all that they are packed of."""
    if isinstance(value, Tensor) and value.is_quantized:
        digest.update(f"{name} {value.dtype} {value.qscheme()}".encode())
        value = value.dequantize()
    if isinstance(value, Tensor):
        digest.update(f"{name} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, (tuple, list)):
        for number, part in enumerate(value):
            add_weight(digest, f"{name}.{number}", part)
    else:
        digest.update(f"{name} {value!r}".encode())
