"""How shape and type annotations are executed in tests."""

import functools
import sys
from typing import Any

import beartype


def checked(function: Any) -> Any:
    """The function, or the class, with its annotations checked."""
    target = getattr(sys.modules["faithbench.types"], "Target", None)  # None while that module is being loaded
    return beartype.beartype(function, conf=_configuration(target))


@functools.cache
def _configuration(target: Any) -> beartype.BeartypeConf:
    """Tests may name a target by its output's number: everything that takes one makes a `Target` of it."""
    overrides = {} if target is None else {target: target | int}
    return beartype.BeartypeConf(hint_overrides=beartype.BeartypeHintOverrides(overrides))
