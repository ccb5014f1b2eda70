"""One to three examples of each command, which its help ends with; a test parses them all."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "list": ("faithbench list", "faithbench list metric", "faithbench list lime"),
    "train": (
        "faithbench train --model conv-tiny --dataset planted",
        "faithbench train --model bcos-minilm --dataset reviews/ --epochs 3",
    ),
    "run": (
        "faithbench run",
        "faithbench run --model ./model --dataset test.csv --limit 100",
        "faithbench run --plan plan.toml --explainer occlusion",
    ),
    "build": ("faithbench build seqpg --dataset ag_news --model conv-minilm",),
    "import": ("faithbench import mine.jsonl --model ./model --dataset a.csv --name mine",),
    "table": (
        "faithbench table runs/mine",
        "faithbench table runs/mine --format latex > table.tex",
        "faithbench table runs/mine --like table2 --beside-paper",
    ),
    "compare": (
        "faithbench compare lime occlusion runs/mine",
        "faithbench compare mine --against all runs/mine",
        "faithbench compare lime occlusion runs/mine --metric comprehensiveness",
    ),
    "meta": ("faithbench meta runs/mine", "faithbench meta runs/mine --plot agreement.svg"),
    "figure": ("faithbench figure runs/mine --like figure5 --out figure5.svg",),
    "check": ("faithbench check occlusion", "faithbench check faithbench-example"),
    "board": ("faithbench board check", "faithbench board publish runs/mine leaderboards/mine"),
    "board publish": ("faithbench board publish runs/mine leaderboards/mine",),
    "board build": ("faithbench board build", "faithbench board build leaderboards/mine"),
    "board check": ("faithbench board check", "faithbench board check leaderboards/mine"),
}
FIRST = ("faithbench run", "faithbench list", "faithbench run --help")  # of the program itself


def epilog(commands: tuple[str, ...]) -> str | None:
    """The end of a command's help, its lines kept as they are."""
    return "\n".join(("\b", "Examples:", *(f"  {command}" for command in commands))) if commands else None
