"""faithbench: can an explanation of a language model be believed?

Everything public is here, loaded on first use so that `import faithbench` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithbench import bcos
    from faithbench.attributions import attribute
    from faithbench.errors import UserError
    from faithbench.listing import components
    from faithbench.models.prepare import train
    from faithbench.plan import Plan, Training, read_plan
    from faithbench.runner import run
    from faithbench.tables import failures, render, table

__all__ = [
    "Plan",
    "Training",
    "UserError",
    "attribute",
    "bcos",
    "components",
    "failures",
    "read_plan",
    "render",
    "run",
    "table",
    "train",
]
_HOMES = {
    "Plan": "faithbench.plan",
    "Training": "faithbench.plan",
    "UserError": "faithbench.errors",
    "attribute": "faithbench.attributions",
    "components": "faithbench.listing",
    "failures": "faithbench.tables",
    "read_plan": "faithbench.plan",
    "render": "faithbench.tables",
    "run": "faithbench.runner",
    "table": "faithbench.tables",
    "train": "faithbench.models.prepare",
}


def __getattr__(name: str) -> Any:
    if name == "bcos":
        return importlib.import_module("faithbench.bcos")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'faithbench' has no attribute {name!r}")
