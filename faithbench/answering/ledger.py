"""What a conversation has asked of a model: its rows, numbered as they came, and what is known of them."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.answering.rows import Key, Rowset
from faithbench.errors import QuestionError


class Ledger:
    """The rows of one lane.

    Args:
        stacked: whether answers are numbers of one shape, which are kept below each other.
    """

    def __init__(self, stacked: bool) -> None:
        self.stacked = stacked
        self.count = self.askers = 0  # rows; questions that wait for answers
        self._open: Bool[np.ndarray, "rows"] = np.zeros(0, dtype=bool)
        self._followers: dict[int, list[object]] = {}  # who else waits for a row than the one who asked first
        self.refused: dict[int, QuestionError] = {}
        self._seconds: Float[np.ndarray, "rows"] = np.zeros(0)
        self._answers: np.ndarray | None = None
        self._values: dict[int, object] = {}
        self._numbers: dict[Hashable, dict[Key, int]] = {}  # of the rows of each family
        self._wholes: dict[Hashable, int] = {}  # of texts as they are, of whatever family

    def enter(self, rows: Rowset) -> tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "new"]]:
        """The numbers of rows, and the places of those that are new."""
        new: list[int] = []
        numbers = self._numbers.setdefault(rows.family, {})
        if rows.whole is not None and rows.text in self._wholes:
            numbers.setdefault(rows.whole, self._wholes[rows.text])
        for place, key in enumerate(rows.keys):
            if key not in numbers:
                numbers[key] = self.count + len(new)
                new.append(place)
        if rows.whole in numbers:
            self._wholes[rows.text] = numbers[rows.whole]
        self.count += len(new)
        return np.fromiter(map(numbers.__getitem__, rows.keys), np.intp, len(rows.keys)), np.array(new, np.intp)

    def follow(self, follower: object, numbers: Int[np.ndarray, "rows"], new: Int[np.ndarray, "new"]) -> int:
        """Has somebody wait for those of these rows that are asked already and not answered yet; how many these are.

        Args:
            follower: who is to be told by `put`, once for each row.
            numbers: of rows.
            new: places of those that nobody has asked before.
        """
        if len(self._open) < self.count:
            held, self._open = self._open, np.zeros(2 * self.count, dtype=bool)
            self._open[: len(held)] = held
        awaited = np.unique(numbers[known]).tolist() if (known := self._open[numbers]).any() else []
        self._open[numbers[new]] = True
        for number in awaited:
            self._followers.setdefault(number, []).append(follower)
        return len(awaited)

    def put(
        self, numbers: Int[np.ndarray, "some"], answers: Sequence[object] | np.ndarray, seconds: float
    ) -> list[object]:
        """Takes answers to some of the rows, each of which took so long; those that `follow` one of them, for each."""
        if len(self._open):
            self._open[numbers] = False
        self._keep(numbers, answers, seconds)
        if not self._followers:
            return []
        return [follower for number in numbers.tolist() for follower in self._followers.pop(number, ())]

    def _keep(self, numbers: Int[np.ndarray, "some"], answers: Sequence[object] | np.ndarray, seconds: float) -> None:
        if len(held := self._seconds) < self.count:
            self._seconds = np.zeros(2 * self.count)
            self._seconds[: len(held)] = held
        self._seconds[numbers] = seconds
        if isinstance(answers, np.ndarray):
            self._room(answers)[numbers] = answers
            return
        for number, answer in zip(numbers.tolist(), answers, strict=True):
            if isinstance(answer, QuestionError):
                self.refused[number] = answer
            elif self.stacked:
                array: Any = answer
                self._room(array[None])[number] = array
            else:
                self._values[number] = answer

    def refusal(self, numbers: Int[np.ndarray, "some"]) -> QuestionError | None:
        """Of the first of these rows that was refused; None if none was."""
        if not self.refused:
            return None
        return next((self.refused[number] for number in numbers.tolist() if number in self.refused), None)

    def answers(self, numbers: Int[np.ndarray, "some"]) -> np.ndarray | list[object]:
        """Those to these rows, none of which was refused; where they are stacked, the asker's own."""
        if self.stacked:
            assert self._answers is not None
            own: np.ndarray = self._answers[numbers]
            return own
        return [self._values[number] for number in numbers.tolist()]

    def seconds(self, numbers: Int[np.ndarray, "some"]) -> float:
        """What these rows took, whoever asked them first."""
        return float(self._seconds[numbers].sum())

    def _room(self, answers: np.ndarray) -> np.ndarray:
        """An array with a place for each row, of a type that holds the answers."""
        held = self._answers
        if held is None:
            self._answers = np.zeros((self.count, *answers.shape[1:]), answers.dtype)
        elif len(held) < self.count or held.dtype != answers.dtype:
            dtype = np.result_type(held, answers)
            self._answers = np.zeros((max(2 * self.count, len(held)), *held.shape[1:]), dtype)
            self._answers[: len(held)] = held
        assert self._answers is not None
        return self._answers
