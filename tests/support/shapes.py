"""How shape and type annotations are executed in tests."""

import functools
import sys
from typing import Any

import beartype

PROTOCOLS = ("Classifier", "WhiteBox")  # of `faithbench.interfaces`, in annotations that are executed


def checked(function: Any) -> Any:
    """The function, or the class, with its annotations checked."""
    target = getattr(sys.modules["faithbench.types"], "Target", None)  # None while that module is being loaded
    interfaces = sys.modules.get("faithbench.interfaces")
    protocols = tuple(each for name in PROTOCOLS if (each := getattr(interfaces, name, None)) is not None)
    return beartype.beartype(function, conf=_configuration(target, protocols))


@functools.cache
def _configuration(target: Any, protocols: tuple[Any, ...]) -> beartype.BeartypeConf:
    """What tests may give: anything for a protocol, which cannot be checked, and for a target its output's number.

    Everything that takes a target makes a `Target` of it.
    """
    overrides = dict.fromkeys(protocols, object) | ({} if target is None else {target: target | int})
    return beartype.BeartypeConf(hint_overrides=beartype.BeartypeHintOverrides(overrides))
