"""Does a model use what was planted? Only then is its ground truth known (Bastings et al. 2022, arXiv 2111.07367).

And of a program: does a model compute the same? Only then is what the program's words do what the model's do.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Int

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import predict
from faithbench.conversations import Asking, attempt
from faithbench.interfaces import Classifier
from faithbench.questions import Logits
from faithbench.statistics.ground_truth import AGREES, AGREES_CHANGED, WITH, WITHOUT, WITHOUT_PART
from faithbench.training.encoding import readable
from faithbench.types import Example, Text

TEXTS = 500
CHANGED = 200  # texts all of whose changes of one and two words are tried


def trigger_accuracies(
    classifier: Classifier,
    planted: Sequence[Example],
    without: Sequence[Example],
    without_part: Mapping[str, Sequence[Example]] | None = None,
) -> dict[str, float]:
    """Accuracy in percent on texts and on the same texts without what was planted, on at most `TEXTS` of them.

    Args:
        classifier: which.
        planted: texts, of which those with evidence are counted.
        without: texts of the same ids, or more of them; one of which nothing is left is not counted.
        without_part: likewise, without a part of what was planted, by what is gone.

    Returns:
        All accuracies, or nothing if no text can be counted.
    """
    less = {WITHOUT: without} | {WITHOUT_PART.format(gone): texts for gone, texts in (without_part or {}).items()}
    left = {kind: {example.id: example for example in texts if example.text.strip()} for kind, texts in less.items()}
    left = {kind: by_id for kind, by_id in left.items() if by_id or kind == WITHOUT}
    in_all = [
        example for example in planted if example.evidence and all(example.id in by_id for by_id in left.values())
    ]
    chosen = in_all[:TEXTS]
    if not chosen:
        return {}
    pairs = [(WITH, example) for example in chosen]
    pairs += [(kind, by_id[example.id]) for kind, by_id in left.items() for example in chosen]
    read = [(kind, text, each) for kind, each in pairs for text in readable(classifier, [each])[0]]
    asked = (attempt((kind, example.label), predict(text)) for kind, text, example in read)
    answers = [(*key, outcome.value) for key, outcome in Engine(classifier).run(asked) if outcome.value is not None]
    found = {kind: [said == label for which, label, said in answers if which == kind] for kind in (WITH, *left)}
    return {kind: 100 * float(np.mean(right)) for kind, right in found.items()} if all(found.values()) else {}


def program_agreement(
    classifier: Classifier, says: Callable[[Sequence[str]], int], classes: Mapping[int, int], texts: Sequence[Text]
) -> dict[str, float]:
    """How often, in percent, the model says what the program says: of texts, and of all their changes.

    A change takes one or two words away: for the model they are the mask token, for the program they are not there. All
    changes of the first `CHANGED` texts are tried.

    Args:
        classifier: which.
        says: the program: the label of a text's words.
        classes: the model's class for each label.
        texts: as the model reads them; one that is cut says less than its words, and is left out.
    """
    whole = [text for text in texts if not text.truncated]
    asked = (attempt(i, _agreeing(text, says, classes, i < CHANGED)) for i, text in enumerate(whole))
    found = [outcome.value for _, outcome in Engine(classifier).run(asked) if outcome.value is not None]
    changed = [each[1:] for each in found if len(each) > 1]
    if not changed:
        return {}
    return {
        AGREES: 100 * float(np.mean([each[0] for each in found])),
        AGREES_CHANGED: 100 * float(np.concatenate(changed).mean()),
    }


def _agreeing(
    text: Text, says: Callable[[Sequence[str]], int], classes: Mapping[int, int], changed: bool
) -> Asking[Int[np.ndarray, "variants"]]:
    """Whether the model says the same (1) or not (0) of a text, then of its changes."""
    words = text.source.split()
    places = range(len(words))
    gone = [(), *(chosen for size in (1, 2) for chosen in combinations(places, size) if changed)]
    keep = np.array([~np.isin(text.words, chosen) for chosen in gone]) | text.special
    logits = yield Logits(text, keep)
    said = [classes[says([words[i] for i in places if i not in chosen])] for chosen in gone]
    return (logits.argmax(axis=1) == said).astype(np.int64)
