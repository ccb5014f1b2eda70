"""The examples of a data set as a model reads them: labels are its classes, and what it cannot read is left out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from faithbench.answering.returned import check_text
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.labels import Matching, labels_of, match_labels, relabelled, valued
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.training.belonging import check_kind
from faithbench.training.prepare import Prepared
from faithbench.training.settings import learnt_from, training_dataset
from faithbench.types import Example, Skipped, Text


@dataclass(frozen=True)
class Encoded:
    """Texts in the order of their examples, the examples by id, and those that cannot be read.

    Labels of texts and examples are the model's classes, or for one that says values, the values. `said` is what had to
    be assumed for that, in a line; "" for nothing.
    """

    texts: tuple[Text, ...]
    examples: Mapping[str, Example]
    skipped: tuple[Skipped, ...] = ()
    said: str = ""


def encode_examples(
    model: Prepared, dataset: Component, examples: Sequence[Example], only: Collection[str] | None = None
) -> Encoded:
    """The examples of a data set as this model reads them; with `only`, those of these ids.

    Raises:
        UserError: a label means no class of the model, or only one of the two is about next tokens.
    """
    asks = any(example.good is not None for example in examples)
    check_kind(model.label, getattr(model.classifier, "next_token", False), dataset.label, asks)
    read, said = with_classes(model, dataset, examples)
    texts, skipped = readable(model.classifier, (each for each in read if only is None or each.id in only))
    named = {example.id: example for example in read}
    texts, unfit = fitting(dataset, named, texts)
    return Encoded(tuple(texts), named, (*skipped, *unfit), said)


def fitting(
    dataset: Component, examples: Mapping[str, Example], texts: Sequence[Text]
) -> tuple[list[Text], list[Skipped]]:
    """The texts that the data set can use as the model reads them, and the others."""
    if not dataset.traits.unfit:
        return list(texts), []
    reasons = {text.id: dataset.object.unfit(examples[text.id], text) for text in texts}
    skipped = [Skipped(name, reason) for name, reason in reasons.items() if reason]
    return [text for text in texts if not reasons[text.id]], skipped


def readable(classifier: Classifier, examples: Iterable[Example]) -> tuple[list[Text], list[Skipped]]:
    """The texts that a model can read, and the others: empty ones, or such as its tokenizer fails on."""
    texts, skipped = [], []
    for example in examples:
        try:
            example.id.encode()
            texts.append(check_text(classifier.encode(example), example, classifier.classes))
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a tokenizer fails in its own ways
            skipped.append(Skipped(example.id, _reason(example, error)))
    return texts, skipped


def with_classes(model: Prepared, dataset: Component, examples: Sequence[Example]) -> tuple[list[Example], str]:
    """The examples with the model's classes for labels, and what had to be assumed for that.

    Raises:
        UserError: a label means no class of the model.
    """
    if model.classifier.task.link == "identity":
        return _with_values(dataset, examples)
    matching = matched(model, dataset, examples)
    if all(label == number for label, number in matching.classes.items()):
        return list(examples), matching.said
    return [relabelled(example, matching.classes) for example in examples], matching.said


def matched(model: Prepared, dataset: Component, examples: Sequence[Example]) -> Matching:
    """The model's class for each label that occurs in the examples; of a model made for this data set, the label.

    Raises:
        UserError: a label means no class of the model.
    """
    occurring = labels_of(examples)
    if not occurring and all(example.value is None for example in examples):
        return Matching({})
    names: tuple[str, ...] = dataset.object.class_names  # an error where labels are fractions
    try:
        return _match(model, dataset, names, occurring)
    except UserError as error:
        raise UserError(f"{model.label} on {dataset.label}: {error}") from error


def classes_by_name(model: Prepared, dataset: Component, examples: Sequence[Example]) -> tuple[dict[str, int], str]:
    """The model's class for each name that the data set has for one; and what had to be assumed for that.

    Raises:
        UserError: a label that occurs means no class of the model.
    """
    if model.classifier.task.link == "identity" or not labels_of(examples):
        return {}, ""
    matching, names, found = matched(model, dataset, examples), dataset.object.class_names, {}
    for label, name in enumerate(names):
        with suppress(UserError):
            classes = matching.classes if label in matching.classes else _match(model, dataset, names, {label}).classes
            found[name] = classes[label]
    return found, matching.said


def _match(model: Prepared, dataset: Component, names: Sequence[str], labels: Collection[int]) -> Matching:
    classifier = model.classifier
    base = training_dataset(dataset)
    own = base.identity == model.own_data or (
        spec.parse(base.identity)[0] == model.own_data.partition("(")[0]
        and learnt_from(base.identity, base) == learnt_from(model.own_data, base)
    )
    if own and max(labels, default=0) < classifier.classes:
        return Matching({label: label for label in labels})
    return match_labels(names, labels, getattr(classifier, "class_names", ()), classifier.classes)


def _with_values(dataset: Component, examples: Sequence[Example]) -> tuple[list[Example], str]:
    """For a model that says values."""
    labelled = bool(labels_of(examples))
    names: tuple[str, ...] = dataset.object.class_names if labelled else ()
    found = [valued(example, names) for example in examples]
    lost = labelled and all(example.value is None for example in found)
    return found, "the model says values, and the labels are no numbers: they are left out" if lost else ""


def _written(example: Example) -> str:
    """All that a row has of texts."""
    parts = (example.id, example.text, example.pair, example.good, example.bad)
    return "".join(part for part in parts if part)


def _reason(example: Example, error: BaseException) -> str:
    """Why a text cannot be read, as a sentence's end that can be printed."""
    text = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    begin = f"text {example.id!r} "
    if text.startswith(begin):
        words = f"its text {text.removeprefix(begin)}"
    elif isinstance(error, UserError):
        words = text
    elif any("\ud800" <= letter <= "\udfff" for letter in _written(example)):
        words = "it has half of a character (a surrogate without its other half)"
    else:
        words = f"it cannot be read: {text}"
    return words.encode("utf-8", "backslashreplace").decode()
