"""In what tables and figures depart from the paper's is said where it is so, and nowhere else."""

from dataclasses import replace

import pandas as pd
import pytest

from faithbench.paper.departures import DEPARTURES, Shown, departures
from faithbench.paper.trainings import TrainedModel
from faithbench.plan import FIGURES_OF_PAPER, TABLES_OF_PAPER

HATEXPLAIN = "hatexplain(classes=2)"
BY_BCOS, LIME = "bcos(contrastive=False)", "lime(n_samples=3000)"
COMP, SEQPG = "comprehensiveness(protocol=paper, operator=mask)", "seqpg(protocol=paper)"
REPORT = {"training": {"epochs": 5}, "evaluated_every": 1000, "test": {"accuracy": 80.0}}
SENTENCES = {departure.id: departure.sentence for departure in DEPARTURES}


def records(texts: int = 1924, **changes: str) -> pd.DataFrame:
    """Those of one cell."""
    usual = {"dataset": HATEXPLAIN, "model": "bcos-bert(b=1.5)", "explainer": BY_BCOS, "metric": COMP}
    return pd.DataFrame([{**usual, **changes, "unit": str(i)} for i in range(texts)])


def trained(count: int = 3, model: str = "bcos-bert", **report: object) -> tuple[TrainedModel, ...]:
    """Trainings that differ in their seed alone."""
    told = {**REPORT, **report}
    return tuple(TrainedModel(f"{model}(seed={seed})", HATEXPLAIN, f"w{seed}", "", told) for seed in range(count))


def shown(name: str = "table2", **changes: object) -> Shown:
    """A table whose models and texts are the paper's."""
    usual = {"name": name, "backbone": "bert", "records": records(), "trainings": trained()}
    return Shown(**{**usual, **changes})


def told(what: Shown) -> set[str]:
    """The departures that are said of it, but for that of batches, which is said of all that was trained."""
    found = set(departures(what))
    return {name for name, sentence in SENTENCES.items() if sentence in found} - {"batches-by-length"}


CASES = {
    "lime-special-tokens": ("table2", {"records": records(explainer=LIME)}),
    "lime-mask": ("table7", {"records": records(explainer=LIME)}),
    "seqpg-token-types": ("table5", {"records": records(metric=SEQPG)}),
    "conventional-frozen-parts": ("table5", {"records": records(model="conv-bert(seed=42)")}),
    "texts": ("table2", {"records": records(1923)}),
    "seeds": ("table8", {"trainings": trained(2)}),
    "checkpoint-schedule": ("figure2", {"trainings": trained(evaluated_every=481)}),
    "mlm-data": ("table3", {"trainings": trained(start={"start": "mlm", "training": {"epochs": 1}})}),
    "mlm-other-data": (
        "table3",
        {"trainings": trained(start={"start": "mlm", "dataset": "standard_ebooks", "training": {"epochs": 1}})},
    ),
    "figure6-conventional": ("figure6", {"series": frozenset({"bert", "gold"})}),
    "figure6-gold": ("figure6", {"series": frozenset({"bert", "conventional"})}),
}


def test_of_the_papers_own_texts_and_trainings_nothing_is_said_but_how_batches_were_made():
    assert list(departures(shown())) == [SENTENCES["batches-by-length"]]
    assert list(departures(shown(trainings=()))) == []


@pytest.mark.parametrize("name", CASES)
def test_a_departure_is_said_where_it_is_one(name):
    table, changes = CASES[name]
    assert name in told(shown(table, **changes))
    without = {"records": records(), "trainings": trained(), "series": frozenset({"conventional", "gold"})}
    assert name not in told(shown(table, **without))


def test_masking_is_said():
    masked = [TrainedModel(f"bcos-bert(masking=half, seed={i})", HATEXPLAIN, f"w{i}", "", REPORT) for i in range(3)]
    assert told(shown(trainings=tuple(masked))) == {"masking"}


def test_texts_are_counted_cell_by_cell():
    both = pd.concat([records(), records(5, explainer="sig")])
    assert told(shown(records=both)) == {"texts"}


def test_a_report_of_before_that_does_not_say_how_often_it_was_evaluated_departs():
    old = tuple(replace(each, report={"training": {}, "test": {}}) for each in trained())
    assert told(shown(trainings=old)) == {"checkpoint-schedule"}


def test_every_departure_has_a_name_of_its_own_one_short_sentence_and_a_place():
    assert len(SENTENCES) == len(DEPARTURES) == len(set(SENTENCES.values()))
    for departure in DEPARTURES:
        assert departure.sentence.endswith(".")
        assert len(departure.sentence) < 200
        assert departure.where
        assert set(departure.where) <= {*TABLES_OF_PAPER, *FIGURES_OF_PAPER}
    assert set(CASES) | {"masking", "batches-by-length", "figure13-percentiles"} == set(SENTENCES)
