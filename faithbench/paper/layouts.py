"""The tables of arXiv 2502.12992: for each, where the numbers of a row and of a column come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from faithbench.errors import unknown
from faithbench.paper.published import published
from faithbench.paper.sources import Mean, Reported, Seconds, Source, Steps, Subject, Unmeasured
from faithbench.plan import CRATE, DECODERS

Row = Mapping[str, str]

EXPLAINERS = {  # with the published settings
    "Attention": "attention",
    "IxG": "input_x_gradient",
    "SIG": "sig",
    "DecompX": "decompx",
    "ShapSampl": "shap_sampl(n_permutations=25, protocol=paper)",
    "LIME": "lime(n_samples=3000)",
    "B-cos": "bcos",
}
COSTLY = {**EXPLAINERS, "SIG": "sig(n_steps=50)"}  # the exact form has the same scores at a fraction of the cost
ABLATIONS = {
    "Full system": ("bcos-*", "B-cos"),
    "w/o alignment pressure (B=1)": ("bcos-*(b=1.0)", "B-cos"),
    "w/o BCE training": ("bcos-*(loss=ce)", "B-cos"),
    "w/o architectural adaptations": ("bcos-*(biases=True)", "B-cos"),
    "w/o dynamic linear weights (IxG)": ("bcos-*", "IxG"),
    "from conv. model": ("conv-*", "B-cos"),
}
SETUPS = {
    "Conv. LM": "conv-*",
    "B-cos LM": "bcos-*",
    "B-cos from scratch": "bcos-*(start=scratch)",
    "Task then B-cos": "bcos-*(start=task, start_epochs={0}, epochs={1})",
    "B-cos then task": "bcos-*(start=mlm, start_epochs={0}, epochs={1})",
}
ACCURACY = Reported(("test", "accuracy"))
COMP = Mean("comprehensiveness(protocol=paper)")
SUFF = Mean("sufficiency(protocol=paper)")
SEQPG = Mean("seqpg(protocol=paper)", documents=True)
ENTROPY = Mean("entropy")
MEANINGS = {
    "accuracy": "accuracy: of the test split, in percent, as the training reported it.",
    "comp": "comp: comprehensiveness, protocol=paper (at most 80), in percent; higher is better.",
    "suff": "suff: sufficiency, protocol=paper, in percent; lower is better.",
    "seqpg": "seqpg: Sequence Pointing Game, protocol=paper, in percent; higher is better, chance is 50.",
    "entropy": "entropy: of the explanations, in nats; neither direction is better.",
    "steps_thousand": "steps_thousand: steps to the best validation accuracy, or all of masked language modelling; of "
    "two phases, one + the other.",
    "seconds": "seconds: of one explanation, mean over texts; lower is better.",
    "memory_gb": "memory_gb: runs do not record it; benchmarks/cost.py measures it, on one long text as in the paper.",
}


@dataclass(frozen=True)
class Layout:
    """One published table.

    Args:
        number: of the table in the paper.
        file: of its published numbers, whose rows and columns are ours.
        columns: the value columns, and where they come from.
        subject: what a row speaks of.
        where: the rows of the file that are this table's.
        backbone: of the published numbers.
        grid: rows and columns as they stand in the paper, if not as in the file: the keys of rows, the key of columns.
    """

    number: int
    file: str
    columns: Mapping[str, Source]
    subject: Callable[[Row], Subject]
    where: Row = field(default_factory=dict)
    backbone: str = "bert"
    grid: tuple[tuple[str, ...], str] | None = None

    @property
    def name(self) -> str:
        """On the command line."""
        return f"table{self.number}"

    @property
    def published(self) -> pd.DataFrame:
        """The published rows, all as text."""
        return published(self.file, self.where)

    @property
    def subjects(self) -> list[Subject]:
        """What its rows speak of."""
        rows = self.published.to_dict("records")
        return [self.subject({str(key): str(value) for key, value in row.items()}) for row in rows]

    @property
    def keys(self) -> list[str]:
        """The columns that name a row."""
        return [column for column in map(str, self.published) if column not in self.columns]

    @property
    def meanings(self) -> list[str]:
        """A sentence for each kind of number."""
        return [told for name, told in MEANINGS.items() if any(name in column for column in self.columns)]


def _explained(row: Row) -> Subject:
    return Subject(f"{row['kind']}-*", EXPLAINERS[row["explainer"]], row["dataset"], row["explainer"])


def _set_up(row: Row) -> Subject:
    phases = row["epochs"].rstrip("*").split("+")
    return Subject(SETUPS[row["setup"]].format(*phases), EXPLAINERS["B-cos"], "imdb", "B-cos")


def _costing(row: Row) -> Subject:
    return Subject("", COSTLY[row["explainer"]], "", row["explainer"])


def _ablated(row: Row) -> Subject:
    model, name = ABLATIONS[row["setting"]]
    return Subject(model, EXPLAINERS[name], "hatexplain", name)


def _swept(row: Row) -> Subject:
    return Subject(f"bcos-*(b={float(row['b'])})", EXPLAINERS["B-cos"], "hatexplain", "B-cos")


def _faithfulness(number: int, backbone: str) -> Layout:
    return Layout(
        number,
        "faithfulness.csv",
        {"comp": COMP, "suff": SUFF, "seqpg": SEQPG},
        _explained,
        {"table": str(number)},
        backbone,
        (("kind", "explainer"), "dataset"),
    )


LAYOUTS = {
    layout.name: layout
    for layout in (
        _faithfulness(2, "bert"),
        Layout(3, "table3_setups.csv", {"accuracy": ACCURACY, "seqpg": SEQPG, "steps_thousand": Steps()}, _set_up),
        Layout(
            4,
            "table4_cost.csv",
            {
                "conv_seconds": Seconds("conv-*"),
                "conv_memory_gb": Unmeasured(),
                "bcos_seconds": Seconds("bcos-*"),
                "bcos_memory_gb": Unmeasured(),
            },
            _costing,
        ),
        Layout(
            5,
            "table5_ablation.csv",
            {"accuracy": ACCURACY, "comp": COMP, "suff": SUFF, "seqpg": SEQPG},
            _ablated,
        ),
        _faithfulness(6, "distilbert"),
        _faithfulness(7, "roberta"),
        Layout(
            8,
            "table8_b_sweep.csv",
            {"accuracy": ACCURACY, "comp": COMP, "suff": SUFF, "seqpg": SEQPG, "entropy": ENTROPY},
            _swept,
        ),
    )
}


def layout_of(name: str) -> Layout:
    """The table of that name, such as `table2`.

    Raises:
        UserError: there is none.
    """
    if name not in LAYOUTS:
        raise unknown("table of the paper", name, (*LAYOUTS, DECODERS, CRATE))
    return LAYOUTS[name]
