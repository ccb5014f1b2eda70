"""The page in a run's folder for whoever finds it: what is there, how it is read, and how to go on."""

from pathlib import Path

from faithbench.records.store import Store
from faithbench.shown import path_word, shell_words

NAME = "README.txt"
BEGIN = "A run of faithbench. This page is made by each run; write notes into another file.\n"
PAGE = """
What is here

  plan.toml, plan-2.toml    what was run into this folder, all of it: data sets, models, explainers, metrics
  commands.jsonl            every command that wrote here: date, version, commit, machine, what it came to
  manifest.json             what is known of data sets and models: fingerprints, accuracy, class names, truncated texts
  records/                  one value for each explainer, metric and text
  attributions/             one score for each token, explainer and text
  texts/                    each text as a tokenizer reads it: tokens, words, characters, marks
  predictions/              what each model says of each text: class, probabilities; what the data say
  neurons/                  of runs about neurons: each neuron's activations in the windows that people are shown
  descriptions/             likewise: what each describer says of each neuron, its length, what it predicts there

The last six, as far as they are there, are Parquet files, to be read as one: pandas.read_parquet("records"). From
Python, texts are faithbench.records.texts.read_texts([folder]) and results faithbench.table([folder]).

To go on

{commands}

The same run again does what is missing, and nothing twice. A larger --limit, or one more --explainer, --metric, --model
or --dataset, adds to what is here. Published boards hold neither texts nor predictions.
"""


def write_readme(store: Store) -> None:
    """Writes the page, but not over a file of that name that a person wrote.

    Raises:
        UserError: the folder cannot be written.
    """
    path, text = store.folder / NAME, BEGIN + PAGE.format(commands=_commands(store.folder))
    there = path.read_bytes() if path.is_file() else BEGIN.encode()
    if there.startswith(BEGIN.encode()) and there != text.encode():
        store.write_text(NAME, text)


def _commands(folder: Path) -> str:
    place = path_word(folder)
    lines = (
        ["table", place],
        ["report", place, "--out", "report.html"],
        ["figure", place, "--of", "scores", "--out", "scores.svg"],
        ["run", "--plan", place, "--out", place],
        ["board", "publish", place, f"leaderboards/{folder.resolve().name}"],
    )
    return "\n".join(f"  {shell_words(['faithbench', *line])}" for line in lines)
