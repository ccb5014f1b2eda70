"""What explainers that are made of another one share: it is named by its spec, and what holds of it holds of them.

They take `inner`, `class_sensitive`, `version` and `resolve` into their class, and have a field `explainer`.
"""

from functools import cached_property
from typing import Any

from faithbench.plugins import spec
from faithbench.plugins.spec import Component


def build_inner(self: Any, cure: str) -> None:
    """Builds the other explainer, once: specs inside each other would else be built ever more often.

    Args:
        self: the explainer that is made of it.
        cure: what to do with imported attributions, before they are imported.

    Raises:
        ValueError: it is one that never runs.
    """
    if spec.parse(self.explainer)[0] == "imported":
        raise ValueError(f"imported attributions never run; {cure} before they are imported.")
    built = spec.build("explainer", self.explainer)
    object.__setattr__(self, "explainer", built.identity)
    object.__setattr__(self, "inner", built)


def _inner(self: Any) -> Component:
    """The other explainer."""
    return spec.build("explainer", self.explainer)


def _class_sensitive(self: Any) -> bool:
    """As the other explainer."""
    sensitive: bool = self.inner.traits.class_sensitive
    return sensitive


def _version(self: Any) -> int:
    """As the other explainer."""
    number: int = self.inner.traits.version
    return number


def resolve(self: Any) -> None:
    """Lets the other explainer import what it needs."""
    getattr(self.inner.object, "resolve", lambda: None)()


inner = cached_property(_inner)
class_sensitive = property(_class_sensitive)
version = property(_version)
