"""Do metrics agree on which explainer is better, with each other and with the ground truth? See docs/statistics.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.comparing.agreement import LEAST, Agreement, agreement_of, standing_of
from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import TRUTH, blocks, kind, kind_order, labels, read
from faithbench.tables.figure import write_picture

DRAWS = 499  # resamples of the texts


@dataclass(frozen=True)
class MetaEvaluation:
    """Rank agreement of all pairs of metrics; which of them predict the ground truth; whether operators matter.

    The intervals are over texts: of explainers and models there are too few to speak of others.
    """

    metrics: tuple[str, ...]
    pairs: pd.DataFrame
    truth: pd.DataFrame
    operators: pd.DataFrame

    def matrix(self) -> pd.DataFrame:
        """The agreements as a symmetric matrix under the metrics' short names; NaN where two have none."""
        found = np.full((len(self.metrics), len(self.metrics)), np.nan)
        for a, b, tau in zip(self.pairs["metric_a"], self.pairs["metric_b"], self.pairs["tau"], strict=True):
            i, j = self.metrics.index(a), self.metrics.index(b)
            found[i, j] = found[j, i] = tau
        names = list(labels("metric", self.metrics).values())
        return pd.DataFrame(found, index=names, columns=names)

    def _matrix(self) -> str:
        """The matrix as Markdown: a number for each metric, * where two were never measured on one data set."""
        apart = self.pairs[self.pairs["across"]]
        across = {frozenset(pair) for pair in zip(apart["metric_a"], apart["metric_b"], strict=True)}
        found, numbers = self.matrix(), [str(i + 1) for i in range(len(self.metrics))]
        cells = [
            [_tau(tau) + ("*" if frozenset((a, b)) in across else "") for b, tau in zip(self.metrics, row, strict=True)]
            for a, row in zip(self.metrics, found.to_numpy(), strict=True)
        ]
        names = [f"{i} {name}" for i, name in zip(numbers, found.index, strict=True)]
        shown = pd.DataFrame(cells, index=names, columns=numbers).rename_axis("metric").reset_index()
        return shown.to_markdown(index=False, disable_numparse=True)

    def render(self, format: str = "markdown") -> str:
        """As `markdown`, or the pairs tidy as `csv`.

        Raises:
            UserError: another format.
        """
        if format == "csv":
            return self.pairs.to_csv(index=False, float_format="%.4f", lineterminator="\n")
        if format != "markdown":
            raise UserError(f"format {format!r} is not known; use markdown or csv.")
        parts = ["**Do metrics rank explainers alike?** Kendall's τ_b", self._matrix()]
        if not self.truth.empty:
            parts += ["**Which metric predicts the ground truth?**", _listed(self.truth)]
        if not self.operators.empty:
            parts += ["**Does the ranking survive the perturbation operator?**", _listed(self.operators)]
        return "\n\n".join([*parts, _legend(self.pairs)]) + "\n"

    def plot(self, path: Path | str) -> Path:
        """Draws the matrix as a heat map.

        Raises:
            UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
        """
        return write_picture("faithbench.comparing.heatmap:draw", path, self.matrix())


def meta_evaluation(folders: Sequence[Path | str], draws: int = DRAWS, seed: int = 0) -> MetaEvaluation:
    """Compares the metrics of runs by how they rank the explainers; metrics without better or worse are left out.

    Raises:
        UserError: no two metrics ranked the same three explainers on models of the same name.
    """
    frame = read(folders)
    standings = [standing_of(block, draws, seed) for block in blocks(frame)]
    found = {metric for standing in standings for metric in standing.metrics}
    metrics = tuple(sorted(found, key=lambda metric: (*kind_order(kind(metric)), metric)))
    agreements = [each for a, b in combinations(metrics, 2) if (each := agreement_of(a, b, standings)) is not None]
    if not agreements:
        raise UserError(
            f"no two metrics with a better and worse ranked the same {LEAST} explainers; the runs hold {len(metrics)} "
            f"such metrics and {len({name for standing in standings for name in standing.explainers})} explainers."
        )
    costs = pd.to_numeric(frame["rows"]).groupby(frame["metric"]).mean()
    return MetaEvaluation(
        metrics,
        pd.DataFrame([_row(each) for each in agreements]),
        _truth(agreements, metrics, costs),
        _operators(agreements),
    )


def _row(each: Agreement) -> dict[str, Any]:
    names = {"metric_a": each.a, "metric_b": each.b, "kind_a": kind(each.a), "kind_b": kind(each.b)}
    return {**names, **_numbers(each), "places": each.places, "across": each.across}


def _numbers(each: Agreement) -> dict[str, Any]:
    """τ_b with its interval, and over how many explainers."""
    low, high = np.nanpercentile(each.taus[1:], [2.5, 97.5]) if np.isfinite(each.taus[1:]).any() else [np.nan] * 2
    return {"tau": float(each.taus[0]), "low": low, "high": high, "explainers": each.explainers}


def _truth(agreements: Sequence[Agreement], metrics: Sequence[str], costs: "pd.Series[float]") -> pd.DataFrame:
    """The metrics by their mean agreement with those of the ground truth, best first, with what they cost."""
    rows = []
    for metric in metrics:
        found = [x for x in agreements if metric in (x.a, x.b) and kind(x.b if x.a == metric else x.a) == TRUTH]
        if kind(metric) != TRUTH and found:
            mean = np.stack([each.taus for each in found]).mean(axis=0)
            whole = Agreement(metric, TRUTH, mean, min(each.explainers for each in found), len(found), False)
            across = all(each.across for each in found)
            rows.append(
                {
                    "metric": metric,
                    "kind": kind(metric),
                    **_numbers(whole),
                    "rows a text": costs[metric],
                    "across": across,
                }
            )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("tau", ascending=False, kind="stable", ignore_index=True)


def _operators(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """The agreements of one metric with itself under another operator."""
    rows = []
    for each in agreements:
        (family, one), (other_family, other) = _without_operator(each.a), _without_operator(each.b)
        if family == other_family and one is not None and other is not None:
            rows.append({"metric": family, "operator a": one, "operator b": other, **_numbers(each)})
    return pd.DataFrame(rows)


def _without_operator(metric: str) -> tuple[str, str | None]:
    name, args, kwargs = spec.parse(metric)
    operator = kwargs.pop("operator", None)
    return (spec.write(name, kwargs), None if operator is None else str(operator)) if not args else (metric, None)


def _listed(frame: pd.DataFrame) -> str:
    """Rows with their τ and its interval."""
    taus = [f"{_tau(tau)} ({_tau(low)}, {_tau(high)})" for tau, low, high in frame[["tau", "low", "high"]].to_numpy()]
    names = labels("metric", frame["metric"])
    shown = frame.drop(columns=["low", "high"]).assign(tau=taus, metric=[names[metric] for metric in frame["metric"]])
    if "across" in shown:
        shown["metric"] += np.where(shown["across"], "*", "")
        shown["rows a text"] = ["" if np.isnan(cost) else f"{cost:.1f}" for cost in shown["rows a text"]]
        shown = shown.drop(columns="across")
    return shown.to_markdown(index=False, disable_numparse=True)


def _tau(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}".replace("-", "−")


def _legend(pairs: pd.DataFrame) -> str:
    least, most = pairs["explainers"].min(), pairs["explainers"].max()
    count = f"{least}" if least == most else f"{least} to {most}"
    lines = [
        f"τ_b over {count} explainers for each data set and model, then averaged: 1 is the same ranking, −1 the "
        "reverse. Each metric is turned so that higher is better; ground truth comes first. 95 % intervals over texts.",
    ]
    if pairs["across"].any():
        lines.append("* never measured on one data set: across data sets, under models of the same name.")
    return "\n\n".join(lines)
