"""Which class of a model each label of a data set means: by name, by number, or by the data's order."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from faithbench.errors import UserError
from faithbench.types import Example

BOOLEANS = ("false", "true")
SHOWN = 8  # names of each side that an error shows
Classes = Mapping[int, int]  # the model's class for each label


@dataclass(frozen=True)
class Matching:
    """The model's class for each label that occurs, and in a line what had to be assumed for it ("" for nothing)."""

    classes: Classes
    said: str = ""


def match_labels(
    names: Sequence[str], occurring: Collection[int], model_names: Sequence[str], outputs: int
) -> Matching:
    """The model's class for each label that occurs.

    Names come first: as they are, else whatever their case, punctuation and white space. Whole numbers may also be what
    a name of the model begins with, as in "4 stars"; or else they are the model's class numbers, or as many numbers as
    it has classes, in their order. Where the model has no names, those of the data are taken in their order.

    Args:
        names: of the labels 0, 1, … of the data.
        occurring: labels that need a class.
        model_names: of the model's classes; empty where it has only LABEL_0, LABEL_1, ….
        outputs: how many classes the model has.

    Raises:
        UserError: a label means no class of the model; it lists both sides.
    """
    labels = sorted(set(occurring))
    own = tuple(model_names) or tuple(f"LABEL_{number}" for number in range(outputs))
    if (by_name := _of_all({label: class_named(names[label], own) for label in labels})) is not None:
        return Matching(by_name)
    numbers = _numbers(names)
    found = None
    if numbers is not None:
        firsts = _first_numbers(own)
        found = _leading(labels, numbers, firsts) or _numbered(labels, numbers, outputs, shifted=not firsts)
    elif not model_names and len(names) == outputs:
        order = ", ".join(f"{name} = {number}" for number, name in enumerate(names))
        said = f"the model names no classes, so those of the data are taken in their order: {order}"
        found = Matching({label: label for label in labels}, said)
    if found is None:
        raise _mismatch([names[label] for label in labels], model_names, outputs)
    return found


def class_named(name: str, model_names: Sequence[str]) -> int | None:
    """The number of the class with this name: exactly, else whatever its case, punctuation and white space."""
    if name in model_names:
        return model_names.index(name)
    alike = [number for number, other in enumerate(model_names) if folded(other) == folded(name)]
    return alike[0] if len(alike) == 1 and folded(name) else None


def class_called(number: int, names: Sequence[str]) -> str:
    """What people call a class: its name, or `class 3` where it has none."""
    return names[number] if 0 <= number < len(names) and names[number] else f"class {number}"


def class_number(name: str, model_names: Sequence[str], outputs: int) -> int | None:
    """The class that a person means by a name, by `LABEL_1` where classes have no names, or by a number in words."""
    own = tuple(model_names) or tuple(f"LABEL_{number}" for number in range(outputs))
    named = class_named(name, own)
    number = int(name) if re.fullmatch(r"\s*\d{1,9}\s*", name) else outputs
    return named if named is not None or number >= outputs else number


def folded(name: str) -> str:
    """A name without case, punctuation and white space; a number keeps its sign."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    return plain if _is_whole(plain) else "".join(letter for letter in plain if letter.isalnum())


def labels_of(examples: Iterable[Example]) -> set[int]:
    """All labels that occur in examples: their own, several, and those of segments."""
    found: set[int] = set()
    for example in examples:
        found.update(() if example.label is None else (example.label,))
        found.update(example.labels or ())
        found.update(label for _, _, label in example.segments or ())
    return found


def relabelled(example: Example, classes: Classes) -> Example:
    """The example with the model's classes for labels."""
    return replace(
        example,
        label=None if example.label is None else classes[example.label],
        labels=None if example.labels is None else tuple(sorted({classes[label] for label in example.labels})),
        segments=None
        if example.segments is None
        else tuple((start, end, classes[label]) for start, end, label in example.segments),
    )


def valued(example: Example, names: Sequence[str]) -> Example:
    """The example for a model that says values: a label whose name is a number is that value, others are none."""
    numbers = _numbers(names) if example.label is not None and example.value is None else None
    value = example.value if numbers is None or example.label is None else float(numbers[example.label])
    return replace(example, label=None, labels=None, segments=None, value=value)


def listed(names: Sequence[str]) -> str:
    """Names in a row, not too many of them."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The whole numbers that the names are, 0 and 1 for booleans; None where one is none."""
    if names and set(names) <= set(BOOLEANS):
        return [BOOLEANS.index(name) for name in names]
    return [int(name) for name in names] if names and all(map(_is_whole, names)) else None


def _is_whole(name: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,9}", name) is not None


def _of_all(classes: Mapping[int, int | None]) -> dict[int, int] | None:
    """The classes, if each label has one."""
    found = {label: number for label, number in classes.items() if number is not None}
    return found if len(found) == len(classes) else None


def _first_numbers(own: Sequence[str]) -> list[int]:
    """The number that each of the model's names begins with; nothing if one has none, or two have the same."""
    begins = [re.match(r"\s*([+-]?\d{1,9})(?![\d.])", name) for name in own]
    firsts = [int(match[1]) for match in begins if match]
    return firsts if len(set(firsts)) == len(own) else []


def _leading(labels: Sequence[int], numbers: Sequence[int], firsts: Sequence[int]) -> Matching | None:
    """By the number that each of the model's names begins with, if that may be what all of the data's mean."""
    wanted = {label: numbers[label] for label in labels}
    if not {min(numbers), max(numbers), *wanted.values()} <= set(firsts):
        return None
    return Matching({label: firsts.index(number) for label, number in wanted.items()})


def _numbered(labels: Sequence[int], numbers: Sequence[int], outputs: int, shifted: bool) -> Matching | None:
    """As the model's class numbers; else, if they may be shifted, as many numbers as there are classes, in their order.

    The least and the greatest number of the data count as those that occur do: another split may hold them.
    """
    wanted = {label: numbers[label] for label in labels}
    every = {min(numbers), max(numbers), *wanted.values()}
    if every <= set(range(outputs)):
        return Matching(wanted)
    there = (_in_order(every, outputs) or _in_order(set(wanted.values()), outputs)) if shifted else None
    if there is None:
        return Matching(wanted) if set(wanted.values()) <= set(range(outputs)) else None
    words = f"{there[0]} to {there[-1]}" if outputs > 2 else " and ".join(map(str, there))
    classes = f"0 to {outputs - 1}" if outputs > 2 else "0 and 1"
    said = f"labels {words} are read as the model's classes {classes}"
    return Matching({label: there.index(number) for label, number in wanted.items()}, said)


def _in_order(numbers: Collection[int], outputs: int) -> list[int] | None:
    """The numbers that stand for the classes 0, 1, …: from 1 on, −1 and 1, or as many in a row; occurring or not."""
    least, most = min(numbers), max(numbers)
    if least >= 1 and most == outputs:
        return list(range(1, outputs + 1))
    if outputs == 2 and set(numbers) == {-1, 1}:
        return [-1, 1]
    return list(range(least, most + 1)) if most - least + 1 == outputs else None


def _mismatch(names: Sequence[str], model_names: Sequence[str], outputs: int) -> UserError:
    own = listed(model_names) if model_names else f"{outputs} classes without names, LABEL_0 to LABEL_{outputs - 1}"
    return UserError(
        f"the labels are not the model's class names: data: {listed(names)}; model: {own}; give labels the model's "
        f"names, or its class numbers, 0 to {outputs - 1}."
    )
