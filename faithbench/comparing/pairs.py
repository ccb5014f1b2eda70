"""Paired measurements of two explainers, or two models, text by text; and what a name in a command means."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from faithbench.errors import UserError, brief, enumerated, unknown
from faithbench.plugins.spec import named_parameters, parse
from faithbench.records.results import Panel, degrades, label
from faithbench.records.seeds import without_seed
from faithbench.records.store import Store
from faithbench.statistics.paired_tests import TESTS
from faithbench.statistics.verdicts import width_of
from faithbench.tables.cautions import repeats
from faithbench.tables.looking import not_corrected
from faithbench.tables.ranking import range_of, ranking, widths

Names = Mapping[str, Collection[str]]  # identities by kind of thing
CALLED = {"permutation": "sign-flip permutation tests", "wilcoxon": "Wilcoxon's signed-rank tests"}  # of `TESTS`


@dataclass(frozen=True)
class Pair:
    """Values and weights of two explainers on one model, or of two models under one explainer, on the same texts.

    Of two explainers that a table ranks `p` is the table's, corrected over all `tests` of the metric; else NaN, and 0.
    """

    dataset: str
    under: str  # the model of two explainers, or the explainer of two models
    fingerprint: str  # of the data set and of that model
    metric: str
    values: tuple[Float[np.ndarray, "texts"], Float[np.ndarray, "texts"]]
    weights: tuple[Float[np.ndarray, "texts"], Float[np.ndarray, "texts"]]
    width: float  # of the metric's range
    p: float = math.nan
    tests: int = 0


def of_explainers(found: Sequence[Panel], first: str, second: str) -> Iterator[Pair]:
    """Each metric by which two explainers were measured, on each data set and model."""
    for panel in found:
        if not {first, second} <= set(panel.explainers):
            continue
        a, b = panel.explainers.index(first), panel.explainers.index(second)
        ranks, sizes = ranking(panel), widths(panel)
        for i in range(len(panel.metrics)):
            p = float(ranks.p[a, b, i])
            tests = 0 if math.isnan(p) else max(1, int(ranks.pairs[i]))
            if (pair := _of_columns(panel, a, b, i, float(sizes[i]))) is not None:
                yield replace(pair, p=p, tests=tests)


def against_others(panel: Panel, first: str) -> Iterator[tuple[str, Pair]]:
    """One explainer of a panel with each of the others, by each metric; degraded copies, which judge metrics, apart."""
    a, sizes = panel.explainers.index(first), widths(panel)
    others = [b for b, name in enumerate(panel.explainers) if b != a and degrades(name) is None]
    for i in range(len(panel.metrics)):
        for b in others:
            if (pair := _of_columns(panel, a, b, i, float(sizes[i]))) is not None:
                yield panel.explainers[b], pair


def _of_columns(panel: Panel, a: int, b: int, metric: int, width: float) -> Pair | None:
    """Two explainers by one metric, if both have values of it."""
    seen = panel.present[:, [a, b], metric]
    if not seen.any(axis=0).all():
        return None
    rows = seen.any(axis=1)
    values = panel.values[rows, a, metric], panel.values[rows, b, metric]
    weights = panel.adjusted[rows, a, metric], panel.adjusted[rows, b, metric]
    state = f"{panel.key['dataset_fingerprint']} {panel.key['model_fingerprint']}"
    return Pair(panel.key["dataset"], panel.key["model"], state, panel.metrics[metric], values, weights, width)


def of_models(found: Sequence[Panel], first: str, second: str) -> Iterator[Pair]:
    """Each metric and explainer of which two models have values, on each data set with the same content.

    Raises:
        UserError: there are several trainings of one of the models, which its name does not tell apart.
    """
    contents = sorted({(panel.key["dataset"], panel.key["dataset_fingerprint"]) for panel in found})
    for dataset, content in contents:
        here = [b for b in found if (b.key["dataset"], b.key["dataset_fingerprint"]) == (dataset, content)]
        sides = [[panel for panel in here if panel.key["model"] == name] for name in (first, second)]
        for name, several in zip((first, second), sides, strict=True):
            if len(several) > 1:
                weights = ", ".join(panel.key["model_fingerprint"] for panel in several)
                raise UserError(f"the runs hold {len(several)} trainings of {name} on {dataset}: weights {weights}.")
        if all(sides):
            yield from _of_two(sides[0][0], sides[1][0], dataset, content)


def _of_two(a: Panel, b: Panel, dataset: str, content: str) -> Iterator[Pair]:
    texts = sorted(set(a.texts) & set(b.texts))
    rows = np.searchsorted(a.texts, texts), np.searchsorted(b.texts, texts)
    for explainer in sorted(set(a.explainers) & set(b.explainers)):
        for metric in sorted(set(a.metrics) & set(b.metrics)):
            first, second = (
                (rows[i], panel.explainers.index(explainer), panel.metrics.index(metric))
                for i, panel in enumerate((a, b))
            )
            seen = np.stack([a.present[first], b.present[second]], axis=1)
            if seen.any(axis=0).all():
                kept = seen.any(axis=1)
                values = a.values[first][kept], b.values[second][kept]
                weights = a.weights[first][kept], b.weights[second][kept]
                every = np.concatenate([a.values[:, :, first[2]].ravel(), b.values[:, :, second[2]].ravel()])
                width = width_of(range_of(metric), every)
                yield Pair(dataset, explainer, content, metric, values, weights, width)


def check_test(test: str, alpha: float) -> None:
    """Raises a UserError where there is no such test, or alpha is no share."""
    if test not in TESTS:
        raise UserError(f"test {test!r} is not known; use {' or '.join(TESTS)}.")
    if not 0 < alpha < 1:
        raise UserError(f"alpha {alpha!r} is not allowed; it lies between 0 and 1.")


def only(found: Sequence[Panel], model: str | None, dataset: str | None) -> list[Panel]:
    """The panels of a model and of a data set, where they are named.

    Raises:
        UserError: none has such a name, or several have.
    """
    kept = list(found)
    for what, name in (("dataset", dataset), ("model", model)):
        if name is not None:
            wanted = one(what, name, sorted({panel.key[what] for panel in kept}))
            kept = [panel for panel in kept if panel.key[what] == wanted]
    return kept


def notes_on(folders: Sequence[Path | str], datasets: Collection[str]) -> tuple[str, ...]:
    """What a reader of tests on these data sets must know besides, a sentence each."""
    manifests = [Store(Path(folder)).manifest() for folder in folders]
    return (*not_corrected(manifests), *repeats(manifests, datasets))


def names_in(found: Sequence[Panel], over_seeds: bool = False) -> Names:
    """The identities of explainers, models and metrics; of trainings that are put together, without the seed."""
    models = {panel.key["model"] for panel in found}
    return {
        "explainer": sorted({name for panel in found for name in panel.explainers}),
        "model": sorted({without_seed(name) for name in models} if over_seeds else models),
        "metric": sorted({name for panel in found for name in panel.metrics}),
    }


def names_elsewhere(every: Sequence[Panel], here: Sequence[Panel], over_seeds: bool = False) -> Mapping[str, Names]:
    """Those of each data set of which there is nothing here, by its name."""
    others = {panel.key["dataset"] for panel in every} - {panel.key["dataset"] for panel in here}
    return {
        label("dataset", other): names_in([panel for panel in every if panel.key["dataset"] == other], over_seeds)
        for other in sorted(others)
    }


def both(a: str, b: str, names: Names, elsewhere: Mapping[str, Names]) -> tuple[str, str, str]:
    """What A and B are, `explainer` or `model`, and their identities.

    Args:
        a: as tables show it, or a beginning that only one has.
        b: likewise.
        names: of what is looked at.
        elsewhere: those of data sets that are not looked at.

    Raises:
        UserError: a name is not known or could be several, or the two are one or of different kinds.
    """
    kinds = {what: names[what] for what in ("explainer", "model")}
    found = {what: (matches(what, a, known), matches(what, b, known)) for what, known in kinds.items()}
    for what, (first, second) in found.items():
        if len(first) == len(second) == 1:
            if first == second:
                raise UserError(f"{a!r} and {b!r} are both {label(what, first[0])}; two are needed to compare.")
            return what, first[0], second[0]
    for i, name in enumerate((a, b)):
        if not any(pair[i] for pair in found.values()):
            raise _absent(tuple(found), name, names, elsewhere)
    of_one_kind = [what for what in found if all(_may_be(what, name, kinds) for name in (a, b))]
    for i, name in enumerate((a, b)):
        meant = [label(what, one) for what in of_one_kind for one in found[what][i]]
        if len(meant) > 1:
            raise UserError(f"{name!r} may be {' or '.join(meant)}; write out which.")
    raise UserError(f"{a!r} and {b!r} are an explainer and a model; two of one kind are needed.")


def _may_be(what: str, name: str, kinds: Names) -> bool:
    """Whether a name means something of a kind; not by its beginning what of another kind is called just so."""
    exact = [kind for kind, known in kinds.items() if any(name in (each, label(kind, each)) for each in known)]
    return what in exact if exact else bool(matches(what, name, kinds[what]))


def one(what: str, name: str, known: Collection[str], elsewhere: Mapping[str, Names] = MappingProxyType({})) -> str:
    """The identity that a name means.

    Args:
        what: kind of thing.
        name: as tables show it, or a beginning that only one has.
        known: identities that are looked at.
        elsewhere: those of data sets that are not looked at.

    Raises:
        UserError: none has it, or several have it.
    """
    found = matches(what, name, known)
    if not found:
        raise _absent((what,), name, {what: known}, elsewhere)
    if len(found) > 1:
        raise UserError(f"{what} {name!r} may be {' or '.join(label(what, each) for each in found)}; write out which.")
    return found[0]


def _absent(kinds: Sequence[str], name: str, names: Names, elsewhere: Mapping[str, Names]) -> UserError:
    """The error for a name of which there is none here, with the data sets on which there is."""
    there = [data for data, others in elsewhere.items() if any(matches(what, name, others[what]) for what in kinds)]
    if there:
        on = enumerated(there)
        return UserError(f"{brief(repr(name))} was not measured on that data set; name one on which it was: {on}.")
    known = [label(what, each) for what in kinds for each in names[what]]
    return unknown(f"{' or '.join(kinds)} of the runs", name, known)


def matches(what: str, name: str, known: Collection[str]) -> list[str]:
    """The identities that a name means: exactly, or that begin with it, or that give all that it gives as a spec."""
    exact = [each for each in known if name in (each, label(what, each))]
    begin = [each for each in known if each.startswith(name) or label(what, each).startswith(name)]
    return exact or begin or [each for each in known if _gives(what, each, name)]


def _gives(what: str, full: str, part: str) -> bool:
    """Whether a spec has the name of another and every parameter of it, as `seqpg(dataset=imdb)` of a plan is meant."""
    try:
        (name, _, has), (asked, by_place, wanted) = parse(full), parse(part)
        if by_place:  # as `program(xor)`; which parameters these are is told by the component
            asked, wanted = named_parameters(what, part)
    except UserError:
        return False
    return name == asked and all(_is(what, has.get(key), value) for key, value in wanted.items())


def _is(what: str, value: object, wanted: object) -> bool:
    return value == wanted or (isinstance(value, str) and isinstance(wanted, str) and _gives(what, value, wanted))
