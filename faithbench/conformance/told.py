"""The traits that a component under check states."""

from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.plugins.traits import read_traits


def traits_of(kind: str, component: object) -> Traits:
    """Its traits.

    Raises:
        AssertionError: one of them is not what it must be.
    """
    try:
        return read_traits(kind, component, repr(component))
    except UserError as error:
        raise AssertionError(str(error)) from error
