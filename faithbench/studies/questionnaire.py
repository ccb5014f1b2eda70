"""The questionnaire: one file that opens without a network, asks, keeps what is answered, and sends nothing.

Nothing in it says whose an explanation is: names are random, the file's own order is that of the names, and the numbers
behind words are shares of the line's largest, since the size of scores would give a method away.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from faithbench.showing.html import LINE_CSS, escape, line_html
from faithbench.showing.marked import Marked, line, marked
from faithbench.shown import listed
from faithbench.studies.items import Item
from faithbench.studies.key import ASKED, LEAST, MOST, Key

SAMPLE = line("A superb cast in a dull film", [(2, 8), (9, 13), (19, 23)], np.array([1.0, 0.4, -0.7]))


def questionnaire(key: Key, items: Sequence[Item]) -> str:
    """The page of a study.

    Args:
        key: which names explanations have; nothing else of it is shown.
        items: the texts, in the key's order.
    """
    shown = sorted(
        (_item(own["item"], item, own["explanations"]) for own, item in zip(key["items"], items, strict=True)),
        key=lambda one: str(one["name"]),
    )
    script = _file("questionnaire.js")
    return (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        .from_string(_file("questionnaire.html"))
        .render(
            study=key["study"],
            raters=key["raters"],
            items=shown,
            answers=Markup(listed(sorted({escape(item.predicted) for item in items}))),  # noqa: S704  # escaped there
            per_text=len(key["methods"]),
            asked=ASKED,
            scale=range(LEAST, MOST + 1),
            sample=Markup(line_html(SAMPLE)),  # noqa: S704  # escaped there
            style=Markup(f"{LINE_CSS}\n{_file('questionnaire.css')}"),  # noqa: S704  # our own
            script=Markup(script),  # noqa: S704  # our own
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=Markup(_data(key)),  # noqa: S704  # holds no <
        )
    )


def orders(key: Key) -> list[list[list[str]]]:
    """For each rater, from 1 on: texts in their order, each a list of its name and those of its explanations."""
    told = []
    for rater in range(1, key["raters"] + 1):
        generator = np.random.default_rng([key["seed"], 2, rater])
        own = [key["items"][i] for i in generator.permutation(len(key["items"]))]
        shuffled = [generator.permutation(len(item["explanations"])) for item in own]
        told.append(
            [
                [item["item"], *(item["explanations"][i] for i in order)]
                for item, order in zip(own, shuffled, strict=True)
            ]
        )
    return told


def _item(name: str, item: Item, names: Sequence[str]) -> dict[str, object]:
    lines = {
        own: Markup(line_html(_relative(marked(replace(text, evidence=None, rationale=None), attribution))))  # noqa: S704
        for own, (text, attribution) in zip(names, item.explained, strict=True)
    }
    return {"name": name, "predicted": Markup(escape(item.predicted)), "lines": sorted(lines.items())}  # noqa: S704


def _relative(marked: Marked) -> Marked:
    """The line with its largest score as 1."""
    largest = max((abs(mark.score) for mark in marked.scored), default=0.0)
    if not largest:
        return marked
    return Marked(
        tuple(mark if math.isnan(mark.score) else replace(mark, score=mark.score / largest) for mark in marked.marks)
    )


def _data(key: Key) -> str:
    """What the script needs, as JSON in which nothing can end the element that it stands in."""
    data = {"study": key["study"], "questions": list(ASKED), "least": LEAST, "most": MOST, "orders": orders(key)}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _file(name: str) -> str:
    return files("faithbench.studies").joinpath(name).read_text(encoding="utf-8")
