"""One text as its explainers colour it: a line for each, from the texts and attributions that a run keeps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.errors import UserError, unknown
from faithbench.figures.choosing import Choice, place_names, places_of, rows_of
from faithbench.labels import class_called
from faithbench.records.columns import PLACE
from faithbench.records.results import labels, named
from faithbench.records.store import Store
from faithbench.records.texts import KeptTexts, numbered, read_texts
from faithbench.showing.marked import Marked, marked
from faithbench.shown import visible
from faithbench.types import Attribution, Target, Text

Line = tuple[str, Marked]
EXPLAINED = "what is explained"


def coloured(
    folders: Sequence[Path | str], choice: Choice, wanted: str
) -> tuple[pd.DataFrame, tuple[Line, ...], str, str]:
    """The scores of one text's pieces by explainer, the lines to draw, and what to call the text and what is explained.

    Where lines explain different things, such as two labels, each says which.

    Args:
        folders: of the runs.
        choice: which data sets, models and explainers.
        wanted: the text: its number, as in reports, or its id.

    Raises:
        UserError: the runs keep no texts or attributions, or not of that one.
    """
    frames = [frame for folder in folders if not (frame := Store(Path(folder)).read("attributions")).empty]
    if not frames:
        raise UserError("the runs hold no attributions, as published boards do not, so no text can be coloured.")
    frame = pd.concat(frames, ignore_index=True)
    frame = choice.of(frame[frame["error"].isna() & named(frame, folders)])
    frame = frame.drop_duplicates([*PLACE, "explainer", "text_id", "target", "against"], keep="last")
    kept = read_texts(folders)
    texts, name, called = _texts(kept, frame, wanted)
    names, places = labels("explainer", frame["explainer"]), place_names(frame)
    several, rows, lines, explained = len(texts) > 1, [], list[Line](), list[str]()
    for row in rows_of(frame[frame["text_id"] == name]):
        key = tuple(str(getattr(row, column)) for column in PLACE)
        text = texts.get(key)
        if text is None or text.offsets is None or len(row.scores) != len(text):
            continue
        target = Target(int(row.target), None if pd.isna(row.against) else int(row.against))
        line = marked(text, Attribution(name, target, np.asarray(row.scores, dtype=np.float64)))
        title = names[str(row.explainer)] + f", {places[key]}" * several
        explained.append(_explained(kept, dict(zip(PLACE, key, strict=True)), text, target))
        lines.append((title, line))
        for place, mark in enumerate(line.scored):
            told = {
                "explained": explained[-1],
                "place": place,
                "text": mark.text,
                "score": mark.score,
                "strength": mark.strength,
            }
            rows.append({**dict(zip(PLACE, key, strict=True)), "explainer": row.explainer, "unit": name, **told})
    if not lines:
        raise UserError(f"text {name!r} is kept, and no explainer's attributions of it are.")
    if len(set(explained)) == 1:
        return pd.DataFrame(rows), tuple(lines), called, explained[0]
    apart = ((f"{title}, for {what}", line) for (title, line), what in zip(lines, explained, strict=True))
    return pd.DataFrame(rows), tuple(apart), called, EXPLAINED


def _explained(kept: KeptTexts, key: Mapping[str, str], text: Text, target: Target) -> str:
    """The class that an explanation is of, in words; of a value or a next token the title of the figure says it."""
    if text.link == "identity" or text.candidates is not None:
        return EXPLAINED
    names = kept.class_names(key)
    own = class_called(target.output, names)
    return visible(own if target.against is None else f"{own} rather than {class_called(target.against, names)}")


def _texts(kept: KeptTexts, frame: pd.DataFrame, wanted: str) -> tuple[Mapping[tuple[str, ...], Text], str, str]:
    """The text as each model reads it, by place, its id, and what to call it."""
    every = {key: kept.of(dict(zip(PLACE, key, strict=True))) for key in places_of(frame)}
    ids = sorted({name for texts in every.values() for name in texts})
    if not ids:
        raise UserError("the runs keep no texts, as runs made before texts were kept; run the plan again to keep them.")
    numbers = dict(zip(ids, map(str, numbered(ids)), strict=True))
    name = next((name for name, number in numbers.items() if number == wanted), wanted)
    if name not in numbers:
        raise unknown("text of the runs", wanted, sorted(ids, key=lambda name: int(numbers[name])))
    called = f"Text {numbers[name]}" + (f" (id {name})" if name != numbers[name] else "")
    asked = [kept.continuations(dict(zip(PLACE, key, strict=True))).get(name) for key in every]
    called += next((f": {good.strip()} rather than {bad.strip()}" for good, bad in filter(None, asked)), "")
    return {key: texts[name] for key, texts in every.items() if name in texts}, name, called
