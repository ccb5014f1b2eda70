"""The key of a study: which explanation is whose. Its name is a digest of all it says, so that nothing can be changed.

The questionnaire and every answer carry the name; whoever rates sees no more than that.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from faithbench.errors import UserError
from faithbench.schemas import MissingFileError, read_json

NAME = "key.json"
ASKED = {  # what is asked, and what the ends of the scale mean; the words of the paper are not known here
    "interpretability": (
        "How well can you see from the marked words why the model gave this answer?",
        "not at all",
        "very well",
    ),
    "agreement": ("How far do you agree with the marked words as reasons for this answer?", "not at all", "fully"),
}
QUESTIONS = tuple(ASKED)
LEAST, MOST = 1, 5  # ratings
LIMITS = {"items": (1, 1000), "raters": (1, 100), "seed": (0, 2**32 - 1)}
DIGITS = 16  # of a study's name


class KeyMethod(TypedDict):
    """An explainer of a model."""

    model: str
    model_fingerprint: str
    explainer: str
    label: str


class KeyItem(TypedDict):
    """A text, the class that was explained, its label, and an explanation's name for each method, in their order."""

    item: str
    text_id: str
    predicted: str
    label: str | None
    explanations: list[str]


class Key(TypedDict):
    """Everything that a study is; `asked` are the words of its questions."""

    format: Literal[1]
    study: str
    made_by: str
    dataset: str
    dataset_fingerprint: str
    seed: int
    raters: int
    asked: dict[str, str]
    methods: list[KeyMethod]
    items: list[KeyItem]
    notes: list[str]


def digest(key: Key) -> str:
    """The name of a study: a hash of everything else in its key."""
    content = {name: value for name, value in key.items() if name != "study"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


def written(key: Key) -> str:
    """The key as a file."""
    return json.dumps(key, indent=2) + "\n"


def read_key(folder: Path) -> Key:
    """The key in a study's folder.

    Raises:
        UserError: there is none, or it is not what the study was made with.
    """
    path = folder / NAME
    try:
        key = read_json(path, Key)
    except MissingFileError as error:
        raise UserError(f"{folder} is not a study: it has no {NAME}; `faithbench study make RUN` makes one.") from error
    if digest(key) != key["study"]:
        raise UserError(f"{path} has been changed since the study was made: what it says has another digest.")
    fault = _fault(key)
    if fault is not None:
        raise UserError(f"{path} is no key of a study: {fault}.")
    return key


def _fault(key: Key) -> str | None:
    """What no study has, since a digest can be written by anybody."""
    names = [name for item in key["items"] for name in item["explanations"]]
    if any(len(item["explanations"]) != len(key["methods"]) for item in key["items"]):
        return "a text has not one explanation for each method"
    if len(key["methods"]) < 2 or not names or len(set(names)) < len(names):
        return "it names fewer than two methods, no text, or an explanation twice"
    if not all(LIMITS[name][0] <= value <= LIMITS[name][1] for name, value in _numbers(key).items()):
        return f"{' or '.join(_numbers(key))} is out of its range"
    return None


def _numbers(key: Key) -> dict[str, int]:
    return {"items": len(key["items"]), "raters": key["raters"], "seed": key["seed"]}
