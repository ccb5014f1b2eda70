"""How often a model predicts each class of a split: what means over a few of its texts are weighed by."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import targets_of
from faithbench.conversations import attempt
from faithbench.interfaces import Classifier
from faithbench.records.manifest import Manifest, Predicted
from faithbench.running.knowledge import key_of
from faithbench.running.sampling import shuffled
from faithbench.running.scoring import Scoring
from faithbench.tasks import Classification, NextToken, Task
from faithbench.training.encoding import readable
from faithbench.types import Example

MOST = 20_000  # texts of a split that are asked: with them a share is known to within 0.7 points
AT_ONCE = 2_000  # texts after which it is written down how far this has come


def note_predicted(scoring: Scoring, known: Mapping[str, int]) -> None:
    """Writes into the manifest how often the model predicts each class, going on where it was left.

    Only of models that say one class of several, each of which explains that class: not of next-token questions, where
    it is always the first.

    Args:
        scoring: one model on one data set.
        known: the class that the model predicts of some texts, by id; they are not asked again.
    """
    store, name, every = scoring.store, key_of(scoring), scoring.texts.every
    task = scoring.model.classifier.task
    if not _is_counted(task):
        return
    known = known if isinstance(task, Classification) else {}  # other tasks may explain another class
    before = store.manifest()["models"][name].get("predicted")
    for found in predicted(scoring.model.classifier, every, before, known):

        def change(manifest: Manifest, found: Predicted = found) -> None:
            manifest["models"][name]["predicted"] = found

        store.change_manifest(change)
        if found["texts"] == min(len(every), MOST):
            some = "" if found["texts"] == found["of"] else f", drawn from {found['of']:,}"
            scoring.setup.say(
                f"{scoring.model.label} on {scoring.texts.dataset.label}: the classes that it predicts were counted on "
                f"{found['texts']:,} texts{some}, one row each, in {found['seconds']:.1f} s."
            )


def uncounted(scoring: Scoring) -> int:
    """How many texts `note_predicted` would ask once all of the run's are scored, or about as many."""
    task, every = scoring.model.classifier.task, scoring.texts.every
    if not _is_counted(task):
        return 0
    entry = scoring.store.manifest().get("models", {}).get(key_of(scoring))
    before = entry.get("predicted") if entry else None
    left = min(len(every), MOST) - (before["texts"] if before else 0)
    asked = len(scoring.texts.examples) if isinstance(task, Classification) else 0
    return round(left * (1 - asked / max(1, len(every))))


def _is_counted(task: Task) -> bool:
    """Whether a model says one class of several, each of which it may explain."""
    return task.link == "softmax" and not isinstance(task, NextToken)


def predicted(
    classifier: Classifier,
    examples: Sequence[Example],
    before: Predicted | None = None,
    known: Mapping[str, int] | None = None,
) -> Iterator[Predicted]:
    """How often each class is predicted, again and again until all texts are counted, or as many as is enough.

    One forward row a text, in an order that is drawn, so that what is known on the way is of a random sample. Nothing
    if a text has other than one class to explain. Texts that the model cannot read or fails on are of no class.

    Args:
        classifier: which.
        examples: of the split.
        before: what was known of it already.
        known: classes that need not be asked, by the text's id.
    """
    order, there = shuffled(len(examples))[:MOST], known or {}
    counts = Counter({int(name): count for name, count in before["classes"].items()}) if before else Counter[int]()
    done, seconds = (before["texts"], before["seconds"]) if before else (0, 0.0)
    while done < len(order):
        begin, chosen = time.perf_counter(), [examples[i] for i in order[done : done + AT_ONCE]]
        classes = _classes(classifier, [each for each in chosen if each.id not in there])
        if classes is None:
            return
        counts.update(classes)
        counts.update(there[each.id] for each in chosen if each.id in there)
        done, seconds = done + len(chosen), seconds + time.perf_counter() - begin
        if counts:
            named = {str(name): counts[name] for name in sorted(counts)}
            yield {"classes": named, "texts": done, "of": len(examples), "seconds": round(seconds, 3)}


def _classes(classifier: Classifier, examples: Sequence[Example]) -> list[int] | None:
    """The class of each text that is to be explained; None if one has several, or one against another."""
    if not examples:
        return []
    bare = (replace(each, label=None, labels=None, value=None) for each in examples)
    texts = sorted(readable(classifier, bare)[0], key=len, reverse=True)
    if any(text.outputs is not None for text in texts):
        return None
    answers = Engine(classifier).run(attempt(text.id, targets_of(classifier, text)) for text in texts)
    told = [outcome.value for _, outcome in answers if outcome.value is not None]
    if any(len(targets) != 1 or targets[0].against is not None for targets in told):
        return None
    return [targets[0].output for targets in told]
