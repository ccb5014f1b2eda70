"""`faithbench export`: the neurons of a run as files of other tools, all of them or none."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithbench.errors import UserError, unknown
from faithbench.exporting.neuron_explainer import neuron_record, simulation_results
from faithbench.file_names import digest, slug
from faithbench.files import staging, writing
from faithbench.paths import as_path
from faithbench.records.neuron_parts import KeptNeuron
from faithbench.reporting.neuron import lookings
from faithbench.reporting.neurons import Looking
from faithbench.shown import counted

FORMATS = ("neuron-explainer",)
ABOUT = "README.txt"
LEFT_OUT = (
    "A run keeps the activations of each neuron in a few windows of documents that no description was made from: the "
    "top ones are most_positive_activation_records, those drawn at random random_sample. Not known, and so null: "
    "skewness, kurtosis, random_sample_by_quantile and quantile_boundaries. ev_correlation_score is the correlation in "
    "these windows, and no score of the run."
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        folder: where.
        neurons: how many.
        descriptions: of them.
        left_out: neurons that the run has not kept.
    """

    folder: Path
    neurons: int
    descriptions: int
    left_out: int

    @property
    def said(self) -> str:
        """In a sentence."""
        lacking = f"; {counted(self.left_out, 'neuron')} left out, which the run has not kept" if self.left_out else ""
        told = f"{counted(self.neurons, 'neuron')} with {counted(self.descriptions, 'description')}"
        return f"wrote {told} to {self.folder}{lacking}"


def export(folder: Path | str, out: Path | str, *, format: str = FORMATS[0], model: str | None = None) -> Exported:
    """Writes the neurons of a run in the shape that other tools read.

    For `neuron-explainer`: in a folder for each model, `neurons/LAYER/NUMBER.json` with the activations, and
    `explanations/LAYER/NUMBER.jsonl` with the descriptions and what they predict.

    Args:
        folder: of the run.
        out: a folder that is not there, or is empty.
        format: `neuron-explainer`.
        model: as tables show it, or the beginning of its name; None: all of the run.

    Raises:
        UserError: another format, the run is none about neurons or has kept none, or the folder is there already or
            cannot be written.
    """
    run, path = as_path("folder", folder), as_path("out", out)
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is there already, and nothing is overwritten; name a folder that is not.")
    found = list(lookings([run], model))
    if not any(looking.neurons for looking, _ in found):
        raise UserError(f"{run} has not kept what its neurons do; run again into a new folder, and it is kept.")
    with writing(f"folder {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging(path.parent) as place:
            made = place / path.name
            descriptions = sum(_write(made / name, looking) for name, looking in _named(found))
            (made / ABOUT).write_text(f"{LEFT_OUT}\n", encoding="utf-8")
            if path.exists():
                path.rmdir()
            made.rename(path)
    kept, whole = sum(len(each.neurons) for each, _ in found), sum(len(each.layers) for each, _ in found)
    return Exported(path, kept, descriptions, whole - kept)


def _named(found: list[tuple[Looking, str]]) -> Iterator[tuple[str, Looking]]:
    """A folder's name for each model, told apart by a digest where two are called the same."""
    counts = Counter(slug(name) for _, name in found)
    for looking, name in found:
        apart = f"-{digest(str(sorted(looking.panel.key.items())))}" if counts[slug(name)] > 1 else ""
        yield f"{slug(name)}{apart}", looking


def _write(folder: Path, looking: Looking) -> int:
    """Writes the neurons of a model; how many descriptions they have."""
    places = Counter((each.layer, each.number) for each in looking.neurons.values())
    written = 0
    for unit, neuron in looking.neurons.items():
        home = folder / slug(neuron.site) if places[neuron.layer, neuron.number] > 1 else folder
        results = simulation_results(neuron, looking.seen(unit).said)
        _put(home / "neurons", neuron, "json", neuron_record(neuron))
        _put(home / "explanations", neuron, "jsonl", results)
        written += len(results["scored_explanations"])
    return written


def _put(home: Path, neuron: KeptNeuron, ending: str, data: dict[str, Any]) -> None:
    folder = home / str(neuron.layer)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    (folder / f"{neuron.number}.{ending}").write_text(f"{text}\n", encoding="utf-8")
