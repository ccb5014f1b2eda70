"""What scores that change what another one sees share: it is named by its spec, and what holds of it holds of them.

They take `inner`, `limits` (as their `range`) and `version` into their class, and have a field `score`.
"""

from functools import cached_property
from typing import Any

from faithbench.plugins import spec
from faithbench.plugins.spec import Component


def build_inner(self: Any) -> None:
    """Builds the other score, once, and states it with all its parameters.

    Raises:
        UserError: there is none of that spec.
    """
    built = spec.build("score", self.score)
    object.__setattr__(self, "score", built.identity)
    object.__setattr__(self, "inner", built)


def _inner(self: Any) -> Component:
    """The other score."""
    return spec.build("score", self.score)


def _limits(self: Any) -> tuple[float, float] | None:
    """The range of the other score."""
    ends: tuple[float, float] | None = self.inner.traits.range
    return ends


def _version(self: Any) -> int:
    """As the other score."""
    number: int = self.inner.traits.version
    return number


inner = cached_property(_inner)
limits = property(_limits)
version = property(_version)
