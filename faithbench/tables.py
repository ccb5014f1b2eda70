"""Tables: pure functions of records. Every number is a mean over texts, made here and nowhere else."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faithbench import spec
from faithbench.errors import UserError
from faithbench.store import Store

GROUP = ["dataset", "dataset_fingerprint", "model", "model_fingerprint", "explainer", "metric"]
TOLERANCE = 1e-3  # what rounding in another batch may change, in the metrics' units (percent, nats)
Z95 = 1.959964


def table(folders: Sequence[Path | str], by_class: bool = False) -> pd.DataFrame:
    """One row for each data set, model, explainer and metric of the runs.

    Columns: `dataset`, `dataset_fingerprint`, `model`, `model_fingerprint`, `explainer`, `metric` (identities), `mean`,
    `half_width` of its 95 % interval (normal approximation over texts), `n` texts with a value, `undefined` texts
    without, `failed` texts. Of several versions of a component only the latest counts. With `by_class` also `target`,
    the class that was explained, that is the one that the model predicts.

    Raises:
        UserError: a folder is no run, or two runs hold different records of one identity.
    """
    frame = _latest(pd.concat([_records(Path(folder)) for folder in folders], ignore_index=True))
    keys = [*GROUP, "text_id"]
    frame = frame.loc[frame["error"].isna().sort_values().index]  # what failed in one run may have worked in another
    values = frame[frame["error"].isna()].groupby(keys)["value"].agg(["min", "max"])
    apart = values[(values["max"] - values["min"]).abs() > TOLERANCE]
    if not apart.empty:
        cell = dict(zip(keys, apart.index[0], strict=True))
        raise UserError(
            f"the runs hold two different records of {cell['metric']} of {cell['explainer']} on text "
            f"{cell['text_id']!r}: {apart['min'].iloc[0]:.6g} and {apart['max'].iloc[0]:.6g}."
        )
    frame = frame.drop_duplicates(keys, keep="last")
    columns = [*GROUP, "target"] if by_class else GROUP
    rows = [_row(dict(zip(columns, key, strict=True)), group) for key, group in frame.groupby(columns, sort=False)]
    return pd.DataFrame(rows).sort_values(columns, ignore_index=True)


def models(folders: Sequence[Path | str]) -> pd.DataFrame:
    """What the manifests say of the models: test accuracies in percent, training texts, hardware."""
    rows = []
    for folder in folders:
        for name, entry in Store(Path(folder)).manifest().get("models", {}).items():
            training = entry.get("training", {})
            rows.append(
                {
                    "dataset": _short("dataset", name.partition(" on ")[2]),
                    "model": entry["label"],
                    "test accuracy": training.get("test", {}).get("accuracy"),
                    "balanced accuracy": training.get("test", {}).get("balanced_accuracy"),
                    "trained on texts": training.get("texts", {}).get("train"),
                    "texts cut": entry["truncated_texts"],
                }
            )
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


def markdown(folders: Sequence[Path | str], by_class: bool = False) -> str:
    """The runs as Markdown: the models, then for each data set and model a table of explainers against metrics."""
    frame = table(folders, by_class)
    known = models(folders)
    parts = []
    if not known.empty:
        parts.append(known.dropna(axis=1, how="all").to_markdown(index=False, floatfmt=".2f", intfmt=","))
    for (dataset, model), states in frame.groupby(["dataset", "model"], sort=False):
        for (data, weights), group in states.groupby(["dataset_fingerprint", "model_fingerprint"], sort=False):
            ofm = f" (weights {weights})" if states["model_fingerprint"].nunique() > 1 else ""
            ofd = f" (content {data})" if states["dataset_fingerprint"].nunique() > 1 else ""
            title = f"**{_short('model', str(model))}**{ofm} on {_short('dataset', str(dataset))}{ofd}"
            for target, share in group.groupby("target") if by_class else [("", group)]:
                where = f", texts that it takes for class {target}" if by_class else ""
                parts.append(f"{title}{where}\n\n{_grid(share)}")
    parts.extend(_notes(folders))
    parts.append(
        "Means over texts ± half width of the 95 % interval (normal approximation). Comprehensiveness: higher is "
        "better; sufficiency: lower is better; evidence: higher is better; entropy has no better or worse."
    )
    return "\n\n".join(parts) + "\n"


def render(folders: Sequence[Path | str], format: str = "markdown", by_class: bool = False) -> str:
    """The table as `markdown`, or tidy as `csv`.

    Raises:
        UserError: another format.
    """
    if format == "markdown":
        return markdown(folders, by_class)
    if format == "csv":
        return table(folders, by_class).to_csv(index=False, float_format="%.4f", lineterminator="\n")
    raise UserError(f"format {format!r} is not known; use markdown or csv.")


def _notes(folders: Sequence[Path | str]) -> list[str]:
    """A sentence for everything that an explainer noted about itself."""
    entries = [e for folder in folders for e in Store(Path(folder)).manifest().get("models", {}).values()]
    return [
        f"{_short('explainer', explainer)} on {entry['label']}: mean absolute {note.replace('_', ' ')} {value:.2g}."
        for entry in entries
        for explainer, notes in entry.get("notes", {}).items()
        for note, value in notes.items()
    ]


def _records(folder: Path) -> pd.DataFrame:
    if not (folder / "records").is_dir():
        raise UserError(f"{folder} is not a run: it has no records.")
    frame = Store(folder).read("records")
    if frame.empty:
        raise UserError(f"{folder} holds no records yet.")
    return frame


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The records of each cell's latest version."""
    order = frame["version"].map(lambda version: tuple(map(int, version.split("."))))
    return frame[order == order.groupby([frame[name] for name in GROUP]).transform("max")]


def _row(key: Mapping[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    good = group[group["error"].isna()]
    values = good["value"].dropna()
    n = len(values)
    return {
        **key,
        "mean": values.mean() if n else math.nan,
        "half_width": Z95 * values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan,
        "n": n,
        "undefined": len(good) - n,
        "failed": len(group) - len(good),
    }


def _grid(group: pd.DataFrame) -> str:
    """Explainers down, metrics across."""
    shown = pd.DataFrame(
        {
            "explainer": [_short("explainer", name) for name in group["explainer"]],
            "metric": [_short("metric", name) for name in group["metric"]],
            "text": [_cell(row) for row in group.itertuples()],
        }
    )
    pivot = shown.pivot(index="explainer", columns="metric", values="text").fillna("")
    texts = int((group["n"] + group["undefined"] + group["failed"]).max())
    return f"{pivot.reset_index().to_markdown(index=False, disable_numparse=True)}\n\n{texts:,} texts."


def _cell(row: Any) -> str:
    notes = [f"{count} {what}" for count, what in ((row.failed, "failed"), (row.undefined, "undefined")) if count]
    number = "" if not row.n else f"{row.mean:.2f}" + (f" ± {row.half_width:.2f}" if row.n > 1 else "")
    return f"{number} ({', '.join(notes)})" if notes else number


def _short(kind: str, full: str) -> str:
    """The identity without parameters that have their default, if the component is installed."""
    try:
        return spec.build(kind, full).short
    except UserError:
        return full


def failures(folders: Iterable[Path | str]) -> pd.DataFrame:
    """The failed cells and why: `explainer`, `metric`, `error`, `texts`."""
    frame = pd.concat([_records(Path(folder)) for folder in folders], ignore_index=True)
    failed = frame[frame["error"].notna()]
    return failed.groupby(["explainer", "metric", "error"], sort=False).size().rename("texts").reset_index()
