"""Runs a plan: crosses data sets and models, and keeps the run's folder."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from faithbench.bcos.train import hardware
from faithbench.block import Block, Done
from faithbench.errors import UserError
from faithbench.grid import Grid, load_grid
from faithbench.models.allocator import keep_freed_memory
from faithbench.models.prepare import Prepared, Setup, best_device, check_model, prepare, slug
from faithbench.plan import Plan, write_plan
from faithbench.store import Store
from faithbench.types import Example, Text

WRITTEN = "# written by faithbench run\n"
PACKAGES = ("faithbench", "torch", "transformers", "numpy")


@dataclass(frozen=True)
class Run:
    """What a run came to: its folder, and how many cells were done now, were there before, and failed."""

    folder: Path
    done: int
    before: int
    failed: int


def run(
    plan: Plan,
    out: Path | None = None,
    device: str | None = None,
    train: bool = True,
    console: Console | None = None,
) -> Run:
    """Runs a plan, or what is left of it.

    Args:
        plan: the grid.
        out: the run's folder; None for `runs/` and a name made of data sets and models.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a named model that has no checkpoint yet may be trained.
        console: where progress goes; None for silence.

    Raises:
        UserError: something in the plan is wrong. What was measured before stays; nothing is half-written.
    """
    keep_freed_memory()
    setup = Setup(best_device(device), plan.dtype, plan.training, train, console)
    grids = [load_grid(plan, text) for text in plan.datasets]
    for grid in grids:
        for problem in grid.left_out:
            setup.say(problem)
        for text in plan.models:
            check_model(text, grid.dataset, setup)
    store = Store(out or default_folder(plan)).open()
    try:
        for kind in ("attributions", "records"):
            store.read(kind)
        parts = [_run_block(plan, grid, text, store, setup) for grid in grids for text in plan.models]
    except UserError:
        store.discard_if_empty()
        raise
    store.compact()
    totals = (sum(getattr(part, name) for part in parts) for name in ("done", "before", "failed"))
    return Run(store.folder, *totals)


def _run_block(plan: Plan, grid: Grid, text: str, store: Store, setup: Setup) -> Done:
    """One model on one data set."""
    model = prepare(text, grid.dataset, setup)
    texts, cut = encode(model, grid.examples)
    if cut:
        setup.say(f"{cut:,} of {len(texts):,} texts of {grid.dataset.short} were cut to the model's limit.")
    block = Block(grid, model, store, setup)
    _write_plan(store, plan)
    _note(store, block, cut)
    done = block.run(texts)
    _note(store, block, cut, block.mean_notes())
    return done


def _write_plan(store: Store, plan: Plan) -> None:
    """Writes the plan into the run's folder, but not over a file that a person wrote."""
    path = store.folder / "plan.toml"
    if not path.exists() or path.read_text(encoding="utf-8").startswith(WRITTEN):
        store.write_text(path.name, WRITTEN + write_plan(plan))


def default_folder(plan: Plan) -> Path:
    """`runs/<data sets>--<models>`, the same for the same command."""
    name = slug("+".join(plan.datasets)) + "--" + slug("+".join(plan.models))
    digest = hashlib.sha256(repr((plan.datasets, plan.models)).encode()).hexdigest()[:8]
    return Path("runs") / (name if len(name) < 100 else f"{name[:90]}-{digest}")


def encode(model: Prepared, examples: Sequence[Example]) -> tuple[list[Text], int]:
    """The examples as the model reads them, longest first, and how many of them had to be cut."""
    texts = [model.classifier.encode(example) for example in examples]
    return sorted(texts, key=len, reverse=True), sum(text.truncated for text in texts)


def _note(store: Store, block: Block, cut: int, notes: Mapping[str, Mapping[str, float]] | None = None) -> None:
    """Writes down what is known of a model on a data set; `notes` once all its texts are scored."""
    grid, model, setup = block.grid, block.model, block.setup
    manifest = store.manifest()
    manifest["versions"] = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    manifest.setdefault("datasets", {})[grid.dataset.full] = {
        "label": grid.dataset.short,
        "fingerprint": grid.fingerprint,
        "texts": len(grid.examples),
    }
    manifest.setdefault("models", {})[f"{model.full} on {grid.dataset.full}"] = {
        "label": model.short,
        "fingerprint": block.identity["model_fingerprint"],
        "dtype": setup.dtype,
        "truncated_texts": cut,
        "hardware": hardware(torch.device(setup.device)),
        "training": dict(model.report),
        "notes": notes or {},
    }
    store.write_text("manifest.json", json.dumps(manifest, indent=2) + "\n")
