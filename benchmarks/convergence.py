"""How many samples ShapSampl and LIME need: agreement with a long independent run, and a metric, by samples.

    python benchmarks/convergence.py --model conv-minilm --dataset hatexplain --limit 24
    python benchmarks/convergence.py --dataset "seqpg(dataset=hatexplain)" --metric "seqpg(protocol=paper)" --limit 24

It is a faithbench run (so it resumes), followed by a table and a figure. For each number of samples it prints, as means
over texts (and the classes that are explained) with 95 % intervals: Spearman's rank correlation of the content tokens'
scores with those of a run with another seed and more samples; the share of the reference's five highest tokens that are
found; a metric, and how far it is, text by text, from that of the reference.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib import pyplot
from rich.console import Console
from scipy.stats import spearmanr

import faithbench
from faithbench.file_names import slug
from faithbench.plugins.spec import build
from faithbench.records.store import Store

SHAP, LIME = (2, 5, 10, 25, 50, 100, 150), (30, 100, 300, 1000, 3000, 6000)
PARAMETERS = {"shap_sampl": "n_permutations", "lime": "n_samples"}

SMALL = "planted(train=400, validation=100, test=40)"
SMALL_SHAP, SMALL_LIME = (2, 5, 8), (30, 60, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="conv-minilm")
    parser.add_argument("--dataset", default="hatexplain")
    parser.add_argument("--metric", default="comprehensiveness")
    parser.add_argument("--limit", type=int, default=24, help="texts")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, help="a folder of its own in runs/, if not said")
    parser.add_argument("--figure", type=Path, help="in that folder, if not said")
    parser.add_argument("--permutations", nargs="*", type=int, default=SHAP, help="the last is the reference; or none")
    parser.add_argument("--masks", nargs="*", type=int, default=LIME, help="likewise")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.dataset, arguments.limit = "conv-tiny", SMALL, 3
        arguments.permutations, arguments.masks = SMALL_SHAP, SMALL_LIME
    asked = f"{arguments.model}-{arguments.dataset}-{arguments.dtype}"
    arguments.out = arguments.out or Path("runs") / f"convergence-{slug(asked)}"
    arguments.figure = arguments.figure or arguments.out / "convergence.svg"
    counts = {"shap_sampl": arguments.permutations, "lime": arguments.masks}
    specs = {family: explainers(family, numbers) for family, numbers in counts.items() if numbers}
    plan = faithbench.Plan(
        datasets=(arguments.dataset,),
        models=(arguments.model,),
        explainers=("random", *(spec for by_samples in specs.values() for spec in by_samples.values())),
        metrics=(arguments.metric,),
        limit=arguments.limit,
        dtype=arguments.dtype,
    )
    faithbench.run(plan, arguments.out, train=arguments.tiny, console=Console(stderr=True))
    records = records_of(arguments.out, arguments.metric)
    frames = {family: convergence(arguments.out, records, by_samples) for family, by_samples in specs.items()}
    for family, frame in frames.items():
        print(f"\n**{family}**, reference: {counts[family][-1]:,} samples with another seed\n")
        print(shown(frame, family, arguments.metric).to_markdown(index=False, disable_numparse=True))
    floor = records[records["explainer"] == build("explainer", "random").identity]["value"]
    print(f"\nrandom: {arguments.metric} {mean_and_interval(floor)}. {len(floor)} texts.")
    draw(frames, counts, float(floor.mean()), arguments.metric, arguments.figure)
    print(f"wrote {arguments.figure}")


def explainers(family: str, counts: Sequence[int]) -> dict[int, str]:
    """Specs by number of samples; the reference, which is the last, under 0."""
    *smaller, reference = counts
    parameter = PARAMETERS[family]
    return {0: f"{family}({parameter}={reference}, seed=1)"} | {n: f"{family}({parameter}={n})" for n in smaller}


def records_of(folder: Path, metric: str) -> pd.DataFrame:
    """The records by this metric; the folder may hold others by another, but of this model and data set alone."""
    records = Store(folder).read("records")
    if len(records[["dataset", "model", "model_fingerprint"]].drop_duplicates()) > 1:
        raise SystemExit(f"{folder} holds other models or data sets; give another folder with --out.")
    return records[records["metric"] == build("metric", metric).identity]


def convergence(folder: Path, records: pd.DataFrame, by_samples: dict[int, str]) -> pd.DataFrame:
    """One row for each number of samples and text; scores are compared for each class that was explained."""
    attributions = Store(folder).read("attributions")
    content = {row["text_id"]: ~np.asarray(row["special"]) for row in pq.read_table(folder / "texts").to_pylist()}
    scores: dict[tuple[int, str], dict[int, np.ndarray]] = {}
    values = {}
    for samples, spec in by_samples.items():
        full = build("explainer", spec).identity
        for row in attributions[attributions["explainer"] == full].itertuples():
            found = np.asarray(row.scores)[content[row.text_id]]
            scores.setdefault((samples, row.text_id), {})[row.target] = found
        for row in records[records["explainer"] == full].itertuples():
            values[samples, row.unit] = row.value
    rows = []
    for (samples, text), by_target in scores.items():
        both = [(found, scores[0, text][target]) for target, found in by_target.items()]
        agreement = [spearmanr(*pair).statistic for pair in both if len(pair[0]) > 2]
        rows.append(
            {
                "samples": samples,
                "text": text,
                "correlation": np.mean(agreement) if agreement else np.nan,
                "top": np.mean([len(top(found) & top(other)) / len(top(other)) for found, other in both]),
                "value": values[samples, text],
                "short": values[0, text] - values[samples, text],
            }
        )
    return pd.DataFrame(rows)


def top(scores: np.ndarray, count: int = 5) -> set[int]:
    return set(np.argsort(-scores, kind="stable")[:count].tolist())


def shown(frame: pd.DataFrame, family: str, metric: str) -> pd.DataFrame:
    """Means with intervals, the reference last."""
    parameter, rows = PARAMETERS[family], []
    for samples in sorted(set(frame["samples"]) - {0}):
        group = frame[frame["samples"] == samples]
        rows.append(
            {
                parameter: f"{samples:,}",
                "rank correlation": mean_and_interval(group["correlation"], 3),
                "top 5 found": mean_and_interval(100 * group["top"], 0) + " %",
                metric: mean_and_interval(group["value"]),
                "short of the reference by": mean_and_interval(group["short"]),
            }
        )
    reference = frame[frame["samples"] == 0]
    return pd.DataFrame([*rows, {parameter: "reference", metric: mean_and_interval(reference["value"])}]).fillna("")


def mean_and_interval(values: pd.Series, digits: int = 2) -> str:
    values = values.dropna()
    return f"{values.mean():.{digits}f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def draw(
    frames: dict[str, pd.DataFrame], counts: dict[str, Sequence[int]], floor: float, metric: str, path: Path
) -> None:
    """Two panels a family: rank correlation and the metric against samples, with intervals."""
    figure, axes = pyplot.subplots(2, len(frames), figsize=(4.5 * len(frames), 6), squeeze=False, sharey="row")
    for column, (family, frame) in enumerate(frames.items()):
        *smaller, default = counts[family]
        for row, name in enumerate(("correlation", "value")):
            groups = [frame[frame["samples"] == n][name].dropna() for n in smaller]
            errors = [1.96 * group.std(ddof=1) / len(group) ** 0.5 for group in groups]
            axis = axes[row][column]
            axis.errorbar(smaller, [group.mean() for group in groups], errors, marker="o", color="black", capsize=3)
            axis.set_xscale("log")
            axis.set_xticks(smaller, [f"{n:,}" for n in smaller])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            if name == "value":
                reference = frame[frame["samples"] == 0][name].mean()
                axis.axhline(reference, color="black", linestyle="--", label=f"reference ({default:,})")
                axis.axhline(floor, color="gray", linestyle=":", label="random")
                axis.legend(loc="lower right", fontsize=8)
                axis.set_xlabel(PARAMETERS[family])
            else:
                axis.set_title(family)
    axes[0][0].set_ylabel("rank correlation with the reference")
    axes[1][0].set_ylabel(f"{metric} (%)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
