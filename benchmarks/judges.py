"""What each metric can tell: the table of docs/metrics.md, measured on texts whose labels programs compute.

    python benchmarks/judges.py [--limit 20] [--out runs/metrics] [--doc docs/metrics.md]

Trains a tiny model for each program if need be, and goes on where an earlier run has stopped. A program whose model is
not accepted is left out, and named. Every metric that is
installed, has a better and worse and can be measured on such texts is judged with its defaults, new ones by themselves;
`VARIANTS` are those that must be told something. The table takes the place of the one in the file.
"""

import argparse
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

import faithbench
from faithbench.comparing.judges import degrades
from faithbench.errors import UserError
from faithbench.plugins import finding, spec
from faithbench.records.results import labels, read
from faithbench.records.store import Store
from faithbench.statistics.ground_truth import program_holds
from faithbench.training.hardware import hardware

MODEL = "conv-tiny(masking=none)"
DATASETS = ("program(count)", "program(guard)", "program(xor)", "program(order)", "program(majority)")
TRAINING = faithbench.Training(epochs=10, lr=5e-4)
EXPLAINERS = (
    "attention",
    "attn_lrp",
    "bcos",
    "decompx",
    "input_x_gradient",
    "integrated_gradients(n_steps=20)",
    "kernel_shap(n_samples=200)",
    "lime(n_samples=300)",
    "occlusion",
    "random",
    "saliency",
    "shap_sampl(n_permutations=10)",
)
DEGRADED = ("occlusion", "kernel_shap(n_samples=200)", "attn_lrp")
SHARES = (0.25, 0.5, 0.75, 1.0)
VARIANTS = (
    "comprehensiveness(protocol=paper)",
    "comprehensiveness(operator=delete)",
    "sufficiency(protocol=paper)",
    "sufficiency(operator=delete)",
    "truth_ap(least=1.0)",
    "normalised(comprehensiveness)",
)
BOARD = Path(__file__).parent.parent / "leaderboards/which-to-trust"  # records of real texts, with degraded copies
OFFERED = {"label", "responsibility", "shapley", "vocabulary"}  # what metrics find in such texts
START, END = "<!-- table: python benchmarks/judges.py -->", "<!-- end of table -->"


def accepted(out: Path, console: Console) -> tuple[str, ...]:
    """The programs that their models were shown to compute."""
    asked = faithbench.Plan(DATASETS, (MODEL,), ("random",), ("truth_ap",), limit=1, training=TRAINING)
    run = faithbench.run(asked, out.with_name(f"{out.name}-accepted"), device="cpu", console=console)
    checks = {name: entry.get("checks", {}) for name, entry in Store(run.folder).manifest()["models"].items()}
    identity = spec.build("model", MODEL).identity
    found = [(name, checks[f"{identity} on {spec.build('dataset', name).identity}"]) for name in DATASETS]
    return tuple(name for name, check in found if check and program_holds(check))


def plan(limit: int, datasets: Sequence[str] = DATASETS) -> faithbench.Plan:
    copies = [f"degraded({explainer}, share={share})" for explainer in DEGRADED for share in SHARES]
    return faithbench.Plan(tuple(datasets), (MODEL,), (*EXPLAINERS, *copies), metrics(), limit=limit, training=TRAINING)


def metrics() -> tuple[str, ...]:
    """Those that can be judged."""
    found = []
    for name in [*finding.find("metric"), *VARIANTS]:
        try:
            built = spec.build("metric", name)
        except UserError:  # it must be told something, or lacks a library
            continue
        traits = built.traits
        if traits.higher_is_better is not None and OFFERED.issuperset(traits.needs) and "softmax" in traits.links:
            found.append(name)
    return tuple(found)


def table(run: Path) -> str:
    """What the run says of each metric, and how it was measured."""
    found = faithbench.meta_evaluation([run])
    taus = found.truth if found.truth.empty else found.truth.set_index("metric")  # empty of a model not accepted
    agreement = {
        metric: {"τ with the truth": _tau(taus, metric), "without one": _range(taus, metric)}
        for metric in found.judges["metric"]
    }
    return f"{_told(found.judges, agreement)}\n\n{_how(run)}"


def on_real_texts(board: Path) -> str:
    """What a board of real texts, whose records are there, says of each metric."""
    records = read([board])
    judged = records[records["explainer"].map(degrades).notna()]
    texts = judged[["dataset", "unit"]].drop_duplicates()
    copies = sorted({str(of[0]) for of in map(degrades, judged["explainer"].unique()) if of is not None})
    names = labels("explainer", copies)
    found = faithbench.meta_evaluation([board]).judges
    told = _told(found[found["diagnosticity"].notna()], {})
    said = (
        f"On real texts, from the records of leaderboards/{board.name}: {len(texts):,} posts of HateXplain, "
        f"{judged['model'].nunique()} models, degraded copies of {', '.join(f'`{names[name]}`' for name in copies)}."
    )
    return f"{said}\n\n{told}"


def _told(judges: pd.DataFrame, more: Mapping[str, Mapping[str, str]]) -> str:
    """What each metric can tell, the best first, in Markdown; `more` stands behind what is said of all."""
    frame = judges.sort_values("diagnosticity", ascending=False, kind="stable")
    names = labels("metric", frame["metric"])
    rows = [
        {
            "metric": f"`{names[row.metric]}`",
            "kind": row.kind,
            "diagnosticity": f"{row.diagnosticity:.1f} ({row.low:.1f}, {row.high:.1f})",
            "Spearman": _number(row.spearman, 3),
            **more.get(row.metric, {}),
            "defined": f"{row.defined:.1f}",
            "rows a text": f"{row.rows:,.1f}",
        }
        for row in frame.itertuples()
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _tau(taus: pd.DataFrame, metric: str) -> str:
    if metric not in taus.index:
        return ""
    row = taus.loc[metric]
    return f"{row['tau']:.2f} ({row['low']:.2f}, {row['high']:.2f})"


def _range(taus: pd.DataFrame, metric: str) -> str:
    return f"{taus['least'][metric]:.2f} to {taus['most'][metric]:.2f}" if metric in taus.index else ""


def _number(value: float, places: int) -> str:
    return "" if math.isnan(value) else f"{value:.{places}f}"


def _how(run: Path) -> str:
    records = read([run])
    explainers = [str(name) for name in records["explainer"].unique()]
    whole = [name for name in explainers if degrades(name) is None]
    texts = records[["dataset", "unit"]].drop_duplicates()
    models = faithbench.render([run]).split("\n\n")[0]
    minutes = records["seconds"].sum() / 60
    return (
        f"{len(texts):,} texts of {texts['dataset'].nunique()} programs, {len(whole)} explainers, "
        f"{len(explainers) - len(whole)} degraded copies ({', '.join(map(str, SHARES))} of the scores of "
        f"{', '.join(f'`{name}`' for name in DEGRADED)}), {len(records):,} records, "
        f"{int(records['error'].notna().sum())} of them failed; {minutes:,.0f} minutes of metrics on "
        f"{hardware_here()}. The models:\n\n{models}"
    )


def _left_out(kept: Sequence[str]) -> str:
    names = ", ".join(f"`{name}`" for name in DATASETS if name not in kept)
    return f"\n\nLeft out, since the model that was trained was not accepted: {names}." if names else ""


def hardware_here() -> str:
    return hardware(torch.device("cpu"))


def tiny(out: Path) -> str:
    """The table of few metrics and texts, of a model that need not be accepted."""
    training = faithbench.Training(epochs=2, lr=2e-3, limit=1000)
    explainers = (
        "occlusion",
        "random",
        "saliency",
        "attention",
        *(f"degraded(occlusion, share={share})" for share in SHARES),
    )
    asked = faithbench.Plan(
        DATASETS[:1], (MODEL,), explainers, ("comprehensiveness", "sufficiency", "truth_ap"), limit=8
    )
    run = faithbench.run(replace(asked, training=training), out, device="cpu", console=Console(stderr=True))
    return f"{table(run.folder)}\n\n{on_real_texts(BOARD)}"


def put(table_text: str, path: Path) -> None:
    """Into the file, in the place of the table that it has."""
    old = path.read_text()
    pattern = re.compile(f"{re.escape(START)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(old):
        raise UserError(f"{path} has no place for the table: the lines {START} and {END}.")
    path.write_text(pattern.sub(lambda _: f"{START}\n\n{table_text}\n\n{END}", old))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, default=20, help="texts of each program")
    parser.add_argument("--out", type=Path, default=Path("runs/metrics"))
    parser.add_argument("--doc", type=Path, default=None, help="the file whose table is replaced; else it is printed")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    chosen = parser.parse_args(arguments)
    if chosen.tiny:
        print(tiny(chosen.out))
        return
    console = Console(stderr=True)
    kept = accepted(chosen.out, console)
    run = faithbench.run(plan(chosen.limit, kept), chosen.out, device="cpu", console=console)
    found = f"{table(run.folder)}{_left_out(kept)}\n\n{on_real_texts(BOARD)}"
    if chosen.doc:
        put(found, chosen.doc)
    else:
        print(found)


if __name__ == "__main__":
    main(sys.argv[1:])
