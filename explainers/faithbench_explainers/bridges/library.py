"""Running other people's explainers: is the library there, can it be called so, and a text as a game of its tokens."""

import inspect
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, UInt32

from faithbench.errors import QuestionError, UserError, unknown
from faithbench.interfaces import Classifier
from faithbench.plugins import spec
from faithbench.questions import Row
from faithbench.types import Attribution, Target, Text

PLAIN = (bool, int, float, str)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_installed(explainer: str, package: str) -> None:
    """Raises a ValueError that says how to install a package that is not there; does not import it."""
    if find_spec(package) is None:
        raise ValueError(f"explainer {explainer} needs the package {package}: pip install 'faithbench[{package}]'")


def library(explainer: str, module: str) -> ModuleType:
    """A module of a library that only some people have, imported now.

    Raises:
        ValueError: it is not installed, or cannot be imported.
    """
    check_installed(explainer, module.partition(".")[0])
    try:
        return import_module(module)
    except Exception as error:  # whatever a broken installation raises
        raise ValueError(f"explainer {explainer} cannot import {module} ({type(error).__name__}: {error}).") from error


def parse(field: str, text: str) -> tuple[str, dict[str, object]]:
    """A class and its parameters, in the order of their names, from a text such as `Lime(n_samples=500)`.

    Raises:
        ValueError: the text has another form.
    """
    try:
        name, positional, named = spec.parse(text)
    except UserError as error:
        raise ValueError(f"{field}: {error}") from error
    if positional:
        raise ValueError(f"{field}={text!r} is not allowed; its parameters must be given by name.")
    return name, dict(sorted(named.items()))


def parameters(function: Callable[..., object]) -> dict[str, object]:
    """The named parameters of a function, of a class (its constructor's) or of a method, with their defaults."""
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in found if each.kind in NAMED and each.name != "self"}


def required(function: Callable[..., object]) -> list[str]:
    """The named parameters that have no default."""
    return [name for name, default in parameters(function).items() if default is inspect.Parameter.empty]


def check_call(
    whose: str,
    made: Callable[..., object],
    called: Callable[..., object],
    given: Collection[str],
    ours: Collection[str],
) -> None:
    """Raises a ValueError unless a user may give these parameters to a class (`made`) or its method (`called`).

    A constructor's parameters may be given where their default is a plain value; `ours` may not, faithbench sets them.
    """
    allowed = [*parameters(called), *(name for name, default in parameters(made).items() if isinstance(default, PLAIN))]
    for name in given:
        if name in ours:
            raise ValueError(f"{whose}: {name} cannot be given; faithbench sets it.")
        if name not in allowed:
            raise ValueError(str(unknown(f"parameter of {whose}", name, set(allowed) - set(ours))))
    missing = [name for name in required(called) if name not in given and name not in ours]
    if missing:
        raise ValueError(f"{whose} needs {' and '.join(missing)}.")


def split(
    called: Callable[..., object], arguments: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """The constructor's arguments, and those of the method."""
    method = parameters(called)
    return (
        {name: value for name, value in arguments.items() if name not in method},
        {name: value for name, value in arguments.items() if name in method},
    )


def masked_logits(
    classifier: Classifier, text: Text, present: Bool[np.ndarray, "variants content"]
) -> Float[np.ndarray, "variants classes"]:
    """Logits where absent content tokens are replaced by the mask token; in smaller batches if memory is short."""
    keep = np.ones((len(present), len(text)), dtype=bool)
    keep[:, text.content] = present
    rows = np.where(keep, text.ids, text.mask_id)
    found: list[np.ndarray] = []
    size, done = max(1, classifier.batch_tokens // len(text)), 0
    while done < len(rows):
        try:
            some = [Row(row, text.types, None, text.outputs, text.candidates) for row in rows[done : done + size]]
            found.append(classifier.logits(some))
            done += size
        except MemoryError:
            if size == 1:
                raise
            size //= 2
    return np.concatenate(found)


def placed(text: Text, content: Float[np.ndarray, "content"]) -> Float[np.ndarray, "tokens"]:
    """Scores of content tokens as scores of all tokens; 0 for special ones."""
    scores = np.zeros(len(text))
    scores[text.content] = content
    return scores


def check_target(classifier: Classifier, target: int) -> None:
    """Raises a QuestionError for a class that the model has not."""
    if not 0 <= target < classifier.classes:
        raise QuestionError(f"target {target} is not one of {classifier.classes} classes")


def entropy(seed: int, text: Text) -> UInt32[np.ndarray, "8"]:
    """What to seed a generator with, so that its numbers depend on the seed and the text's id alone."""
    return np.random.SeedSequence([seed, zlib.crc32(text.id.encode())]).generate_state(8)


@contextmanager
def own_chance() -> Iterator[None]:
    """After it, numpy's global generator is in the state in which it was before."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def attribution(text: Text, target: Target, scores: Float[np.ndarray, "tokens"], origin: str) -> Attribution:
    """An attribution of what a library gave.

    Raises:
        QuestionError: it gave no finite numbers.
    """
    if not np.isfinite(scores).all():
        raise QuestionError(f"{origin} gives scores that are not finite numbers (NaN or infinity)")
    return Attribution(text.id, target, scores)
