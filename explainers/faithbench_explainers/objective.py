"""What is explained: the logit of a class, or by how much it exceeds that of the runner-up."""

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import Logits
from faithbench.types import Text


def rival(text: Text, target: int, contrastive: bool) -> Asking[int | None]:
    """The class to compare with: of all others the one with the highest logit on the text; None if not contrastive."""
    if not contrastive:
        return None
    logits: Float[np.ndarray, "1 classes"] = yield Logits(text, np.ones((1, len(text)), dtype=bool))
    others = logits[0].astype(np.float64)
    others[target] = -np.inf
    return int(others.argmax())


def value(
    logits: Float[np.ndarray, "variants classes"], target: int, against: int | None
) -> Float[np.ndarray, "variants"]:
    """The target's logit, less that of the class against."""
    own = logits[:, target].astype(np.float64)
    return own if against is None else own - logits[:, against]
