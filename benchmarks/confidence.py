"""How sure models are, beside what an explanation takes from them: a model that is surer has more to lose.

    python benchmarks/confidence.py runs/ablations-minilm --metric "comprehensiveness(operator=delete)"

From a run, which keeps what its models said (published boards do not). For each model: the mean probability of the
class that it says, over the texts that were measured; means of a metric for some explainers; and what share these are
of what there was to lose.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import faithbench
from faithbench.plugins.spec import build
from faithbench.records.columns import PLACE
from faithbench.records.results import label, read
from faithbench.records.texts import read_texts

SMALL = faithbench.Plan(
    ("planted(train=96, validation=20, test=20)",),
    ("conv-tiny",),
    ("occlusion", "random"),
    ("comprehensiveness(operator=delete)",),
    limit=4,
    training=faithbench.Training(epochs=1, lr=1e-3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--metric", default="comprehensiveness(operator=delete)")
    parser.add_argument("--explainer", action="append", help="repeat for more [default: bcos, random]")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    explainers = arguments.explainer or ["bcos", "random"]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tiny:
            faithbench.run(SMALL, Path(folder) / "run", device="cpu")
            arguments.run, explainers = Path(folder) / "run", list(SMALL.explainers)
        elif arguments.run is None:
            parser.error("a run is needed")
        print("\n".join(lines(arguments.run, arguments.metric, explainers)))


def lines(run: Path, metric: str, explainers: list[str]) -> Iterator[str]:
    """The table, in Markdown."""
    columns = [column for name in explainers for column in (name, "of that")]
    yield f"| data set | model | texts | sure | {' | '.join(columns)} |"
    yield f"|{' --- |' * (4 + len(columns))}"
    records, texts = read([run]), read_texts([run])
    records = records[records["metric"] == build("metric", metric).identity]
    for place, block in records.groupby(PLACE):
        key, units = dict(zip(PLACE, place, strict=True)), block["unit"].unique()
        said = texts.said(key)
        sure = 100 * np.mean([max(said[unit].probabilities) for unit in units])
        cells = [*(label(kind, key[kind]) for kind in ("dataset", "model")), f"{len(units):,}", f"{sure:.1f}"]
        for name in explainers:
            mean = block[block["explainer"] == build("explainer", name).identity]["value"].mean()
            cells += [f"{mean:.1f}", f"{100 * mean / sure:.0f} %"]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
