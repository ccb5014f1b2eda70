"""What is explained: the target as it is asked for, or by how much its logit exceeds that of the runner-up."""

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.errors import QuestionError
from faithbench.questions import Logits
from faithbench.types import Target, Text


def objective(text: Text, target: Target, contrastive: bool) -> Asking[Target]:
    """The target; if contrastive, against the highest of all other logits on the text, unless it is against one.

    Raises:
        QuestionError: there is no other output.
    """
    target = Target.of(target)
    if not contrastive or target.against is not None:
        return target
    logits: Float[np.ndarray, "1 outputs"] = yield Logits(text, np.ones((1, len(text)), dtype=bool))
    if logits.shape[-1] < 2:
        raise QuestionError("a contrastive explanation needs another output, and the model has only one")
    others = logits[0].astype(np.float64)
    others[target.output] = -np.inf
    return Target(target.output, int(others.argmax()))
