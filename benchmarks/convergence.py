"""How many samples ShapSampl and LIME need: agreement with a long independent run, and comprehensiveness, by samples.

    python benchmarks/convergence.py --model conv-minilm --dataset hatexplain --limit 24

It is a faithbench run (so it resumes), followed by a table and a figure. For each number of samples it prints, as means
over texts with 95 % intervals: Spearman's rank correlation of the content tokens' scores with those of a run with
another seed and more samples; the share of the reference's five highest tokens that are found; comprehensiveness, and
how far it is, text by text, from that of the reference.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from rich.console import Console
from scipy.stats import spearmanr

import faithbench
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import build
from faithbench.records.store import Store
from faithbench.training.prepare import Setup, prepare

SHAP, LIME = (2, 5, 10, 25, 50, 100), (30, 100, 300, 1000, 3000)
SHAP_REFERENCE, LIME_REFERENCE = 150, 6000
METRIC = "comprehensiveness"
FAMILIES = {
    "shap_sampl": ("n_permutations", SHAP, SHAP_REFERENCE),
    "lime": ("n_samples", LIME, LIME_REFERENCE),
}

SMALL = "planted(train=400, validation=100, test=40)"
TINY = {"shap_sampl": ("n_permutations", (2, 5), 8), "lime": ("n_samples", (30, 60), 100)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="conv-minilm")
    parser.add_argument("--dataset", default="hatexplain")
    parser.add_argument("--limit", type=int, default=24, help="texts")
    parser.add_argument("--out", type=Path, default=Path("runs/convergence"))
    parser.add_argument("--figure", type=Path, default=Path("runs/convergence/convergence.svg"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.dataset, arguments.limit = "conv-tiny", SMALL, 3
        FAMILIES.update(TINY)
    specs = {family: explainers(family) for family in arguments.families}
    plan = faithbench.Plan(
        datasets=(arguments.dataset,),
        models=(arguments.model,),
        explainers=("random", *(spec for by_samples in specs.values() for spec in by_samples.values())),
        metrics=(METRIC,),
        limit=arguments.limit,
    )
    faithbench.run(plan, arguments.out, train=arguments.tiny, console=Console(stderr=True))
    content = content_of(arguments)
    frames = {family: convergence(arguments.out, by_samples, content) for family, by_samples in specs.items()}
    for family, frame in frames.items():
        print(f"\n**{family}**, reference: {FAMILIES[family][2]:,} samples with another seed\n")
        print(shown(frame, FAMILIES[family][0]).to_markdown(index=False, disable_numparse=True))
    records = Store(arguments.out).read("records")
    floor = records[records["explainer"] == build("explainer", "random").identity]["value"]
    print(f"\nrandom: comprehensiveness {mean_and_interval(floor)}. {arguments.limit} texts.")
    draw(frames, float(floor.mean()), arguments.figure)
    print(f"wrote {arguments.figure}")


def explainers(family: str) -> dict[int, str]:
    """Specs by number of samples; the reference under 0."""
    parameter, counts, reference = FAMILIES[family]
    return {0: f"{family}({parameter}={reference}, seed=1)"} | {n: f"{family}({parameter}={n})" for n in counts}


def content_of(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """The content positions of each text."""
    dataset = build_dataset(arguments.dataset)
    model = prepare(arguments.model, dataset, Setup(train=False)).classifier
    return {example.id: model.encode(example).content for example in dataset.object.load("test")}


def convergence(folder: Path, by_samples: dict[int, str], content: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row for each number of samples and text."""
    attributions, records = Store(folder).read("attributions"), Store(folder).read("records")
    scores, values = {}, {}
    for samples, spec in by_samples.items():
        full = build("explainer", spec).identity
        for row in attributions[attributions["explainer"] == full].itertuples():
            scores[samples, row.text_id] = np.asarray(row.scores)[content[row.text_id]]
        for row in records[records["explainer"] == full].itertuples():
            values[samples, row.unit] = row.value
    rows = []
    for (samples, text), found in scores.items():
        reference = scores[0, text]
        rows.append(
            {
                "samples": samples,
                "text": text,
                "correlation": spearmanr(found, reference).statistic if len(found) > 2 else np.nan,
                "top": len(top(found) & top(reference)) / len(top(reference)),
                METRIC: values[samples, text],
                "short": values[0, text] - values[samples, text],
            }
        )
    return pd.DataFrame(rows)


def top(scores: np.ndarray, count: int = 5) -> set[int]:
    return set(np.argsort(-scores, kind="stable")[:count].tolist())


def shown(frame: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Means with intervals, the reference last."""
    rows = []
    for samples in sorted(set(frame["samples"]) - {0}):
        group = frame[frame["samples"] == samples]
        rows.append(
            {
                parameter: f"{samples:,}",
                "rank correlation": mean_and_interval(group["correlation"], 3),
                "top 5 found": mean_and_interval(100 * group["top"], 0) + " %",
                METRIC: mean_and_interval(group[METRIC]),
                "short of the reference by": mean_and_interval(group["short"]),
            }
        )
    reference = frame[frame["samples"] == 0]
    return pd.DataFrame([*rows, {parameter: "reference", METRIC: mean_and_interval(reference[METRIC])}]).fillna("")


def mean_and_interval(values: pd.Series, digits: int = 2) -> str:
    values = values.dropna()
    return f"{values.mean():.{digits}f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def draw(frames: dict[str, pd.DataFrame], floor: float, path: Path) -> None:
    """Two panels a family: rank correlation and comprehensiveness against samples, with intervals."""
    figure, axes = pyplot.subplots(2, len(frames), figsize=(4.5 * len(frames), 6), squeeze=False, sharey="row")
    for column, (family, frame) in enumerate(frames.items()):
        parameter, counts, default = FAMILIES[family]
        for row, name in enumerate(("correlation", METRIC)):
            groups = [frame[frame["samples"] == n][name].dropna() for n in counts]
            errors = [1.96 * group.std(ddof=1) / len(group) ** 0.5 for group in groups]
            axis = axes[row][column]
            axis.errorbar(counts, [group.mean() for group in groups], errors, marker="o", color="black", capsize=3)
            axis.set_xscale("log")
            axis.set_xticks(counts, [f"{n:,}" for n in counts])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            if name == METRIC:
                reference = frame[frame["samples"] == 0][METRIC].mean()
                axis.axhline(reference, color="black", linestyle="--", label=f"reference ({default:,})")
                axis.axhline(floor, color="gray", linestyle=":", label="random")
                axis.legend(loc="lower right", fontsize=8)
                axis.set_xlabel(parameter)
            else:
                axis.set_title(family)
    axes[0][0].set_ylabel("rank correlation with the reference")
    axes[1][0].set_ylabel("comprehensiveness (%)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
