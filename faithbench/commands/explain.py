"""`faithbench explain`: texts explained on a terminal, and as files."""

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Device
from faithbench.commands.output import err_console, out_console
from faithbench.console import paragraphs, say
from faithbench.errors import UserError, brief

STDIN = "-"
LINE = re.compile(r"\r\n|\n|\r")  # nothing else that Unicode calls the end of one: texts hold such characters
DATA = re.compile(r"\.(csv|tsv|jsonl?|ndjson|parquet|txt|xlsx?)(\.(gz|bz2|xz))?$", re.IGNORECASE)  # ends of files


def explain(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...", help="Texts; or a file of texts (csv, jsonl, txt, …); or -, a text a line of the input."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Folder, hub id, or a named model (then with --dataset).", autocompletion=names("model"))
    ],
    explainer: Annotated[
        list[str] | None,
        typer.Option(
            help="Repeat for more [default: bcos for B-cos models, attn_lrp for others; and occlusion].",
            autocompletion=names("explainer"),
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class to explain [default: the one that is predicted].")] = None,
    against: Annotated[str | None, typer.Option(help="Class that it is compared with [default: none].")] = None,
    good: Annotated[
        str | None, typer.Option(help="For a language model: a word that might follow, and is explained.")
    ] = None,
    bad: Annotated[str | None, typer.Option(help="The word that it is compared with.")] = None,
    generate: Annotated[
        int | None, typer.Option(help="Let a language model go on for so many tokens, and explain each.")
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="The second text, for models that read two; with a file, its column.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="With a file: the text's column [default: a usual name].")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="What a named model was trained on.", autocompletion=names("dataset"))
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Explain the first so many texts [default: all].")] = None,
    by: Annotated[
        str | None, typer.Option(help="What is coloured: word or token [default: word; with --generate token].")
    ] = None,
    draws: Annotated[int, typer.Option(help="Random sets of words that explanations are compared with.")] = 100,
    html: Annotated[Path | None, typer.Option(help="Page to write.")] = None,
    png: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
    json: Annotated[Path | None, typer.Option(help="Scores to write, as JSON.")] = None,
    device: Device = None,
) -> None:
    """Show on which words a model's answer rests.

    And how far to trust that: what becomes of the answer without them.
    """
    files = {"--html": (html, ".html"), "--png": (png, ".png"), "--svg": (svg, ".svg"), "--json": (json, ".json")}
    wanted = [_of_kind(option, path, ending) for option, (path, ending) in files.items() if path is not None]
    is_file = len(texts) == 1 and texts != [STDIN] and _is_file(texts[0])
    if text is not None and not is_file:
        raise UserError("--text names the column of a file, and no file of texts is given.")
    found = faithbench.explain(
        model,
        Path(texts[0]) if is_file else [each if pair is None else (each, pair) for each in _given(texts)],
        explainer or None,
        target,
        against=against,
        good=good,
        bad=bad,
        generate=generate,
        pair=pair if is_file else None,
        column=text,
        limit=limit,
        by=by,
        draws=draws,
        dataset=dataset,
        device=device,
        save=wanted,
        console=err_console,
    )
    paragraphs(out_console, found.lines(out_console.encoding, out_console.width))
    for path in wanted:
        say(err_console, f"wrote {path}", whole=True)


def _of_kind(option: str, path: Path, ending: str) -> Path:
    """A path with the ending of an option's files.

    Raises:
        UserError: it has another.
    """
    if path.suffix.lower() != ending:
        raise UserError(f"{option} {brief(repr(str(path)))} does not end in {ending}.")
    return path


def _is_file(text: str) -> bool:
    """Whether an argument is a file rather than a text: there is one, or it is one word that ends as data files do."""
    with suppress(OSError, ValueError):
        if Path(text).is_file():
            return True
    return DATA.search(text) is not None and len(text.split()) == 1


def _given(texts: list[str]) -> list[str]:
    """The texts of arguments, or those of the input, a text a line.

    Raises:
        UserError: the input is empty or not in UTF-8, or a file stands beside texts.
    """
    if texts != [STDIN]:
        for each in texts:
            if each == STDIN or (len(texts) > 1 and _is_file(each)):
                raise UserError(f"{brief(repr(each))} stands among texts; give a file, or - for the input, alone.")
        return texts
    try:
        lines = [line for line in LINE.split(sys.stdin.buffer.read().decode("utf-8-sig")) if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"the input is not in UTF-8 ({error}); convert it first.") from error
    if not lines:
        raise UserError("the input has no texts: it is empty.")
    return lines
