"""Answers of raters, from files that anybody may have written, checked against the key of their study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from typing_extensions import TypedDict

from faithbench.errors import UserError, brief, short
from faithbench.schemas import read_json
from faithbench.studies.key import LEAST, MOST, QUESTIONS, Key


class Answers(TypedDict):
    """What one rater has answered: a rating for each question of each explanation, by the explanation's name."""

    format: Literal[1]
    study: str
    rater: int
    consent: Literal[True]
    answers: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Ratings:
    """All ratings of a study, by question; NaN where there is none. `raters` are the numbers of those who answered."""

    raters: tuple[int, ...]
    of: Mapping[str, Float[np.ndarray, "raters texts methods"]]


def read_answers(paths: Sequence[Path], key: Key) -> Ratings:
    """The ratings in files of answers.

    Args:
        paths: of the files, one a rater.
        key: of the study.

    Raises:
        UserError: a file cannot be read, is of another study, of a rater whose answers another file holds, or rates
            what was not asked; or there is no rating in any.
    """
    read = {path: _read(path, key) for path in dict.fromkeys(paths)}
    files: dict[int, Path] = {}
    for path, answers in read.items():
        if answers["rater"] in files:
            raise UserError(f"{files[answers['rater']]} and {path} are both of rater {answers['rater']}; give one.")
        files[answers["rater"]] = path
    raters = tuple(sorted(rater for rater, path in files.items() if any(read[path]["answers"].values())))
    if not raters:
        raise UserError("the answers hold no ratings.")
    given = [read[files[rater]]["answers"] for rater in raters]
    return Ratings(
        raters, {question: np.stack([_array(own, key, question) for own in given]) for question in QUESTIONS}
    )


def _read(path: Path, key: Key) -> Answers:
    answers = read_json(path, Answers)
    if answers["study"] != key["study"]:
        raise UserError(f"{path} is of study {brief(repr(answers['study']), 40)}, and this one is {key['study']}.")
    if not 1 <= answers["rater"] <= key["raters"]:
        raise UserError(f"{path}: rater is {short(answers['rater'])}, and the study has 1 to {key['raters']}.")
    known = {name for item in key["items"] for name in item["explanations"]}
    for name, ratings in answers["answers"].items():
        if name not in known:
            raise UserError(f"{path} rates {short(name)}, which is no explanation of the study.")
        for question, rating in ratings.items():
            if question not in QUESTIONS:
                raise UserError(f"{path}: {short(question)} is not asked; the questions are {' and '.join(QUESTIONS)}.")
            if not LEAST <= rating <= MOST:
                raise UserError(f"{path}: a rating is {short(rating)}; ratings go from {LEAST} to {MOST}.")
    return answers


def _array(answers: Mapping[str, Mapping[str, int]], key: Key, question: str) -> Float[np.ndarray, "texts methods"]:
    return np.array(
        [[answers.get(name, {}).get(question, np.nan) for name in item["explanations"]] for item in key["items"]],
        dtype=np.float64,
    )
