"""The results of a study as a table for people, and what its numbers can and cannot say."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from faithbench.shown import counted, listed
from faithbench.statistics.verdicts import ALPHA
from faithbench.studies.answers import Ratings
from faithbench.studies.key import LEAST, MOST, Key
from faithbench.studies.results import WANTED, Compared, Mean, Power, Reliability
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Note, Number, Part, Title, Words

UNIT_WORDS = {
    "text": "a text, by the means over its raters: what is shown holds for other texts, as these raters see them",
    "rater": "a rater, by the means over the texts: what is shown holds for other people, on these texts",
    "rating": "a rater's rating of a text, as if all were independent, which they are not: p is too small",
}
MANY = 1000.0
SMALL = 0.0001  # of p


def document(
    key: Key,
    ratings: Ratings,
    means: Sequence[Mean],
    compared: Sequence[Compared],
    reliable: Sequence[Reliability],
    power: Sequence[Power],
    unit: str,
) -> list[Part]:
    """Parts for the writers of tables."""
    labels = [method["label"] for method in key["methods"]]
    about = (
        f": {counted(len(labels), 'method')} on {counted(len(key['items']), 'text')}, rated by "
        f"{counted(len(ratings.raters), 'person', 'people')} (numbers {', '.join(map(str, ratings.raters))})"
    )
    return [
        Title(f"Study {key['study']}", about),
        *map(Note, verdicts(labels, compared, means)),
        *(
            part
            for one in reliable
            for part in _question(
                key["asked"].get(one.question, ""),
                labels,
                [mean for mean in means if mean.question == one.question],
                [pair for pair in compared if pair.question == one.question],
                one,
            )
        ),
        *map(Note, _notes(key, ratings, compared, power, unit)),
    ]


def _question(
    asked: str,
    labels: Sequence[str],
    means: Sequence[Mean],
    compared: Sequence[Compared],
    reliable: Reliability,
) -> list[Part]:
    return [
        Heading(f"{reliable.question}: {asked} Mean ratings, {LEAST} to {MOST}, with 95 % intervals"),
        _means(labels, means),
        Heading(f"{reliable.question}: paired t-tests"),
        _tests(labels, compared),
        Note(_agreement(reliable)),
    ]


def verdicts(labels: Sequence[str], compared: Sequence[Compared], means: Sequence[Mean]) -> Iterator[str]:
    """By rule, for each question: who is rated highest, above whom that is shown, and from whom it cannot be told."""
    for question in dict.fromkeys(one.question for one in means):
        own = [one for one in means if one.question == question and not math.isnan(one.value)]
        if not own:
            yield f"{question.capitalize()}: nobody has rated it."
            continue
        best = max(own, key=lambda one: one.value)
        below = [
            labels[_other(one, best.method)] for one in _of(compared, question, best.method) if _is_above(one, best)
        ]
        level = [
            labels[_other(one, best.method)] for one in _of(compared, question, best.method) if not _is_above(one, best)
        ]
        told = f"{question.capitalize()}: {labels[best.method]} is rated highest ({best.value:.2f})"
        told += f"; above {listed(below)}, which is shown" if below else ""
        told += f"; not shown to be above {listed(level)}" if level else ""
        yield f"{told}."


def _is_above(one: Compared, best: Mean) -> bool:
    return one.p < ALPHA and (one.difference > 0) == (one.a == best.method)


def _of(compared: Sequence[Compared], question: str, method: int) -> list[Compared]:
    return [one for one in compared if one.question == question and method in (one.a, one.b)]


def _other(one: Compared, method: int) -> int:
    return one.b if one.a == method else one.a


def _means(labels: Sequence[str], means: Sequence[Mean]) -> Grid:
    columns = (
        Column("method"),
        Column("mean", right=True),
        Column("over texts"),
        Column("over raters"),
        Column("ratings", right=True),
    )
    rows = [
        (Words(labels[one.method]), _number(one.value), _span(*one.texts), _span(*one.raters), Number(one.n))
        for one in means
    ]
    return Grid(columns, tuple(rows))


def _tests(labels: Sequence[str], compared: Sequence[Compared]) -> Grid:
    names = ("a − b", "t", "p", "corrected", "d_z", "n")
    columns = (Column("a"), Column("b"), *(Column(name, right=True) for name in names), Column("shown?"))
    return Grid(columns, tuple(_test(labels, one) for one in compared), keys=2)


def _test(labels: Sequence[str], one: Compared) -> tuple[Cell, ...]:
    told = "" if math.isnan(one.p) else "no" if one.p >= ALPHA else "a is above" if one.difference > 0 else "b is above"
    return (
        Words(labels[one.a]),
        Words(labels[one.b]),
        EMPTY if math.isnan(one.difference) else Number(one.difference, low=one.low, high=one.high, signed=True),
        _number(one.t),
        _p(one.p_alone),
        _p(one.p),
        _number(one.effect),
        Number(one.n),
        Words(told),
    )


def _agreement(one: Reliability) -> str:
    """What α is, or why there is none."""
    if math.isnan(one.ordinal):
        return "Krippendorff's α is not defined: no explanation has several ratings, or all are alike."
    within = "" if math.isnan(one.low) else f", 95 % interval {one.low:.2f} to {one.high:.2f}"
    return (
        f"Do raters agree? Krippendorff's α is {one.ordinal:.2f} (ordinal{within}; as an interval scale "
        f"{one.interval:.2f}), on {counted(one.n, 'explanation')} with several ratings.".replace("-", "−")
    )


def _notes(
    key: Key, ratings: Ratings, compared: Sequence[Compared], power: Sequence[Power], unit: str
) -> Iterator[str]:
    tests = sum(not math.isnan(one.p_alone) for one in compared)
    yield (
        f"Paired, two-sided t-tests; a pair is {UNIT_WORDS[unit]}. p is corrected by Bonferroni's method for all "
        f"{counted(tests, 'test')} of the table, intervals are not; d_z is the mean difference in standard deviations "
        "of the differences."
    )
    yield from map(_powered, power)
    yield (
        "α is 1 where raters always agree and 0 where they do so as often as by chance; its interval is over texts. "
        "It is of the ratings themselves: people who use the scale differently, but rank alike, have a low one. "
        "Means take the steps of the scale as equal."
    )
    yield (
        "Ratings say how explanations please and whether people would name the same words, not whether the model used "
        "them: a method can be liked and unfaithful. They hold for people like these raters."
    )
    yield from key["notes"]
    yield from _missing(key, ratings)
    yield from _alike(ratings)


def _powered(one: Power) -> str:
    """What would have shown a small difference, or why that is not known."""
    texts, raters = (_many(number, what) for number, what in ((one.texts, "texts"), (one.raters, "raters")))
    if not texts and not raters:
        return f"What it takes to show a difference of {WANTED} in {one.question} is not known from these ratings."
    told = " or ".join(filter(None, (texts and f"{texts} with these raters", raters and f"{raters} with these texts")))
    return (
        f"To show a difference of {WANTED} in {one.question} between any two methods, corrected and with 80 % power, "
        f"takes {told}."
    )


def _many(number: float, what: str) -> str:
    if math.isnan(number):
        return ""
    return f"more than {MANY:,.0f} {what}" if number > MANY else f"about {number:,.0f} {what}"


def _missing(key: Key, ratings: Ratings) -> Iterator[str]:
    absent = [number for number in range(1, key["raters"] + 1) if number not in ratings.raters]
    if absent:
        yield f"Nothing is there of {'rater' if len(absent) == 1 else 'raters'} {', '.join(map(str, absent))}."
    asked = sum(values[0].size for values in ratings.of.values())
    for i, rater in enumerate(ratings.raters):
        lacking = sum(int(np.isnan(values[i]).sum()) for values in ratings.of.values())
        if lacking:
            yield f"Rater {rater} has left out {lacking:,} of {asked:,} ratings; pairs that lack one are not compared."


def _alike(ratings: Ratings) -> Iterator[str]:
    for i, rater in enumerate(ratings.raters):
        for question, values in ratings.of.items():
            known = values[i][np.isfinite(values[i])]
            if known.size > 1 and known.min() == known.max():
                yield f"Rater {rater} has given {known[0]:.0f} for {question} every time."


def _number(value: float, signed: bool = False) -> Cell:
    return (
        EMPTY
        if math.isnan(value)
        else Words(f"{'−' * (value < 0)}∞")
        if math.isinf(value)
        else Number(value, signed=signed)
    )


def _p(value: float) -> Cell:
    if math.isnan(value):
        return EMPTY
    return Words(f"< {SMALL:.4f}") if value < SMALL else Number(value, places=4)


def _span(low: float, high: float) -> Cell:
    return EMPTY if math.isnan(low) else Words(f"{low:.2f} to {high:.2f}".replace("-", "−"))
