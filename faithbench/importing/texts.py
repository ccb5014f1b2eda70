"""Finds the text of a data set that an entry of a file means."""

import re
from collections.abc import Sequence
from functools import cached_property

from faithbench.errors import UserError, short
from faithbench.shown import counted
from faithbench.types import Example

NUMBER = re.compile(r"(?:.*-)?([0-9]{1,18})", re.DOTALL)  # `17`, `test-17`


class UnknownTextError(UserError):
    """An entry is about a text that the split does not have."""


class Texts:
    """The texts of a split, by id, by row number and by position."""

    def __init__(self, examples: Sequence[Example], label: str) -> None:
        self.examples, self.label = examples, label
        self.ids = {example.id: example for example in examples}

    def named(self, where: str, name: object) -> Example:
        """The text of an id.

        Raises:
            UserError: there is none.
        """
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise UserError(f"{where}: id {short(name)} is neither text nor a whole number.")
        if str(name) not in self.ids:
            raise UnknownTextError(f"{where}: {short(str(name))} is not the id of a text in {self.label}.")
        return self.ids[str(name)]

    def numbered(self, where: str, number: int) -> Example:
        """The text whose id is this number or ends in it, as `test-17`; where ids are not numbers, its position.

        Raises:
            UserError: there is none.
        """
        if self._numbers is None:
            return self.at(where, number)
        if number not in self._numbers:
            raise UnknownTextError(f"{where}: {number} is not the number of a text in {self.label}.")
        return self._numbers[number]

    def at(self, where: str, position: int) -> Example:
        """The text at a position, counted from 0.

        Raises:
            UserError: there is none.
        """
        if position >= len(self.examples):
            raise UnknownTextError(
                f"{where}: {self.label} has {counted(len(self.examples), 'text')}, none at {position}."
            )
        return self.examples[position]

    @cached_property
    def _numbers(self) -> dict[int, Example] | None:
        """The texts by the number in their id; None if an id has none, or two have the same."""
        found = {int(match[1]): each for each in self.examples if (match := NUMBER.fullmatch(each.id))}
        return found if len(found) == len(self.examples) else None
