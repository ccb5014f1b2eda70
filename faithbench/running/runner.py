"""Runs a plan: crosses data sets and models, and keeps the run's folder."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from faithbench.documents.building import check_judge, ensure
from faithbench.errors import UserError
from faithbench.files import slug
from faithbench.models.zoo import zoo_model
from faithbench.paper.fill import backbone_for
from faithbench.paper.layouts import layout_of
from faithbench.plan import TABLES_OF_PAPER, Plan, Training, write_plan
from faithbench.plugins.naming import build_dataset, resolve, written_out
from faithbench.plugins.spec import Component
from faithbench.records.store import Store
from faithbench.running.grid import Grid, check_fit, choose, fill, offers
from faithbench.running.ground_truth import WITH, WITHOUT, ground_truth_holds, trigger_accuracies
from faithbench.running.scoring import Block, Done
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.fine_tuning import hardware
from faithbench.training.prepare import Prepared, Setup, best_device, check_model, prepare
from faithbench.training.settings import settled, trained_on
from faithbench.types import Text

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
    work = _load(plan, setup)
    store = Store(out or default_folder(plan)).open()
    try:
        for kind in ("attributions", "records"):
            store.read(kind)
        parts = [_run_block(plan, grid, text, store, setup) for grid, text in work]
    except UserError:
        store.discard_if_empty()
        raise
    store.compact()
    totals = (sum(getattr(part, name) for part in parts) for name in ("done", "before", "failed"))
    return Run(store.folder, *totals)


def check(plans: Sequence[Plan], device: str | None = None, train: bool = True) -> None:
    """Looks for mistakes in plans of one run before any data are loaded; arguments as of `run`.

    Raises:
        UserError: a component is not known or cannot be built, a model would have to be trained and may not be, two
            plans train one model in two ways, or the models are not those of the tables that a plan is like.
    """
    trainings: dict[tuple[str, str], Training] = {}
    for plan in plans:
        choose(plan)
        for dataset, text in _pairs(plan, Setup(best_device(device), plan.dtype, plan.training, train)):
            model = zoo_model(text)
            if model:
                base = trained_on(dataset)
                asked = settled(model, base, plan.training)
                first = trainings.setdefault((model.identity, base.identity), asked)
                if first != asked:
                    raise UserError(
                        f"the plans train {model.label} on {base.label} in two ways: {_apart(first, asked)}; give both "
                        "the same [training], or run them into two folders with two caches."
                    )


def _apart(one: Training, other: Training) -> str:
    pairs = zip(asdict(one).items(), asdict(other).values(), strict=True)
    return ", ".join(f"{name}={mine} and {theirs}" for (name, mine), theirs in pairs if mine != theirs)


def _pairs(plan: Plan, setup: Setup) -> list[tuple[Component, str]]:
    """Each data set, made for the model where it depends on it, with each model.

    Raises:
        UserError: a model or judge is not known, or would have to be trained and may not be; or the models are not
            those of the tables that the plan is like.
    """
    named = [build_dataset(text) for text in plan.datasets]
    pairs = [(resolve(dataset, text), text) for dataset in named for text in plan.models]
    for dataset, text in pairs:
        check_model(text, dataset, setup)
    for dataset in {dataset.identity: dataset for dataset, _ in pairs if _depends(dataset)}.values():
        check_judge(dataset, setup)
    models = [written_out(text) for text in plan.models]
    for table in (name for name in plan.like if name in TABLES_OF_PAPER):
        backbone_for(layout_of(table), models)
    return pairs


def _load(plan: Plan, setup: Setup) -> list[tuple[Grid, str]]:
    """Each data set with each model; all mistakes that can be found are found first, then documents are built.

    Raises:
        UserError: there is a mistake, or a data set cannot be built.
    """
    choice = choose(plan)
    pairs = _pairs(plan, setup)
    distinct = {dataset.identity: dataset for dataset, _ in pairs}
    grids = {full: fill(plan, choice, dataset) for full, dataset in distinct.items() if not _depends(dataset)}
    offered = {full: grids[full].offers if full in grids else offers(dataset) for full, dataset in distinct.items()}
    check_fit(plan, choice, [(dataset, offered[full]) for full, dataset in distinct.items()])
    for full, dataset in distinct.items():
        if full not in grids:
            ensure(dataset, plan.split, setup)
            grids[full] = fill(plan, choice, dataset)
    for problem in dict.fromkeys((*choice.left_out, *(line for grid in grids.values() for line in grid.left_out))):
        setup.say(problem)
    return [(grids[dataset.identity], text) for dataset, text in pairs]


def _depends(dataset: Component) -> bool:
    """Whether a data set is built of another's texts with the help of a model."""
    return dataset.traits.for_model


def _run_block(plan: Plan, grid: Grid, text: str, store: Store, setup: Setup) -> Done:
    """One model on one data set."""
    model = prepare(text, grid.dataset, setup)
    texts, cut = encode(model, grid)
    if cut:
        setup.say(f"{cut:,} of {len(texts):,} texts of {grid.dataset.label} were cut to the model's limit.")
    block = Block(grid, model, store, setup)
    _write_plan(store, plan)
    about = {"truncated_texts": cut, "checks": _checks(plan, block)}
    _note(store, block, about)
    done = block.run(texts)
    _note(store, block, about, block.mean_notes())
    return done


def _checks(plan: Plan, block: Block) -> Mapping[str, float]:
    """What tells whether the model uses what was planted in the data; nothing where nothing was."""
    grid, model = block.grid, block.model
    if not grid.dataset.traits.without:
        return {}
    manifest = block.store.manifest()
    entry = manifest.get("models", {}).get(_key(block), {})
    data = manifest.get("datasets", {}).get(grid.dataset.identity, {})
    same = (entry.get("fingerprint"), data.get("fingerprint")) == (
        block.identity["model_fingerprint"],
        grid.fingerprint,
    )
    found: Mapping[str, float] = entry.get("checks", {}) if same else {}
    if not found:
        found = trigger_accuracies(model.classifier, grid.sample, grid.dataset.object.without(plan.split))
    if found and not ground_truth_holds(found):
        block.setup.say(
            f"{model.label} does not rely on what was planted in {grid.dataset.label}, so the ground truth does not "
            f"hold: accuracy {found[WITH]:.1f} % with it, {found[WITHOUT]:.1f} % without."
        )
    return found


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


def encode(model: Prepared, grid: Grid) -> tuple[list[Text], int]:
    """The examples as the model reads them, longest first, and how many of them had to be cut."""
    texts = [model.classifier.encode(example) for example in grid.examples]
    if grid.wants_vocabulary:
        read = {text.id: text for text in texts}
        sample = [read.get(example.id) or model.classifier.encode(example) for example in grid.sample]
        vocabulary = np.concatenate([text.ids[text.content] for text in sample])
        texts = [replace(text, vocabulary=vocabulary) for text in texts]
    return sorted(texts, key=len, reverse=True), sum(text.truncated for text in texts)


def _key(block: Block) -> str:
    return f"{block.model.identity} on {block.grid.dataset.identity}"


def _note(
    store: Store, block: Block, about: Mapping[str, Any], notes: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Writes down what is known of a model on a data set; `notes` once all its texts are scored."""
    grid, model, setup = block.grid, block.model, block.setup
    data = {
        "label": grid.dataset.label,
        "fingerprint": grid.fingerprint,
        "texts": len(grid.examples),
        "split": grid.split,
        "split_texts": grid.split_texts,
        "offers": sorted(grid.offers),
    }
    entry = {
        "label": model.label,
        "fingerprint": block.identity["model_fingerprint"],
        "dtype": setup.dtype,
        "truncated_texts": about["truncated_texts"],
        "hardware": hardware(torch.device(setup.device)),
        "training": dict(model.report),
        "notes": notes or {},
        "checks": dict(about["checks"]),
    }

    def change(manifest: dict[str, Any]) -> None:
        manifest["versions"] = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
        manifest.setdefault("datasets", {})[grid.dataset.identity] = data
        manifest.setdefault("models", {})[_key(block)] = entry

    store.change_manifest(change)
