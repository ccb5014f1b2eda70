"""Attributions that were computed elsewhere, as an explainer: `faithbench import` brings them into a run's folder."""

from dataclasses import dataclass

from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class Imported:
    """Stands for what was imported, and never explains: a run finds the attributions in its folder and measures them.

    Asked for a text for which there are none, it fails, and so do the results that need them.

    Args:
        name: of the method that made them.
        content: hash of scores, classes and text ids, so that changed scores are never taken for the old ones.
    """

    name: str
    content: str

    def __post_init__(self) -> None:
        for key in ("name", "content"):
            value = getattr(self, key)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise ValueError(f"{key}={value!r} is not allowed; it must be a text on one line, such as mymethod.")

    def __call__(self, text: Text, target: Target) -> Attribution:
        raise ValueError("no attribution of this text was imported")
