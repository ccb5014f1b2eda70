"""Texts one by one: what the model said of each, and what each explainer says of it, in as much room as there is."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from scipy.stats import rankdata

from faithbench.labels import class_called
from faithbench.records.results import FAITHFULNESS, TRUTH, Panel, kind, kind_order, labels
from faithbench.records.texts import Said, numbered
from faithbench.reporting.contest import Contest, Entrant
from faithbench.reporting.curves import Curves, of_text
from faithbench.reporting.lines import codes, marked_line, named, written
from faithbench.reporting.wording import figure, probability
from faithbench.shown import visible
from faithbench.types import Attribution, Target, Text

MOST = 500  # texts that are shown
LINE_BYTES, VALUE_BYTES = 3_500_000, 2_500_000  # of a report, for written lines and for values
PER_LETTER, PER_WORD, PER_VALUE = 1.1, 16, 45  # bytes of a line and of a value
EXCERPT = 90  # characters of a text where it is listed


@dataclass(frozen=True)
class ShownLine:
    """What an explainer says of a text: its line as HTML or, where there is no room, as codes; and the top words."""

    explainer: str
    named: tuple[str, ...]
    line: Markup | None
    codes: str
    curve: str
    curve_told: str
    values: tuple[str, ...]
    is_random: bool = False


@dataclass(frozen=True)
class ShownText:
    """A text with all that is shown of it.

    `predicted` is a class, and `told` what people are told of it: of a next-token question, which has `good` and `bad`,
    the word. `value` is that of the best explainer by the leading metric, to sort by; NaN is written as nothing.
    """

    number: int
    id: str
    source: str
    excerpt: str
    gold: str
    predicted: str
    told: str
    good: str
    bad: str
    probability: str
    probabilities: tuple[tuple[str, str], ...]
    is_wrong: bool
    is_cut: bool
    is_framed: bool
    value: str
    lines: tuple[ShownLine, ...]
    random_curve: str


@dataclass(frozen=True)
class ShownTexts:
    """The texts of a panel.

    Args:
        texts: those that are shown.
        whole: how many there are.
        metrics: labels of the metrics whose values are shown.
        metrics_whole: how many metrics there are.
        are_kept: whether the run has kept its texts.
        have_scores: whether it has kept what explainers said.
        classes: names of the predicted classes that occur, to choose by.
    """

    texts: tuple[ShownText, ...]
    whole: int
    metrics: tuple[str, ...]
    metrics_whole: int
    are_kept: bool
    have_scores: bool
    classes: tuple[str, ...]

    @property
    def numbers(self) -> frozenset[int]:
        """Of the texts that are shown."""
        return frozenset(text.number for text in self.texts)


@dataclass(frozen=True)
class Kept:
    """What runs have kept of the texts of a panel: the texts, what the model said, its classes, what explainers said.

    Attributions are by explainer and unit; `continuations` are those of next-token questions, the good one first.
    """

    texts: Mapping[str, Text]
    said: Mapping[str, Said]
    class_names: Sequence[str]
    attributions: Mapping[tuple[str, str], Attribution]
    continuations: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def shown_texts(found: Contest, kept: Kept, curves: Curves | None, share: float = 1.0) -> ShownTexts:
    """The texts of a panel for its page.

    Args:
        found: the explainers.
        kept: what there is of the texts.
        curves: what the records say at each step; None if they do not.
        share: of the room in the report that this panel has.
    """
    panel = found.panel
    numbers = numbered(panel.texts)
    chosen = sorted(range(len(panel.texts)), key=lambda i: numbers[i])[:MOST]
    metrics = _metrics(found, len(chosen), share)
    percentiles = {place: _percentiles(panel, place) for place in metrics}
    written_for = _room(found, kept, [panel.texts[i] for i in chosen], share)
    texts = [_text(found, kept, curves, i, numbers[i], metrics, percentiles, written_for) for i in chosen]
    names = labels("metric", panel.metrics)
    return ShownTexts(
        tuple(texts),
        len(panel.texts),
        tuple(names[panel.metrics[place]] for place in metrics),
        len(panel.metrics),
        bool(kept.texts),
        bool(kept.attributions),
        tuple(dict.fromkeys(sorted(text.predicted for text in texts if text.predicted))),
    )


def _metrics(found: Contest, texts: int, share: float) -> list[int]:
    """The metrics whose values are shown: the leading one, then by their kinds, as many as there is room for."""
    panel = found.panel
    order = sorted(
        range(len(panel.metrics)),
        key=lambda i: (
            i != found.place,
            kind(panel.metrics[i]) not in (FAITHFULNESS, TRUTH),
            kind_order(kind(panel.metrics[i])),
            len(panel.metrics[i]),
        ),
    )
    room = int(share * VALUE_BYTES / (PER_VALUE * max(1, texts * len(found.entrants))))
    return order[: max(1, room)]


def _room(found: Contest, kept: Kept, units: Sequence[str], share: float) -> int:
    """For how many explainers, best first, lines can be written out."""
    known = [text for unit in units if (text := kept.texts.get(_text_id(unit, kept))) is not None]
    size = sum(PER_LETTER * len(text.source) + PER_WORD * len(set(map(int, text.words))) for text in known)
    return max(1, int(share * LINE_BYTES / size)) if size else len(found.entrants)


def _percentiles(panel: Panel, metric: int) -> Float[np.ndarray, "texts explainers"]:
    """Where each value stands among those of all texts, from 0 to 100; NaN where there is none."""
    values = panel.values[:, :, metric]
    ranks = rankdata(values, axis=0, nan_policy="omit")
    counts = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "texts explainers"] = np.where(
            np.isfinite(values), 100 * (ranks - 0.5) / counts, np.nan
        )
    return found


def _text_id(unit: str, kept: Kept) -> str:
    """The text of a unit, which is one of its outputs where several were explained."""
    return unit if unit in kept.texts or unit in kept.said else re.sub(r" \[\d+\]\Z", "", unit)


def _text(
    found: Contest,
    kept: Kept,
    curves: Curves | None,
    place: int,
    number: int,
    metrics: Sequence[int],
    percentiles: Mapping[int, Float[np.ndarray, "texts explainers"]],
    written_for: int,
) -> ShownText:
    unit = found.panel.texts[place]
    name = _text_id(unit, kept)
    text, said = kept.texts.get(name), kept.said.get(name)
    lines = tuple(
        _line(found, kept, curves, place, entrant, text, metrics, percentiles, i < written_for)
        for i, entrant in enumerate(found.entrants)
    )
    names = _names(kept, name)
    gold = _class(names, text.label) if text is not None and text.label is not None else ""
    chances = _chances(names, text, said)
    says_class = said is not None and (text is None or text.link != "identity")
    predicted, told = (
        _class(each, said.predicted) if said is not None and says_class else "" for each in (kept.class_names, names)
    )
    good, bad = (visible(each) for each in kept.continuations.get(name, ("", "")))
    random = found.random
    first = found.entrants[0] if found.entrants else None
    value = found.panel.values[place, first.place, found.place] if first else math.nan
    return ShownText(
        number=number,
        id=unit,
        source=text.source if text is not None else "",
        excerpt=_excerpt(text.source, bool(good)) if text is not None else "",
        gold=gold,
        predicted=predicted,
        told=told,
        good=good,
        bad=bad,
        probability=chances[0][1] if chances else "",
        probabilities=tuple(chances),
        is_wrong=bool(
            text is not None
            and said is not None
            and text.label is not None
            and text.link == "softmax"
            and text.label != said.predicted
        ),
        is_cut=bool(text is not None and text.truncated),
        is_framed=bool(text is not None and (text.evidence is not None or text.rationale is not None)),
        value=f"{value:.6g}" if math.isfinite(value) else "",
        lines=lines,
        random_curve=of_text(curves, place, random.place)[0] if random is not None else "",
    )


def _line(
    found: Contest,
    kept: Kept,
    curves: Curves | None,
    place: int,
    entrant: Entrant,
    text: Text | None,
    metrics: Sequence[int],
    percentiles: Mapping[int, Float[np.ndarray, "texts explainers"]],
    is_written: bool,
) -> ShownLine:
    panel = found.panel
    attribution = kept.attributions.get((entrant.name, panel.texts[place]))
    marked = marked_line(text, attribution) if text is not None and attribution is not None else None
    top = tuple(named(marked)) if marked is not None else tuple(_positions(attribution))
    values = (
        _value(panel.values[place, entrant.place, metric], percentiles[metric][place, entrant.place])
        for metric in metrics
    )
    return ShownLine(
        entrant.label,
        top,
        written(marked) if marked is not None and is_written else None,
        codes(marked) if marked is not None and not is_written else "",
        *of_text(curves, place, entrant.place),
        tuple(values),
        entrant.is_random,
    )


def _positions(attribution: Attribution | None) -> Iterator[str]:
    """The positions of the tokens with the largest scores, where the text is not known."""
    if attribution is None:
        return
    scores = np.nan_to_num(np.asarray(attribution.scores, dtype=np.float64))
    for position in np.argsort(-np.abs(scores), kind="stable")[:5]:
        if scores[position]:
            yield f"token {int(position)} {'+' if scores[position] > 0 else '−'}"


def _value(value: float, percentile: float) -> str:
    return f"{figure(float(value), 3, most=3)} ({percentile:.0f})" if math.isfinite(value) else "–"


def _names(kept: Kept, text: str) -> Sequence[str]:
    """What the outputs are called for a text: classes, or the two words that might follow it."""
    words = kept.continuations.get(text)
    if words is None:
        return kept.class_names
    return [word.strip() or word for word in words]


def _class(names: Sequence[str], number: int) -> str:
    return visible(class_called(number, names))


def _chances(names: Sequence[str], text: Text | None, said: Said | None) -> list[tuple[str, str]]:
    """The classes with their probabilities, most probable first; of a model that says a value, that."""
    if said is None or not len(said.probabilities):
        return []
    if text is not None and text.link == "identity":
        return [("value", figure(float(said.probabilities[0]), 3))]
    order = np.argsort(-said.probabilities, kind="stable")[:5]
    return [(_class(names, int(i)), probability(float(said.probabilities[i]))) for i in order]


def _excerpt(source: str, goes_on: bool = False) -> str:
    """The beginning of a text; of one that goes on, its end."""
    words = " ".join(source.split())
    if goes_on and len(words) > EXCERPT:
        return f"…{words[1 - EXCERPT :].lstrip()}"
    return words if len(words) <= EXCERPT else f"{words[: EXCERPT - 1].rstrip()}…"


def attributions_of(frame: pd.DataFrame, key: Mapping[str, str]) -> dict[tuple[str, str], Attribution]:
    """What explainers said of a model on a data set, by explainer and unit, of their latest version.

    Args:
        frame: the entries of attributions.
        key: of a panel.
    """
    if frame.empty:
        return {}
    own = frame[np.logical_and.reduce([frame[name] == value for name, value in key.items()]) & frame["error"].isna()]
    found: dict[tuple[str, str], Attribution] = {}
    several = own.duplicated(["explainer", "text_id", "version"]).any() if len(own) else False
    for row in own.sort_values("version", kind="stable").itertuples():
        if row.scores is None:
            continue
        unit = f"{row.text_id} [{row.target}]" if several else row.text_id
        scores = np.asarray(row.scores, dtype=np.float64)
        found[str(row.explainer), str(unit)] = Attribution(str(row.text_id), Target(int(row.target)), scores)
    return found
