"""What a tokenizer does, as a fingerprint: two of one fingerprint read every text alike, whatever they are called."""

import copy
import hashlib
from typing import Any

from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier


def tokenizer_fingerprint(classifier: Classifier) -> str | None:
    """A hash of the tokenizer's serialised form, without how it was used last; None where there is no such form."""
    backend: Any = getattr(getattr(classifier, "tokenizer", None), "backend_tokenizer", None)
    if backend is None or not hasattr(backend, "to_str"):
        return None
    plain = copy.deepcopy(backend)  # cutting and padding are set by each call, and are no part of it
    plain.no_truncation()
    plain.no_padding()
    return hashlib.sha256(plain.to_str().encode(errors="surrogatepass")).hexdigest()[:16]


def reading_fingerprint(classifier: Classifier, model_fingerprint: str) -> str:
    """What tells ways of reading apart: the tokenizer, how many tokens it cuts to, and whether tokens have types.

    Of a classifier that reads texts in its own way, the model itself.
    """
    own = tokenizer_fingerprint(classifier)
    if own is None or getattr(type(classifier), "encode", None) is not HuggingFaceClassifier.encode:
        return f"model {model_fingerprint}"
    found: Any = classifier
    return f"{own}-{found.max_length}{'-typed' * bool(found.typed)}"
