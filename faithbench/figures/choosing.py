"""Which of what runs hold a figure shows: by names, as tables show them or beginnings of these."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from faithbench.comparing.pairs import matches
from faithbench.errors import UserError, unknown
from faithbench.records.columns import DATA, PLACE
from faithbench.records.results import degrades, kind, kind_order, label, labels

PLACES = {"explainer": PLACE, "model": DATA}  # what the panels of a row share, by what their lines are of
MOST = 12  # panels of a figure
LEADING = ("comprehensiveness", "pointing_accuracy", "seqpg", "sufficiency")  # shown first, where there are too many


@dataclass(frozen=True)
class Choice:
    """Names of data sets, models, metrics and explainers; all that there are where none is named."""

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    explainers: tuple[str, ...] = ()

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """By the columns of records."""
        names = (self.datasets, self.models, self.metrics, self.explainers)
        return dict(zip(("dataset", "model", "metric", "explainer"), names, strict=True))

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that are meant; degraded copies of explainers only where they are named.

        Raises:
            UserError: a name is not among them, or they have nothing that all names mean.
        """
        kept = frame
        for column, names in self.named.items():
            if names and column in frame:
                known = sorted(map(str, frame[column].unique()))
                kept = kept[kept[column].isin({each for name in names for each in _meant(column, name, known)})]
        if not self.explainers and "explainer" in kept:
            copies = {name for name in kept["explainer"].unique() if degrades(str(name)) is not None}
            kept = kept[~kept["explainer"].isin(copies)]
        if kept.empty:
            told = ", ".join(f"{column} {name}" for column, names in self.named.items() for name in names)
            raise UserError(f"the runs hold no results of {told or 'explainers that are no degraded copies'} together.")
        return kept


def _meant(column: str, name: str, known: Sequence[str]) -> list[str]:
    found = matches(column, name, known)
    if not found:
        raise unknown(f"{column} of the runs", name, [label(column, each) for each in known])
    return found


def is_random(explainer: str) -> bool:
    """Whether an explainer is the one that draws its scores."""
    return explainer.partition("(")[0] == "random"


def line_of(frame: pd.DataFrame) -> str:
    """What a line of scores is of: an `explainer`, or a `model` where one explainer was measured on several of them."""
    models = frame[PLACE].drop_duplicates().groupby(DATA)["model"]
    if frame["explainer"].nunique() > 1 or models.nunique().max() < 2 or (models.nunique() < models.size()).any():
        return "explainer"
    return "model"


def few_panels(frame: pd.DataFrame, place: list[str] = PLACE) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """No more panels than a figure can hold, a sentence on the others: the leading metrics of as many places as fit.

    Args:
        frame: with columns of places and metrics.
        place: those of a place.
    """
    places = frame[place].drop_duplicates()
    every = frame[[*place, "metric"]].drop_duplicates()
    if len(every) <= MOST:
        return frame, ()
    share = max(1, MOST // len(places))
    order = sorted(frame["metric"].unique(), key=lambda name: leading(str(name)))
    kept = []
    for key in places.head(MOST).itertuples(index=False, name=None):
        here = every[(every[place] == pd.Series(key, index=place)).all(axis=1)]["metric"]
        kept += [(*key, name) for name in order if name in set(here)][:share]
    shown = pd.MultiIndex.from_frame(frame[[*place, "metric"]].astype(str)).isin(kept)
    note = f"{len(kept)} of {len(every)} panels are drawn; choose others with --metric, --model or --dataset."
    return frame[shown], (note,)


def leading(metric: str) -> tuple[object, ...]:
    """For sorting metrics: those that rank explainers by the usual questions first."""
    name, shown = metric.partition("(")[0], label("metric", metric)
    place = LEADING.index(name) if name in LEADING else len(LEADING)
    return place, name != shown, *kind_order(kind(metric)), shown


def places_of(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """The different data sets and models, each with its fingerprint."""
    return [tuple(map(str, key)) for key in frame[PLACE].drop_duplicates().itertuples(index=False, name=None)]


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Its rows, whose columns are attributes."""
    yield from frame.itertuples()


def data_names(frame: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """What to call each data set where lines are models: under the one explainer that there is."""
    (explainer,) = labels("explainer", frame["explainer"]).values()
    names = labels("dataset", frame["dataset"])
    keys = [tuple(map(str, key)) for key in frame[DATA].drop_duplicates().itertuples(index=False, name=None)]
    several = {name for name, _ in keys if [each for each, _ in keys].count(name) > 1}
    return {
        (name, content): f"{explainer} on {names[name]}{f' (content {content})' * (name in several)}"
        for name, content in keys
    }


def place_names(frame: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """What to call each data set with a model: with the state of weights and data only where names are not enough."""
    models, datasets = labels("model", frame["model"]), labels("dataset", frame["dataset"])
    keys = places_of(frame)
    found: dict[tuple[str, ...], str] = {}
    for dataset, data, model, weights in keys:
        alike = [key for key in keys if (key[0], key[2]) == (dataset, model)]
        of_weights = f" (weights {weights})" * (len({key[3] for key in alike}) > 1)
        of_data = f" (content {data})" * (len({key[1] for key in alike}) > 1)
        found[dataset, data, model, weights] = f"{models[model]}{of_weights} on {datasets[dataset]}{of_data}"
    return found
