"""A content hash of examples, which tells data sets of one name apart."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields

from faithbench.types import Example

LATER = (
    "pair",
    "labels",
    "value",
    "responsibility",
    "shapley",
    "good",
    "bad",
)  # fields that came later: left out where they are not set, so that hashes stay
FIRST = tuple(field.name for field in fields(Example) if field.name not in LATER)


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of ids, texts, labels and marks."""
    digest = hashlib.sha256()
    for example in examples:
        later = [name for name in LATER if getattr(example, name) is not None]
        parts = ", ".join(f"{name}={getattr(example, name)!r}" for name in (*FIRST, *later))
        digest.update(f"Example({parts})".encode())
    return digest.hexdigest()[:16]
