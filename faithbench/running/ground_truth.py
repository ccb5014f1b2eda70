"""Does a model use what was planted? Only then is its ground truth known (Bastings et al. 2022, arXiv 2111.07367)."""

from collections.abc import Mapping, Sequence

import numpy as np

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import predict
from faithbench.conversations import attempt
from faithbench.interfaces import Classifier
from faithbench.training.encoding import readable
from faithbench.types import Example

TEXTS = 500
WITH, WITHOUT = "accuracy with trigger", "accuracy without trigger"
LEAST, GAP = 90.0, 15.0  # percent: with the trigger; points that the accuracy must fall by without it


def trigger_accuracies(
    classifier: Classifier, planted: Sequence[Example], without: Sequence[Example]
) -> dict[str, float]:
    """Accuracy in percent on texts and on the same texts without what was planted, on at most `TEXTS` of them.

    Args:
        classifier: which.
        planted: texts, of which those with evidence are counted.
        without: texts of the same ids, or more of them; one of which nothing is left is not counted.

    Returns:
        Both accuracies, or nothing if no text can be counted.
    """
    bare = {example.id: example for example in without if example.text.strip()}
    chosen = [example for example in planted if example.evidence and example.id in bare][:TEXTS]
    if not chosen:
        return {}
    pairs = [(WITH, example) for example in chosen] + [(WITHOUT, bare[example.id]) for example in chosen]
    read = [(kind, text, each) for kind, each in pairs for text in readable(classifier, [each])[0]]
    asked = (attempt((kind, example.label), predict(text)) for kind, text, example in read)
    answers = [(*key, outcome.value) for key, outcome in Engine(classifier).run(asked) if outcome.value is not None]
    found = {kind: [said == label for which, label, said in answers if which == kind] for kind in (WITH, WITHOUT)}
    return {kind: 100 * float(np.mean(right)) for kind, right in found.items()} if all(found.values()) else {}


def ground_truth_holds(found: Mapping[str, float]) -> bool:
    """Whether the model does what the trigger says, and cannot do without it."""
    return found[WITH] >= LEAST and found[WITH] - found[WITHOUT] > GAP
