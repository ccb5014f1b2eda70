"""One text as its explainers colour it: a line for each, from the texts and attributions that a run keeps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.errors import UserError, unknown
from faithbench.figures.choosing import Choice, place_names, places_of, rows_of
from faithbench.records.results import PLACE, labels, named
from faithbench.records.store import Store
from faithbench.records.texts import KeptTexts, read_texts
from faithbench.showing.marked import Marked, marked
from faithbench.types import Attribution, Target, Text

Line = tuple[str, Marked]


def coloured(folders: Sequence[Path | str], choice: Choice, wanted: str) -> tuple[pd.DataFrame, tuple[Line, ...]]:
    """The scores of one text's pieces by explainer, and the lines to draw.

    Args:
        folders: of the runs.
        choice: which data sets, models and explainers.
        wanted: the text: its id, or its number from 1 among the kept ones, by id.

    Raises:
        UserError: the runs keep no texts or attributions, or not of that one.
    """
    frames = [frame for folder in folders if not (frame := Store(Path(folder)).read("attributions")).empty]
    if not frames:
        raise UserError("the runs hold no attributions, as published boards do not, so no text can be coloured.")
    frame = pd.concat(frames, ignore_index=True)
    frame = choice.of(frame[frame["error"].isna() & named(frame, folders)])
    frame = frame.drop_duplicates([*PLACE, "explainer", "text_id", "target", "against"], keep="last")
    texts, name = _texts(read_texts(folders), frame, wanted)
    names, places = labels("explainer", frame["explainer"]), place_names(frame)
    several, rows, lines = len(texts) > 1, [], list[Line]()
    for row in rows_of(frame[frame["text_id"] == name]):
        key = tuple(str(getattr(row, column)) for column in PLACE)
        text = texts.get(key)
        if text is None or text.offsets is None or len(row.scores) != len(text):
            continue
        target = Target(int(row.target), None if pd.isna(row.against) else int(row.against))
        line = marked(text, Attribution(name, target, np.asarray(row.scores, dtype=np.float64)))
        title = names[str(row.explainer)] + f", {places[key]}" * several
        lines.append((title, line))
        for place, mark in enumerate(line.scored):
            told = {"place": place, "text": mark.text, "score": mark.score, "strength": mark.strength}
            rows.append({**dict(zip(PLACE, key, strict=True)), "explainer": row.explainer, "unit": name, **told})
    if not lines:
        raise UserError(f"text {name!r} is kept, and no explainer's attributions of it are.")
    return pd.DataFrame(rows), tuple(lines)


def _texts(kept: KeptTexts, frame: pd.DataFrame, wanted: str) -> tuple[Mapping[tuple[str, ...], Text], str]:
    """The text as each model reads it, by place, and its id."""
    every = {key: kept.of(dict(zip(PLACE, key, strict=True))) for key in places_of(frame)}
    ids = sorted({name for texts in every.values() for name in texts}, key=_as_number)
    if not ids:
        raise UserError("the runs keep no texts, as runs made before texts were kept; run the plan again to keep them.")
    name = wanted if wanted in ids else _numbered(ids, wanted)
    return {key: texts[name] for key, texts in every.items() if name in texts}, name


def _numbered(ids: Sequence[str], wanted: str) -> str:
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:9]) <= len(ids):
        return ids[int(wanted) - 1]
    raise unknown("text of the runs", wanted, ids)


def _as_number(name: str) -> tuple[int, int, str]:
    """Ids that are numbers in their order, before others."""
    return (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 19 else (1, 0, name)
