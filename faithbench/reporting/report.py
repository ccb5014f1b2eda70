"""`faithbench report`: one offline file that says whom to trust, and shows what that rests on down to single texts."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from faithbench.comparing.meta import MetaEvaluation, meta_evaluation
from faithbench.errors import UserError
from faithbench.files import replacing, writing
from faithbench.paths import as_path, as_paths
from faithbench.records.columns import PLACE
from faithbench.records.commands import read_commands
from faithbench.records.manifest import Manifest
from faithbench.records.neuron_parts import read_neurons
from faithbench.records.results import Panel, labels, panels, predicted_classes, read, unit_names
from faithbench.records.store import Store
from faithbench.records.texts import KeptTexts, read_texts
from faithbench.records.units import is_of_neurons, of_neurons
from faithbench.reporting.cards import Card, cards
from faithbench.reporting.contest import costs_of
from faithbench.reporting.generations import ShownGeneration, legend_of, shown_generations
from faithbench.reporting.lines import LINE_STYLE
from faithbench.reporting.neuron_section import NeuronSection, neuron_section
from faithbench.reporting.sections import Section, section
from faithbench.reporting.texts import Kept, attributions_of
from faithbench.showing.html import LINE_CSS, STACK_CSS, TRIANGLE_CSS
from faithbench.shown import visible
from faithbench.tables.cautions import of_earlier_versions
from faithbench.tables.controls import controls
from faithbench.tables.document import legend
from faithbench.tables.html import fragment
from faithbench.tables.signature import signature_of
from faithbench.tables.table import failures_of, frame_of, notes

ENDINGS = (".html", ".htm")
NAMED = 20  # failures that are listed


@dataclass(frozen=True)
class Report:
    """What a report's template is given."""

    sections: tuple[Section | NeuronSection, ...]
    cards: tuple[Card, ...]
    agreement: Markup
    why_no_agreement: str
    notes: tuple[str, ...]
    legend: tuple[str, ...]
    failures: tuple[tuple[str, str, str, int], ...]
    more_failures: int
    provenance: tuple[tuple[str, str], ...]
    signature: str
    generations: tuple[ShownGeneration, ...] = ()
    generations_legend: str = ""
    controls: Markup | None = None  # of neurons

    @property
    def unit(self) -> str:
        """What records are of: neurons where all sections are about them."""
        return "neuron" if all(each.about_neurons for each in self.sections) else "text"


def report(folders: Sequence[Path | str], out: Path | str, generations: Sequence[Path | str] = ()) -> Path:
    """Writes what runs or boards have found as one HTML file, which opens without a network.

    First a verdict by rule for each model and data set, what must hold for it, and the explainers with their intervals;
    then tables, two explainers compared, texts one by one, curves, what the metrics are, and what does not hold.

    Args:
        folders: of the runs or boards.
        out: a file .html.
        generations: JSON files of texts that a language model has gone on with (`faithbench.explain(…, generate=8)`).

    Returns:
        The file.

    Raises:
        UserError: a folder is no run, a file none of such texts, the report's ending is another, or it cannot be
            written.
    """
    path = as_path("out", out)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"report {str(path)!r} does not end in .html; give a file such as report.html.")
    found = as_paths("folders", folders)
    text = page(contents(found, as_paths("generations", generations) if generations else ()))
    with writing(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def contents(folders: Sequence[Path], generations: Sequence[Path] = ()) -> Report:
    """Everything that the report of these runs shows, and of files of texts that a language model has gone on with.

    Raises:
        UserError: a folder is no run, a file none of such texts, or two runs hold different records of one identity.
    """
    manifests = [Store(folder).manifest() for folder in folders]
    generated = shown_generations(generations, manifests)
    records = read(folders)
    frame = frame_of(folders, records)
    about_neurons = not of_neurons(records).empty
    meta, why = _agreement(folders)
    failed = failures_of(records)
    return Report(
        sections=tuple(_sections(folders, records, frame, manifests, meta)),
        cards=tuple(cards(frame["metric"])),
        agreement=Markup("") if meta is None else fragment(meta.document()[:-1]),
        why_no_agreement=why,
        notes=tuple(dict.fromkeys([*notes(folders), *of_earlier_versions(records)])),
        legend=tuple(legend(frame)),
        failures=tuple((str(a), str(b), str(c), int(n)) for a, b, c, n in failed.head(NAMED).itertuples(index=False)),
        more_failures=max(0, len(failed) - NAMED),
        provenance=tuple(_provenance(folders, manifests)),
        signature=signature_of(records, folders),
        generations=tuple(generated),
        generations_legend=legend_of(generated),
        controls=fragment(controls(folders)) if about_neurons else None,
    )


def page(found: Report) -> str:
    """The report as HTML; only the script that is in it may run, and nothing is fetched."""
    files = resources.files("faithbench.reporting")
    script, style = ((files / name).read_text(encoding="utf-8") for name in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = _environment().get_template("report.html.j2")
    return shown.render(
        report=found,
        script=script,
        style="\n".join((style, LINE_CSS, TRIANGLE_CSS, STACK_CSS, LINE_STYLE)),
        digest=digest,
    )


def _environment() -> Environment:
    """Whatever is put into the page is escaped, and what cannot be seen is spelled out."""
    return Environment(
        loader=PackageLoader("faithbench.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    return visible(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value


def _sections(
    folders: Sequence[Path],
    records: pd.DataFrame,
    frame: pd.DataFrame,
    manifests: Sequence[Manifest],
    meta: MetaEvaluation | None,
) -> Iterator[Section | NeuronSection]:
    found = list(panels(records, predicted=predicted_classes(folders)))
    kept, neurons = read_texts(folders), read_neurons(folders)
    attributions = [Store(folder).read("attributions") for folder in folders]
    said = pd.concat([each for each in attributions if len(each)]) if any(map(len, attributions)) else pd.DataFrame()
    names = {**labels("dataset", frame["dataset"]), **labels("model", frame["model"])}
    agreements = pd.DataFrame() if meta is None else meta.pairs
    for number, panel in enumerate(found, 1):
        own = _own(records, panel.key)
        if is_of_neurons(panel.key["dataset"]):
            rows = _own(frame, panel.key)
            yield neuron_section(number, panel, rows, own, neurons, manifests, names, 1 / len(found))
            continue
        yield section(
            number,
            panel,
            _own(frame, panel.key),
            own.assign(unit=unit_names(own)),
            _kept(kept, panel, said),
            manifests,
            dict(costs_of([_own(said, panel.key)] if len(said) else [])),
            agreements,
            names,
            1 / len(found),
        )


def _own(frame: pd.DataFrame, key: Mapping[str, str]) -> pd.DataFrame:
    """The rows of a panel."""
    where = pd.Series(True, index=frame.index)
    for name in PLACE:
        where &= frame[name].astype(str) == key[name]
    return frame[where]


def _kept(kept: KeptTexts, panel: Panel, said: pd.DataFrame) -> Kept:
    key = panel.key
    told = attributions_of(said, key)
    return Kept(kept.of(key), kept.said(key), kept.class_names(key), told, kept.continuations(key))


def _agreement(folders: Sequence[Path]) -> tuple[MetaEvaluation | None, str]:
    """How metrics agree, or why that cannot be said."""
    try:
        return meta_evaluation(folders), ""
    except UserError as error:
        return None, str(error)


def _provenance(folders: Sequence[Path], manifests: Sequence[Manifest]) -> Iterator[tuple[str, str]]:
    """What made the numbers: versions, fingerprints, hardware, commands."""
    for folder, manifest in zip(folders, manifests, strict=True):
        yield "folder", folder.name
        versions = manifest.get("versions", {})
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or "not noted"
        for data in manifest.get("datasets", {}).values():
            split = f", split {data['split']}" if "split" in data else ""
            texts = f", {data['texts']:,} texts" if "texts" in data else ""
            yield f"data {data['label']}", f"fingerprint {data['fingerprint']}{split}{texts}"
        for name, model in manifest.get("models", {}).items():
            told = [f"fingerprint {model['fingerprint']}", model.get("dtype", ""), model.get("hardware", "")]
            yield f"model {model['label']}", f"{', '.join(filter(None, told))} (on {name.partition(' on ')[2]})"
        yield from _commands(folder)


def _commands(folder: Path) -> Iterator[tuple[str, str]]:
    """The commands that wrote into a folder, the oldest first."""
    for each in read_commands(folder):
        told = each.get("commit")
        commit = f", commit {told[:12]}" if told else ""
        line = each.get("command") or "a call from Python"
        yield (
            f"command of {each.get('began', 'unknown date')}",
            f"{line} (faithbench {each.get('version', '')}{commit})",
        )
