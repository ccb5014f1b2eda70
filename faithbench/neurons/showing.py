"""Windows in which a neuron is shown to people: where it is most active, and some at random, one of a document."""

import numpy as np
from jaxtyping import Int

from faithbench.activations import Neuron

TOP, RANDOM = "top", "random"


def shown_windows(neuron: Neuron, each: int = 5) -> tuple[Int[np.ndarray, "windows"], tuple[str, ...]]:
    """Evaluate windows to show a neuron in, and of each whether it is one of its `top` or `random`.

    Args:
        neuron: any.
        each: top windows, and as many random ones, of other documents; fewer where there are fewer documents.
    """
    recording, top = neuron.evaluate, neuron.evaluate.strongest(each)
    order = neuron.generator("shown").permutation(len(recording.windows))
    order = order[~np.isin(recording.windows.documents[order], recording.windows.documents[top])]
    _, firsts = np.unique(recording.windows.documents[order], return_index=True)
    drawn = order[np.sort(firsts)[:each]]
    return np.concatenate([top, drawn]), (TOP,) * len(top) + (RANDOM,) * len(drawn)
