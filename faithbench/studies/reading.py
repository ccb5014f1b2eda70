"""Reads the answers of a study and says what they show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from rich.text import Text

from faithbench.errors import UserError
from faithbench.paths import as_path, as_paths
from faithbench.schemas import files_of
from faithbench.studies.answers import Ratings, read_answers
from faithbench.studies.document import document
from faithbench.studies.key import Key, read_key
from faithbench.studies.results import (
    UNITS,
    Compared,
    Mean,
    Power,
    Reliability,
    comparisons,
    means,
    powers,
    reliabilities,
)
from faithbench.tables.html import fragment
from faithbench.tables.parts import Part
from faithbench.tables.writers import rendered


@dataclass(frozen=True)
class StudyResults:
    """What people have said: the key, the ratings, and all that is computed of them.

    `unit` is what a pair of the t-tests is: a text, a rater or a rating.
    """

    key: Key
    ratings: Ratings
    unit: str = "text"

    @cached_property
    def means(self) -> list[Mean]:
        """Of each question and method."""
        return means(self.ratings, self.key["seed"])

    @cached_property
    def comparisons(self) -> list[Compared]:
        """Of all pairs of methods, by each question."""
        return comparisons(self.ratings, self.unit)

    @cached_property
    def reliabilities(self) -> list[Reliability]:
        """Krippendorff's α of each question."""
        return reliabilities(self.ratings, self.key["seed"])

    @cached_property
    def powers(self) -> list[Power]:
        """What it takes to show a difference of 0.3, by each question."""
        return powers(self.ratings, len(self.comparisons))

    def frame(self) -> pd.DataFrame:
        """A row for each mean, difference and α: `value` with its interval, what that is `over`, and n.

        `p` is corrected by Bonferroni's method and `p_alone` is not; `effect` is Cohen's d_z.
        """
        return pd.DataFrame([*self._means(), *self._differences(), *self._alphas()])

    def parts(self) -> list[Part]:
        """The results as a table for people."""
        found = self.means, self.comparisons, self.reliabilities, self.powers
        return document(self.key, self.ratings, *found, self.unit)

    def render(self, format: str = "markdown") -> str:
        """The results as text: `markdown`, `latex`, `terminal`, `html`, or `csv`, which is `frame`.

        Raises:
            UserError: another format.
        """
        return rendered(format, self.frame, self.parts)

    def _repr_html_(self) -> str:
        return str(fragment(self.parts()))

    def __rich__(self) -> Text:
        return Text.from_ansi(self.render("terminal"))

    def _label(self, method: int) -> str:
        return self.key["methods"][method]["label"]

    def _means(self) -> Iterator[dict[str, object]]:
        for one in self.means:
            for over, (low, high) in (("texts", one.texts), ("raters", one.raters)):
                yield {
                    "question": one.question,
                    "what": "mean",
                    "method": self._label(one.method),
                    "value": one.value,
                    "low": low,
                    "high": high,
                    "over": over,
                    "n": one.n,
                }

    def _differences(self) -> Iterator[dict[str, object]]:
        for one in self.comparisons:
            yield {
                "question": one.question,
                "what": "difference",
                "method": self._label(one.a),
                "against": self._label(one.b),
                "value": one.difference,
                "low": one.low,
                "high": one.high,
                "over": f"{self.unit}s",
                "n": one.n,
                "t": one.t,
                "p": one.p,
                "p_alone": one.p_alone,
                "effect": one.effect,
            }

    def _alphas(self) -> Iterator[dict[str, object]]:
        for one in self.reliabilities:
            own = {"question": one.question, "over": "texts", "n": one.n}
            yield {**own, "what": "ordinal alpha", "value": one.ordinal, "low": one.low, "high": one.high}
            yield {**own, "what": "interval alpha", "value": one.interval}


def read_study(folder: Path | str, answers: Sequence[Path | str] | None = None, unit: str = "text") -> StudyResults:
    """Reads what people have answered.

    Args:
        folder: of the study, with its key.
        answers: the files that raters have saved; None for all `answers*.json` in the folder.
        unit: what a pair of the t-tests is: `text`, `rater` or `rating`.

    Raises:
        UserError: the folder holds no study, a file is no answer to it, two are of one rater, or there are none.
    """
    if unit not in UNITS:
        raise UserError(f"unit {unit!r} is not known; use {' or '.join(UNITS)}.")
    home = as_path("folder", folder)
    key = read_key(home)
    paths = _found(home) if answers is None else as_paths("answers", answers)
    if not paths:
        raise UserError(f"{home} holds no answers*.json; name the files that the raters have saved.")
    return StudyResults(key, read_answers(paths, key), unit)


def _found(home: Path) -> list[Path]:
    return [path for path in files_of(home) if path.name.startswith("answers") and path.suffix == ".json"]
