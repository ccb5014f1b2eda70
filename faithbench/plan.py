"""A plan: which data sets, models, explainers and metrics to cross, and how to train models that are not there yet."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from faithbench.errors import UserError, short, unknown
from faithbench.file_names import slug
from faithbench.paths import as_names, as_path
from faithbench.schemas import read_toml
from faithbench.shown import is_unicode
from faithbench.types import SPLITS

MOST_BYTES = 2**20  # bytes of a plan
MIXED, TF32, AUTO = "bf16-mixed", "tf32", "auto"  # precisions of forward rows alone; one that is chosen for each model
DTYPES = ("float32", "float64", "bfloat16", "float16", MIXED, TF32)
PRECISIONS = ("float32", "bf16")  # of training, that may also be `AUTO`
MOST_WORKERS = 64  # of a data loader
SPEED = ("gradient_accumulation_steps", "dataloader_num_workers")  # settings of training that make no other model
LISTS = ("datasets", "models", "explainers", "metrics", "like")
PLANS = "plan*.toml"  # the files of a board
OPEN = "{backbone}"
LARGEST = 2**63 - 1  # what TOML can hold
TABLES_OF_PAPER = ("table2", "table3", "table4", "table5", "table6", "table7", "table8")
DECODERS = "decoders"  # a table of ours, in the place of the paper's that is not obtainable
CRATE = "crate"  # Table 2 of arXiv 2410.16443, on neurons
TABLES = (*TABLES_OF_PAPER, DECODERS, CRATE)
FIGURES_OF_PAPER = ("figure2", "figure5", "figure6", "figure13")
PROTOCOLS = ("strict", "paper")


@dataclass(frozen=True)
class Training:
    """How to train. None means: what the model and the data set suggest.

    For classifiers that is a rate of 2e-5 (AG News: 3e-5; tiny: 2e-3) and 5 epochs (tiny: 4), for language models 3e-3
    (after B-cos conversion of a trained one 5e-4) and 1 epoch (tiny ones that are not of B-cos: 2).

    `SPEED` names the settings that are no part of a checkpoint's identity.

    Args:
        epochs: passes over the training split.
        limit: training texts used, drawn at random; None for all.
        lr: peak learning rate; linear schedule with 10 % warm-up.
        batch_size: texts a step.
        max_length: tokens a text is cut to, then and whenever the model reads one; of language models, which cut no
            text, the most of a block.
        eval_limit: validation and test texts that accuracies are measured on, drawn at random; None for all.
        precision: `bf16` computes in bfloat16 where autocast does so, with weights, losses and optimizer in float32;
            `auto` is that for language models on a CUDA device that has bfloat16, and `float32` everywhere else.
        gradient_accumulation_steps: parts in which a batch is read, for less memory; a step is of `batch_size` texts
            all the same.
        dataloader_num_workers: processes that put batches together while others are computed.
    """

    epochs: int | None = None
    limit: int | None = None
    lr: float | None = None
    batch_size: int = 16
    max_length: int = 512
    eval_limit: int | None = None
    precision: str = AUTO
    gradient_accumulation_steps: int = 1
    dataloader_num_workers: int = 0

    def __post_init__(self) -> None:
        counts = ("epochs", "limit", "batch_size", "max_length", "eval_limit", "gradient_accumulation_steps")
        for name in counts:
            _check_count(name, getattr(self, name))
        _check_workers(self.dataloader_num_workers)
        if self.precision not in (AUTO, *PRECISIONS):
            allowed = " or ".join((AUTO, *PRECISIONS))
            raise UserError(f"precision={short(self.precision)} is not allowed; use {allowed}.")
        if self.gradient_accumulation_steps > self.batch_size:
            raise UserError(
                f"gradient_accumulation_steps={self.gradient_accumulation_steps} is not allowed: a batch of "
                f"batch_size={self.batch_size} texts has no more parts than texts."
            )
        if self.lr is not None and (type(self.lr) not in (int, float) or not 0 < self.lr < math.inf):
            raise UserError(f"lr={short(self.lr)} is not allowed; it must be positive.")

    @property
    def recipe(self) -> "Training":
        """The same without what makes no other model, only a faster training or one in less memory."""
        return replace(self, **{name: getattr(Training, name) for name in SPEED})

    def differences(self, other: "Training | Mapping[str, object]") -> list[tuple[str, object, object]]:
        """The settings of the recipe that another training has otherwise: name, value here, value there.

        Of a report, what it does not name has its default, and the precision is float32. Where it is `auto` here, any
        will do.
        """
        usual = asdict(Training(precision="float32"))
        there = asdict(other) if isinstance(other, Training) else {**usual, **other}
        mine = {name: value for name, value in asdict(self).items() if name not in SPEED and value != AUTO}
        return [(name, value, there[name]) for name, value in mine.items() if there[name] != value]


@dataclass(frozen=True)
class Plan:
    """The grid. Components are spec texts; empty explainers or metrics mean all that are installed and fit.

    Args:
        datasets: specs, or paths of files with `text` and `label`.
        models: specs, checkpoint folders, or hub ids (`owner/name@revision`).
        explainers: specs.
        metrics: specs.
        protocol: set on every metric and explainer that has it and does not say otherwise.
        split: of the data sets.
        limit: texts used of each data set: the first of a fixed random order, so a larger limit contains a smaller.
        dtype: precision of the models; `auto` is chosen for each model and data set (docs/precision.md).
        drift: points by which a precision that `auto` chooses may move a text's scores, on average.
        training: for models that have to be fine-tuned first.
        like: published tables and figures that the plan repeats, such as `table2`, or `decoders` or `crate`: `run`
            prints the tables, and `board build` writes them.
        until: texts are added until the intervals of the leading differences are at most so wide, in the metrics'
            units, or there are as many as `limit`; None for all that `limit` takes (docs/statistics.md).
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    explainers: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    protocol: str | None = None
    split: str = "test"
    limit: int | None = None
    dtype: str = "float32"
    drift: float = 0.5
    training: Training = field(default_factory=Training)
    like: tuple[str, ...] = ()
    until: float | None = None

    def __post_init__(self) -> None:
        for name in LISTS:
            object.__setattr__(self, name, as_names(name, getattr(self, name)))
        for name in ("datasets", "models"):
            if not getattr(self, name):
                raise UserError(f"a plan needs {name}; it has none.")
            if not all(text.strip() for text in getattr(self, name)):
                raise UserError(f"a plan's {name} need a name each; one is empty.")
        for text in (text for name in LISTS for text in getattr(self, name)):
            if not is_unicode(text):
                raise UserError(f"{text!r} is not allowed in a plan: it is not in UTF-8; rename what it names.")
        for name in self.like:
            if name not in TABLES + FIGURES_OF_PAPER:
                raise unknown("table or figure of the paper", name, TABLES + FIGURES_OF_PAPER)
        _check_count("limit", self.limit)
        if type(self.drift) not in (int, float) or not 0 < self.drift < math.inf:
            raise UserError(f"drift={short(self.drift)} is not allowed; it must be a number above 0.")
        choices = (("dtype", (*DTYPES, AUTO)), ("split", SPLITS), ("protocol", (*PROTOCOLS, None)))
        for name, value, allowed in ((name, getattr(self, name), allowed) for name, allowed in choices):
            if value not in allowed:
                raise UserError(f"{name}={short(value)} is not allowed; use {' or '.join(filter(None, allowed))}.")
        if self.until is not None and (type(self.until) not in (int, float) or not 0 < self.until <= LARGEST):
            raise UserError(f"until={short(self.until)} is not allowed; it must be a number above 0, such as 2.0.")
        _check_training(self.training)


def changed(plan: Plan, values: Mapping[str, object], training: Mapping[str, object]) -> Plan:
    """The plan with other values, as far as they are said.

    Args:
        plan: what is changed.
        values: of the plan; None, or nothing in a list, for what it has.
        training: of its training, likewise.

    Raises:
        UserError: a value is not allowed.
    """
    return replace(plan, **_said(values), training=replace(plan.training, **_said(training)))


def _said(values: Mapping[str, object]) -> dict[str, Any]:
    said = {name: value for name, value in values.items() if value is not None and value != []}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def _check_count(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise UserError(f"{name}={short(value)} is not allowed; it must be positive and whole.")
    if isinstance(value, int) and value > LARGEST:
        raise UserError(f"{name} is not allowed to be larger than {LARGEST:,}.")


def _check_workers(value: object) -> None:
    if type(value) is not int or not 0 <= value <= MOST_WORKERS:
        raise UserError(f"dataloader_num_workers={short(value)} is not allowed; use 0 to {MOST_WORKERS}.")


def read_plan(path: Path | str, backbone: str | None = None) -> Plan:
    """A plan from a TOML file.

    A file may leave the backbone open: `{backbone}` in its data sets and models, and a key `backbone` with the usual
    one.

    Args:
        path: the file.
        backbone: instead of the usual one.

    Raises:
        UserError: the file cannot be read, is not TOML, or has unknown or missing keys; or no backbone is open in it.
    """
    path = as_path("path", path)
    try:
        data = read_toml(path, MOST_BYTES)
    except UserError as error:
        raise UserError(f"plan {error}") from error
    chosen = _backbone(path, data, backbone)
    _check_keys(str(path), data, Plan)
    training = data.pop("training", {})
    if not isinstance(training, dict):
        raise UserError(f"plan {path}: training must be a table.")
    _check_keys(f"{path} [training]", training, Training)
    for name in LISTS:
        values = data.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise UserError(f"plan {path}: {name} must be a list of strings.")
        data[name] = tuple(value.replace(OPEN, chosen) for value in values)
    try:
        return Plan(**data, training=Training(**training))
    except UserError as error:
        raise UserError(f"plan {path}: {error}") from error
    except TypeError as error:
        raise UserError(f"plan {path} has a value of the wrong type: {error}.") from error


def _backbone(path: Path, data: dict[str, object], wanted: str | None) -> str:
    """What stands for `{backbone}`; takes the key out."""
    usual = data.pop("backbone", None)
    chosen = usual if wanted is None else wanted
    is_open = OPEN in repr(data)
    if is_open and chosen is None:
        raise UserError(f"plan {path} holds {OPEN}, and no backbone was given.")
    if not is_open and chosen is not None:
        raise UserError(f"plan {path} holds no {OPEN} for backbone={short(chosen)}.")
    if chosen is not None and not (isinstance(chosen, str) and chosen):
        raise UserError(f"plan {path}: backbone={short(chosen)} is not allowed; it must be a name.")
    return chosen or ""


def plan_files(path: Path) -> list[Path]:
    """A plan's file, or all of a board's: its `plan….toml` in alphabetical order.

    Raises:
        UserError: the folder has none, or the system knows no such path.
    """
    path = as_path("plan", path)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(PLANS))
    if not found:
        raise UserError(f"folder {path} has no plan….toml.")
    return found


def run_folder(path: Path, backbone: str | None = None) -> Path:
    """Where a plan's run goes: `runs/<folder>` for all `plan….toml` of one, else `runs/<folder>-<file>-<backbone>`."""
    folder = (path if path.is_dir() else path.parent).resolve().name
    if path.is_dir() or path.stem.startswith("plan"):
        return Path("runs") / folder
    return Path("runs") / "-".join(filter(None, (folder, path.stem, slug(backbone) if backbone else "")))


def write_plan(plan: Plan) -> str:
    """The plan as TOML; what is left to the default is left out."""
    data, usual = asdict(plan), {field.name: field.default for field in fields(Plan)}
    training = {key: value for key, value in data.pop("training").items() if value != getattr(Training(), key)}
    said = {key: value for key, value in data.items() if value != usual[key]}
    if OPEN in repr(data):  # as a name of its own
        said["backbone"] = OPEN
    return tomli_w.dumps(said | ({"training": training} if training else {}))


def _check_training(training: object) -> None:
    if not isinstance(training, Training):
        raise UserError(
            f"training={short(training)} is not allowed; it must be a faithbench.Training, such as Training(epochs=2)."
        )


def _check_keys(where: str, data: Mapping[str, object], kind: type) -> None:
    known = [f.name for f in fields(kind)]
    for key in data:
        if key not in known:
            raise unknown(f"key of plan {where}", key, known)
