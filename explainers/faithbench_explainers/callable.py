"""Anybody's function as an explainer."""

import inspect
from collections.abc import Callable as Function
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from faithbench.plugins.references import check_reference, imported
from faithbench.tokens import spread
from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class Callable:
    """Scores from a function `texts -> list of score arrays`, called with one text (a string) at a time.

    An array has a score for each token of the model, special tokens included or left out, or for each word. If the
    function has a parameter `targets`, it is given the list of classes to explain; otherwise its scores are taken to be
    the same for every class. A run does not notice that a function has changed: give the run another folder then.

    Args:
        function: `package.module:function`. It is imported when something is explained, and not before: naming, listing
            and checking what a plan or record says runs nobody's code.
    """

    function: str

    def __post_init__(self) -> None:
        check_reference("function", self.function)

    def resolve(self) -> None:
        """Imports the function, which nothing but explaining does.

        Raises:
            ValueError: it cannot be imported, or is no function.
        """
        _ = self.called

    @cached_property
    def called(self) -> Function[..., Sequence[object]]:
        """The function itself."""
        return imported("function", self.function)

    @property
    def class_sensitive(self) -> bool:
        """Whether the function is told the class; as long as it has not been imported, it may be."""
        return "called" not in vars(self) or self._takes_targets()

    def _takes_targets(self) -> bool:
        try:
            return "targets" in inspect.signature(self.called).parameters
        except ValueError:  # some built-in functions have none
            return False

    def __call__(self, text: Text, target: Target) -> Attribution:
        self.resolve()
        given = {"targets": [Target.of(target).output]} if self._takes_targets() else {}
        arrays = self.called([text.source], **given)
        if len(arrays) != 1:
            raise ValueError(f"{self.function} gave {len(arrays)} arrays for 1 text")
        scores = np.asarray(arrays[0], dtype=np.float64)
        if scores.ndim != 1:
            raise ValueError(f"{self.function} gave scores of shape {scores.shape}; a list of numbers is needed")
        try:
            return Attribution(text.id, target, spread(text, scores))
        except ValueError as error:
            raise ValueError(f"{self.function} gave {error}") from error
