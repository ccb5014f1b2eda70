"""All that a file says, one entry a text."""

from collections.abc import Sequence
from pathlib import Path

from faithbench.errors import UserError, short, unknown
from faithbench.importing.files import Fields, read_rows
from faithbench.importing.formats import BCOS, THERMOSTAT, Entry, format_of
from faithbench.importing.texts import Texts, UnknownTextError

Rows = Sequence[tuple[str, Fields]]


def read_entries(
    path: Path, format: str | None, method: str | None, texts: Texts, skip_unknown: bool
) -> tuple[str, list[Entry], int]:
    """The format, the entries, and how many others were left out because the split does not have their text.

    Raises:
        UserError: the file is not there, in no known format, malformed, or has nothing or two entries about a text.
    """
    rows = read_rows(path)
    if _is_document(rows) and format in (None, BCOS.name):
        rows = _explanations(path, rows[0][1], method)
    elif method is not None:
        raise UserError(f"method={method!r} was asked for, but {path} does not hold several methods.")
    chosen = format_of(format, *rows[0])
    if chosen is THERMOSTAT:
        rows = [(where, {"idx": i} | dict(row)) for i, (where, row) in enumerate(rows)]
    found: dict[str, Entry] = {}
    for where, row in rows:
        try:
            entry = chosen.read(where, row, texts)
        except UnknownTextError:
            if not skip_unknown:
                raise
            continue
        if other := found.get(entry.example.id):
            raise UserError(
                f"{where}: text {short(entry.example.id)} occurs a second time; the first is {other.where}."
            )
        found[entry.example.id] = entry
    if not found:
        raise UserError(f"{path} has nothing about a text of {texts.label}.")
    return chosen.name, list(found.values()), len(rows) - len(found)


def _is_document(rows: Rows) -> bool:
    """Whether this is one object: method → for each text a list of explanations, one a class."""
    return len(rows) == 1 and bool(rows[0][1]) and all(_is_method(value) for value in rows[0][1].values())


def _is_method(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, list) and all(isinstance(one, dict) for one in each) for each in value)
    )


def _explanations(path: Path, document: Fields, method: str | None) -> Rows:
    """Of each text the explanation of the class that was predicted; the only one if there is one alone."""
    if method is not None and method not in document:
        raise unknown(f"method of {path}", method, document)
    if method is None and len(document) > 1:
        raise UserError(f"{path} holds several methods; choose one of {', '.join(sorted(document))}.")
    name = method or next(iter(document))
    rows = []
    for i, explanations in enumerate(document[name], 1):
        where = f"{path}, {name}, text {i}"
        fit = [
            one
            for one in explanations
            if "predicted_class" in one and one["predicted_class"] == one.get("target_class")
        ]
        chosen = explanations if len(explanations) == 1 else fit
        if len(chosen) != 1:
            raise UserError(f"{where} has {len(chosen)} explanations of the class that was predicted; one is needed.")
        rows.append((where, chosen[0]))
    return rows
