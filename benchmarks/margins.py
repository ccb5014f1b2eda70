"""How much of a score is how a model's outputs are read? B-cos models on data of two classes, read in two ways.

    python benchmarks/margins.py runs/table2-modern --model bcos-modern --beside conv-modern

A B-cos model is trained with binary cross-entropy: each of its two logits is by itself the log-odds of its class, a and
about -a. Their softmax, which everybody takes for its probability, is that of 2a: twice the log-odds that training
made. Here a metric is computed once as it is, and once with half the margin, so that the probability of a class is
sigmoid((z1 - z0)/2), from what a run keeps: the probability of the whole text and the drops at each ratio (published
boards do not keep both). `--beside` names a model whose outputs are a softmax, left as they are. Accuracy and mean
probability of what is said tell which reading is the calibrated one.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from faithbench_metrics.perturbation.ratios import Protocol
from jaxtyping import Float
from scipy import stats

import faithbench
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import build
from faithbench.records.columns import PLACE
from faithbench.records.results import label, read
from faithbench.records.store import Store
from faithbench.records.texts import read_texts

SMALL = faithbench.Plan(
    ("planted(train=96, validation=20, test=20)",),
    ("conv-tiny", "bcos-tiny"),
    ("occlusion",),
    ("comprehensiveness(operator=delete)",),
    limit=4,
    training=faithbench.Training(epochs=1, lr=1e-3),
)


@dataclass(frozen=True)
class Curves:
    """A model on a data set: accuracy in percent, and of each text the target's probability and its drops."""

    dataset: str
    right: str
    whole: dict[str, float]
    drops: dict[str, Float[np.ndarray, "ratios"]]
    protocol: Protocol


class Kept:
    """What runs keep, read once.

    Args:
        runs: their folders.
    """

    def __init__(self, runs: list[Path]) -> None:
        self.records, self.texts = read(runs), read_texts(runs)
        manifests = [Store(run).manifest()["datasets"] for run in runs]
        self.splits = {name: entry["split"] for datasets in manifests for name, entry in datasets.items()}


@cache
def labels_of(dataset: str, split: str) -> dict[str, int | None]:
    """The class of each text."""
    return {row.id: row.label for row in build_dataset(dataset).object.load(split)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--model", help="whose margin is halved; as tables show it")
    parser.add_argument("--beside", help="which model stands beside it")
    parser.add_argument("--metric", action="append", help="comprehensiveness or sufficiency; repeat for more")
    parser.add_argument("--explainer", default="bcos")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    metrics = arguments.metric or ["comprehensiveness(protocol=paper)", "comprehensiveness(operator=delete)"]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tiny:
            faithbench.run(SMALL, Path(folder) / "run", device="cpu")
            arguments.runs, arguments.model, arguments.beside = [Path(folder) / "run"], "bcos-tiny", "conv-tiny"
            metrics, arguments.explainer = list(SMALL.metrics), "occlusion"
        elif not arguments.runs or not arguments.model or not arguments.beside:
            parser.error("runs, --model and --beside are needed")
        print("\n".join(lines(arguments.runs, arguments.model, arguments.beside, metrics, arguments.explainer)))


def lines(runs: list[Path], model: str, beside: str, metrics: list[str], explainer: str) -> Iterator[str]:
    """The table, in Markdown; differences with 95 % intervals of a paired t-test, not post-stratified."""
    columns = ["data set", "metric", "texts", f"reading of {model}", "right", "sure", "score"]
    columns += [f"{beside}: right", "sure", "score", "difference"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    kept = Kept(runs)
    for metric in metrics:
        ours, others = (
            {each.dataset: each for each in curves(kept, name, metric, explainer)} for name in (model, beside)
        )
        for dataset in sorted(ours.keys() & others.keys()):
            texts = sorted(ours[dataset].drops.keys() & others[dataset].drops.keys())
            other_sure, less = scores(others[dataset], texts, 1.0)
            for reading, margin in (("softmax", 1.0), ("half the margin", 0.5)):
                sure, score = scores(ours[dataset], texts, margin)
                found = stats.ttest_1samp(score - less, 0.0).confidence_interval(0.95)
                told = [label("dataset", dataset), metric, f"{len(texts):,}", reading]
                told += [ours[dataset].right, f"{sure:.1f}", f"{score.mean():.1f}"]
                told += [others[dataset].right, f"{other_sure:.1f}", f"{less.mean():.1f}"]
                told += [f"{np.mean(score - less):.1f} ({found.low:.1f} to {found.high:.1f})"]
                yield f"| {' | '.join(told)} |"


def curves(kept: Kept, model: str, metric: str, explainer: str) -> Iterator[Curves]:
    """Those of each data set of two classes."""
    records = kept.records
    protocol = Protocol(build("metric", metric).object.protocol)
    wanted = (build("metric", metric).identity, build("explainer", explainer).identity)
    records = records[(records["metric"] == wanted[0]) & (records["explainer"] == wanted[1])]
    for place, block in records.groupby(PLACE):
        key = dict(zip(PLACE, map(str, place), strict=True))
        said = kept.texts.said(key) if label("model", key["model"]) == model else {}
        if not said or len(next(iter(said.values())).probabilities) != 2:
            continue
        rows = [row for row in block.to_dict("records") if row["unit"] in said]
        drops = {str(row["unit"]): np.array(row["parts"], float) for row in rows}
        again = [protocol.summary(each) for each in drops.values()]
        np.testing.assert_allclose(again, [row["value"] for row in rows], atol=1e-6)
        whole = {str(row["unit"]): float(said[row["unit"]].probabilities[row["target"]]) for row in rows}
        labels = labels_of(key["dataset"], kept.splits[key["dataset"]])
        right = f"{100 * np.mean([said[unit].predicted == labels[unit] for unit in drops]):.1f}"
        yield Curves(str(key["dataset"]), right, whole, drops, protocol)


def scores(curves: Curves, texts: list[str], margin: float) -> tuple[float, Float[np.ndarray, "texts"]]:
    """Mean probability of the target, in percent, and the metric of each text, with the margin times this."""
    before = read_as(np.array([curves.whole[text] for text in texts]), margin)
    after = [read_as(curves.whole[text] - curves.drops[text], margin) for text in texts]
    each = [curves.protocol.summary(p - q) for p, q in zip(before, after, strict=True)]
    return 100 * float(before.mean()), np.array(each)


def read_as(probability: Float[np.ndarray, "n"], margin: float) -> Float[np.ndarray, "n"]:
    """The probability with its log-odds times the margin."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    found: Float[np.ndarray, "n"] = 1 / (1 + ((1 - p) / p) ** margin)
    return found


if __name__ == "__main__":
    main()
