"""A content hash of examples, which tells data sets of one name apart."""

import hashlib
from collections.abc import Sequence

from faithbench.types import Example


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of ids, texts, labels and marks."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr(example).encode())
    return digest.hexdigest()[:16]
