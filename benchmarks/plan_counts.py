"""How often a plan is looked at: calls of a finished run, checked and run again, two data sets × two models × 2 × 2.

    python benchmarks/plan_counts.py

Trains `conv-tiny` and `bcos-tiny` if need be, runs the plan into a temporary folder, and counts the calls that a second
time makes: nothing is left to measure then, so what is counted is the plan's own way. Components are 8, checkpoints 2
(one of the data sets is made of the texts of the other), the store has 2 kinds of entries.
"""

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import faithbench

PLAN = faithbench.Plan(
    datasets=("planted", "seqpg(dataset=planted, segment=10, documents=12)"),
    models=("conv-tiny", "bcos-tiny"),
    explainers=("occlusion", "random"),
    metrics=("comprehensiveness", "seqpg"),
    limit=12,
)
SMALL = "planted(train=400, validation=100, test=40)"
TINY = replace(
    PLAN,
    datasets=(SMALL, f"seqpg(dataset={SMALL!r}, segment=10, documents=4)"),
    models=("conv-tiny",),
    limit=2,
)
COUNTED = {  # what is counted: name of the function, and of its file, now or before there were rooms
    "components built": ("build", ("spec.py",)),
    "data sets built": ("build_dataset", ("naming.py", "build.py")),
    "training reports read": ("report_of", ("keeping.py", "fine_tuning.py", "train.py")),
    "is it of the zoo?": ("zoo_model", ("zoo.py", "names.py")),
    "settings checked": ("_check_settings", ("named_models.py", "prepare.py")),
    "checkpoint's folder": ("checkpoint_folder", ("named_models.py", "prepare.py")),
    "checkpoints loaded": ("load", ("checkpoint.py",)),
    "fingerprints of weights": ("fingerprint", ("huggingface.py",)),
    "store read": ("_read", ("store.py",)),
}


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    plan = TINY if parser.parse_args().tiny else PLAN
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        faithbench.run(plan, out, device="cpu")
        calls: Counter[str] = Counter()

        def count(frame: Any, event: str, argument: object) -> None:
            if event == "call":
                code = frame.f_code
                for what, (name, files) in COUNTED.items():
                    if code.co_name == name and Path(code.co_filename).name in files:
                        calls[what] += 1

        sys.setprofile(count)
        agenda = faithbench.check_plans([plan])  # nothing, before there was an agenda
        faithbench.run(plan, out, device="cpu", **({} if agenda is None else {"agenda": agenda}))
        sys.setprofile(None)
    for what in COUNTED:
        print(f"{what}: {calls[what]}")


if __name__ == "__main__":
    main()
