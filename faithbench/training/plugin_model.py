"""A classifier that somebody's package makes, checked before it is believed."""

from typing import Any, get_args

from faithbench.errors import BrokenModelError, UserError, describe
from faithbench.interfaces import Classifier, Dataset
from faithbench.limits import put_back, state
from faithbench.plugins.spec import Component
from faithbench.tasks import Read
from faithbench.types import LINKS

METHODS = ("encode", "logits", "fingerprint")
COUNTS = ("classes", "batch_tokens", "gradient_cost")
LONGEST = 200  # characters of a fingerprint


def plugin_classifier(model: Component, dataset: Dataset, device: str, dtype: str) -> tuple[Classifier, str]:
    """The classifier that a model component prepares for a data set, and its fingerprint.

    Raises:
        UserError: what the component itself says is wrong.
        BrokenModelError: it fails otherwise, in whatever way, or gives something that is no classifier.
    """
    before = state()
    try:
        found = model.object.prepare(dataset, device=device, dtype=dtype)
        problem = _problem(found)
        fingerprint = "" if problem else found.fingerprint()
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise BrokenModelError(f"model {model.label} cannot be prepared ({describe(error)}).") from error
    finally:
        put_back(before)
    if problem is None and not _is_short(fingerprint):
        problem = "its fingerprint is not a short printable text"
    if problem:
        raise BrokenModelError(f"model {model.label} gives no classifier: {problem}.")
    return found, fingerprint


def _is_short(fingerprint: object) -> bool:
    return isinstance(fingerprint, str) and fingerprint.isprintable() and 0 < len(fingerprint) < LONGEST


def _problem(found: Any) -> str | None:
    """Why something is no classifier; None if it is one."""
    lacking = [name for name in METHODS if not callable(getattr(found, name, None))]
    if lacking:
        return f"a {type(found).__name__} has no method {lacking[0]}"
    counts = {name: getattr(found, name, None) for name in COUNTS}
    if wrong := [name for name, count in counts.items() if type(count) is not int or count < 1]:
        return f"{wrong[0]} is not a whole number from 1"
    task: Any = getattr(found, "task", None)
    if getattr(task, "link", None) not in LINKS or not callable(getattr(task, "targets", None)):
        return f"its task is none with targets and a link, one of {', '.join(LINKS)}"
    if getattr(task, "read", None) not in get_args(Read):
        return "its task reads neither the first position nor the last"
    names = getattr(found, "class_names", None)
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return "class_names is not a tuple of texts"
    return f"it has {found.classes} classes and names {len(names)}" if names and len(names) != found.classes else None
