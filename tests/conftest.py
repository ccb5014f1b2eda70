"""One torch thread, and shape annotations executed wherever they can be.

Left out are the modules that speak of Protocols, which cannot be checked at run time, the adapter, whose rows share the
axis name `tokens` though each has its own length, and `bcos.modules`, where an argument has the computed axis `2*d`.
"""

import os
import shutil
import tempfile

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

SESSION = "FAITHBENCH_TESTS"  # names the folder of tests/support/fixtures_run.py
CHECKED = ["types", "questions", "models.frozen", "architectures.finding", "bcos.convert"]

settings.register_profile("faithbench", deadline=None, derandomize=True, database=None)
settings.load_profile("faithbench")
torch.set_num_threads(1)
install_import_hook([f"faithbench.{name}" for name in CHECKED], "shapes.checked")
install_import_hook(
    ["faithbench_describers", "faithbench_explainers", "faithbench_metrics", "faithbench_scores"], "shapes.checked"
)


def pytest_configure(config: pytest.Config) -> None:
    """A folder for what is made once a session; workers inherit its name."""
    if not hasattr(config, "workerinput"):
        os.environ[SESSION] = tempfile.mkdtemp(prefix="faithbench-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SESSION), ignore_errors=True)
