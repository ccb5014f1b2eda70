"""In what our tables and figures depart from the paper's (arXiv 2502.12992), each said where it applies.

Settings that a spec says (masks of LIME, orders of ShapSampl) and those of a training (epochs, texts, length) are
compared one by one in `sources.py` and `trainings.py`; here stands what no single setting says.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from faithbench.paper.matching import is_named, same, source_of, value_of
from faithbench.paper.trainings import TrainedModel
from faithbench.plan import FIGURES_OF_PAPER, TABLES_OF_PAPER
from faithbench.records.seeds import without_seed

SEEDS = 3  # of the paper
STEPS = 1000  # between the paper's evaluations
TEXTS = {"ag_news": 2000, "imdb": 2000, "hatexplain": 1924}  # of the paper
TRAINED = tuple(name for name in (*TABLES_OF_PAPER, *FIGURES_OF_PAPER) if name != "table4")


@dataclass(frozen=True)
class Shown:
    """What a table or figure shows: its name, the records in its cells, the trainings of its models, its series."""

    name: str
    backbone: str
    records: pd.DataFrame
    trainings: tuple[TrainedModel, ...]
    series: frozenset[str] = frozenset()

    @cached_property
    def explainers(self) -> frozenset[str]:
        """Their specs."""
        return self._named("explainer")

    @cached_property
    def metrics(self) -> frozenset[str]:
        """Their specs."""
        return self._named("metric")

    def _named(self, kind: str) -> frozenset[str]:
        return frozenset(self.records[kind].dropna().unique()) if kind in self.records else frozenset()


@dataclass(frozen=True)
class Departure:
    """One departure: a name, a sentence, the tables and figures that it can concern, and whether it applies to one."""

    id: str
    sentence: str
    where: tuple[str, ...]
    applies: Callable[[Shown], bool]


def departures(shown: Shown) -> Iterator[str]:
    """The sentences of all that apply."""
    for departure in DEPARTURES:
        if shown.name in departure.where and departure.applies(shown):
            yield departure.sentence


def _explained_by(name: str) -> Callable[[Shown], bool]:
    return lambda shown: any(is_named(full, name) for full in shown.explainers)


def _measured_by(name: str) -> Callable[[Shown], bool]:
    return lambda shown: any(is_named(full, name) for full in shown.metrics)


def _reports(shown: Shown) -> Iterator[Mapping[str, object]]:
    """Those of every phase of the trainings."""
    for training in shown.trainings:
        yield training.report
        if isinstance(start := training.report.get("start"), Mapping):
            yield start


def _is_trained(shown: Shown) -> bool:
    return any(isinstance(report.get("training"), Mapping) for report in _reports(shown))


def _evaluated_otherwise(shown: Shown) -> bool:
    """Masked language modelling evaluates nothing."""
    chosen = (each for each in _reports(shown) if isinstance(each.get("training"), Mapping) and "test" in each)
    return any(report.get("evaluated_every") != STEPS for report in chosen)


def _read_first(shown: Shown, own: bool) -> bool:
    """Whether some masked language modelling read the task's own texts, or others."""
    starts = ((source_of(each.dataset), each.report.get("start")) for each in shown.trainings)
    return any(
        isinstance(start, Mapping) and start.get("start") == "mlm" and (start.get("dataset", task) == task) == own
        for task, start in starts
    )


def _few_seeds(shown: Shown) -> bool:
    seeds = Counter((without_seed(each.model), source_of(each.dataset)) for each in shown.trainings)
    return any(count < SEEDS for count in seeds.values())


def _masks(shown: Shown) -> bool:
    return any(value_of("model", each.model, "masking") == "half" for each in shown.trainings)


def _few_texts(shown: Shown) -> bool:
    """Whether a cell of texts (and not of documents) is of fewer than the paper's."""
    if not {"dataset", "unit", "metric"} <= set(shown.records):
        return False
    counts = shown.records.groupby(["dataset", "model", "explainer", "metric"])["unit"].nunique()
    fewest = counts.groupby("dataset").min().items()
    return any(same("dataset", str(full), name) and count < TEXTS[name] for full, count in fewest for name in TEXTS)


def _conventional_by_bcos(shown: Shown) -> bool:
    if not {"model", "explainer"} <= set(shown.records):
        return False
    pairs = shown.records[["model", "explainer"]].drop_duplicates().itertuples(index=False)
    return any(model.startswith("conv-") and is_named(explainer, "bcos") for model, explainer in pairs)


DEPARTURES = (
    Departure(
        "lime-special-tokens",
        "LIME: comp and suff are measured on the text with its special tokens; the paper: without them.",
        ("table2", "table6", "table7"),
        _explained_by("lime"),
    ),
    Departure(
        "lime-mask",
        "LIME: tokens are replaced by the mask token's id; the paper: by the word [MASK] in a text joined again from "
        "its pieces, which the tokenizer may read otherwise.",
        ("table2", "table4", "table6", "table7"),
        _explained_by("lime"),
    ),
    Departure(
        "seqpg-token-types",
        "SeqPG: token types are those of one text for all explainers; the paper: of a pair for those that explain "
        "embeddings.",
        ("table2", "table3", "table5", "table8"),
        lambda shown: _measured_by("seqpg")(shown) and shown.backbone in ("bert", "minilm", "tiny"),
    ),
    Departure(
        "conventional-frozen-parts",
        "B-cos on a conventional model: norms, gates and attention are constant; the paper's code: attention alone.",
        ("table3", "table5"),
        _conventional_by_bcos,
    ),
    Departure(
        "texts",
        "Fewer texts were explained than in the paper: 2,000 of AG News and IMDB, 1,924 of HateXplain.",
        ("table2", "table5", "table6", "table7", "table8", "figure5"),
        _few_texts,
    ),
    Departure(
        "seeds",
        "Not every model was trained with three seeds; the paper: means over three.",
        TRAINED,
        _few_seeds,
    ),
    Departure(
        "checkpoint-schedule",
        "Checkpoints were compared twice an epoch; the paper: every 1,000 steps.",
        TRAINED,
        _evaluated_otherwise,
    ),
    Departure(
        "batches-by-length",
        "Batches held texts of similar length; the paper: texts drawn at random.",
        TRAINED,
        _is_trained,
    ),
    Departure(
        "mlm-data",
        "Masked language modelling read training texts of the task; the paper: 25,000 articles of Wikipedia.",
        ("table3",),
        lambda shown: _read_first(shown, own=True),
    ),
    Departure(
        "mlm-other-data",
        "Masked language modelling read other texts (mlm_data of the models); the paper: 25,000 articles of Wikipedia.",
        ("table3",),
        lambda shown: _read_first(shown, own=False),
    ),
    Departure(
        "masking",
        "Models were trained on masked texts too (masking=half); the paper's were not.",
        TRAINED,
        _masks,
    ),
    Departure(
        "figure6-conventional",
        "The curve of the conventional model is missing: it was not in the runs.",
        ("figure6",),
        lambda shown: "conventional" not in shown.series,
    ),
    Departure(
        "figure6-gold",
        "The rate of the labels is missing: the runs did not measure positive_rate(of=label).",
        ("figure6",),
        lambda shown: "gold" not in shown.series,
    ),
    Departure(
        "figure13-percentiles",
        "The percentiles are those that the runs measured, chosen here; they need not be the paper's.",
        ("figure13",),
        lambda shown: True,
    ),
)
