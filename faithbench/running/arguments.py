"""Arguments of the Python interface: what a notebook holds as what the package works with, or a sentence on why not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from faithbench.errors import UserError, WrongTypeError
from faithbench.interfaces import Classifier
from faithbench.labels import class_number, listed
from faithbench.types import Example, Target


def examples_of(texts: object) -> list[Example]:
    """An example for each text or pair of texts, numbered from 0; rows of a data set stay as they are.

    Raises:
        WrongTypeError: it is no list, or one of its items is no text, no pair and no row.
        UserError: two rows have one id.
    """
    if isinstance(texts, str):
        raise WrongTypeError(f"texts is one text; give a list: [{_short(texts)}].")
    if isinstance(texts, (bytes, Mapping, AbstractSet)) or hasattr(texts, "columns") or not isinstance(texts, Iterable):
        raise WrongTypeError(f"texts is {_a(texts)}; give a list of texts.")
    items = [*(texts.tolist() if isinstance(texts, np.ndarray) and texts.ndim else texts)]
    found = [_example(index, item) for index, item in enumerate(items)]
    if doubled := [name for name, count in Counter(example.id for example in found).items() if count > 1]:
        raise UserError(f"texts has two rows with the id {_short(doubled[0])}; random numbers depend on it.")
    return found


def _example(index: int, item: object) -> Example:
    if isinstance(item, Example):
        return item
    if isinstance(item, str):
        return Example(str(index), str(item), None)
    if not isinstance(item, (tuple, list)):
        raise WrongTypeError(f"texts[{index}] is {_a(item)}; a text is a str, a pair of texts a tuple of two.")
    if len(item) != 2:
        raise WrongTypeError(f"texts[{index}] has {len(item)} parts; a text is a str, a pair of texts a tuple of two.")
    for place, part in enumerate(item):
        if not isinstance(part, str):
            raise WrongTypeError(f"texts[{index}][{place}] is {_a(part)}; a pair is made of two texts, each a str.")
    return Example(str(index), str(item[0]), None, pair=str(item[1]))


def target_of(
    target: object, classifier: Classifier, names: Sequence[str] | None = None, called: str = "target"
) -> Target | None:
    """The output that is meant by a number, the name of a class, or a target; None for the predicted one.

    Args:
        target: whatever names it.
        classifier: whose outputs there are.
        names: of the classes; None for the classifier's own.
        called: what errors call it.

    Raises:
        WrongTypeError: it is none of these.
        UserError: the model has no such class.
    """
    if target is None:
        return None
    if isinstance(target, str):
        return Target(_named(target, classifier, names, called))
    if isinstance(target, (bool, np.bool_)) or not isinstance(target, (int, np.integer, Target)):
        raise WrongTypeError(f"{called} is {_a(target)}; give the number or the name of a class, or a Target.")
    chosen = Target.of(target if isinstance(target, Target) else int(target))
    for output in (chosen.output, chosen.against):
        if output is not None and not 0 <= output < classifier.classes:
            raise UserError(f"{called}={target!r} is not allowed; the model has classes 0 to {classifier.classes - 1}.")
    return chosen


def _named(target: str, classifier: Classifier, names: Sequence[str] | None, called: str) -> int:
    names = getattr(classifier, "class_names", ()) if names is None else names
    number = class_number(target, names, classifier.classes)
    if number is None:
        own = f"the model's classes are {listed(names)}" if names else "the model's classes have no names"
        last = classifier.classes - 1
        raise UserError(
            f"{called}={_short(target)} is not the name of a class; {own}; they are numbered from 0 to {last}."
        )
    return number


def spec_of(name: str, value: object) -> str:
    """The text of a spec.

    Raises:
        WrongTypeError: it is no text.
    """
    if not isinstance(value, str):
        raise WrongTypeError(f"{name} is {_a(value)}; give its spec, a str such as 'lime' or 'lime(n_samples=500)'.")
    return value


def path_or_name(name: str, value: object) -> str:
    """A path, or what else names a thing, as text.

    Raises:
        WrongTypeError: it is neither.
    """
    if not isinstance(value, (str, Path)):
        raise WrongTypeError(f"{name} is {_a(value)}; give a path or a name.")
    return str(value)


def _a(value: Any) -> str:
    """A value in a sentence: what it is, and for plain ones which."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return str(value)
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return (
        f"{article} {kind} ({_short(value)})"
        if isinstance(value, (int, float, bytes, np.generic))
        else f"{article} {kind}"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
