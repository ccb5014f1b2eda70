"""One to three examples of each command, which its help ends with; a test parses them all."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "list": ("faithbench list", "faithbench list metric", "faithbench list lime"),
    "train": (
        "faithbench train --model conv-tiny --dataset planted",
        "faithbench train --model bcos-minilm --dataset reviews/ --epochs 3",
        "faithbench train --model bcos-gpt2 --dataset standard_ebooks --task lm",
    ),
    "run": (
        "faithbench run",
        "faithbench run --model ./model --dataset test.csv --limit 100",
        "faithbench run --model ./model --dataset test.csv --explainer all --dry-run",
    ),
    "explain": (
        'faithbench explain "Oil prices fall again" --model ./model',
        "faithbench explain texts.csv --model ./model --html texts.html",
        'faithbench explain "the cats" --model ./gpt2 --good sleep --bad sleeps',
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
    "figure": (
        "faithbench figure runs/mine --out scores.svg",
        "faithbench figure runs/mine --of text --text 17 --out text.png",
        "faithbench figure runs/mine --like figure5 --out figure5.svg",
    ),
    "report": (
        "faithbench report runs/mine --out report.html",
        "faithbench report runs/mine --generation story.json",
    ),
    "neuron": (
        "faithbench neuron runs/neurons",
        "faithbench neuron runs/neurons 0:17 1:3 --model crate-tiny",
        "faithbench neuron runs/neurons model.layers.0.mlp.act:17 --out neuron.html",
    ),
    "export": (
        "faithbench export runs/neurons --out records",
        "faithbench export runs/neurons --model crate-tiny --out records",
    ),
    "check": ("faithbench check occlusion", "faithbench check faithbench-example"),
    "study": ("faithbench study make runs/bcos runs/conv", "faithbench study read runs/bcos-study"),
    "study make": (
        "faithbench study make runs/bcos runs/conv --items 50 --raters 5",
        "faithbench study make runs/mine --explainer bcos --explainer lime",
    ),
    "study read": ("faithbench study read runs/bcos-study", "faithbench study read runs/bcos-study a.json b.json"),
    "board": ("faithbench board check", "faithbench board publish runs/mine leaderboards/mine"),
    "board continue": ("faithbench board continue leaderboards/mine runs/more --explainer lime",),
    "board publish": ("faithbench board publish runs/mine leaderboards/mine",),
    "board build": ("faithbench board build", "faithbench board build leaderboards/mine"),
    "board check": ("faithbench board check", "faithbench board check leaderboards/mine"),
}
FIRST = ("faithbench run", "faithbench explain 'Oil prices fall again' --model ./model", "faithbench list")


def epilog(commands: tuple[str, ...]) -> str | None:
    """The end of a command's help, its lines kept as they are."""
    return "\n".join(("\b", "Examples:", *(f"  {command}" for command in commands))) if commands else None
