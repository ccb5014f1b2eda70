"""Figure 2 of the paper: how accurate are B-cos models beside conventional ones?"""

import pandas as pd

from faithbench.paper.choose_backbone import split
from faithbench.paper.figure import PaperFigure
from faithbench.paper.matching import source_of
from faithbench.paper.run_data import RunData
from faithbench.records.results import known_first, label

ORDER = ("ag_news", "imdb", "hatexplain")  # of data sets in the paper; others behind


def accuracies(run_data: RunData) -> PaperFigure:
    """Figure 2: `accuracy` in percent by `dataset`, `backbone` and `kind`, of so many `trainings`."""
    rows = []
    pairs = sorted({pair for each in run_data.trainings if (pair := split(each.model))}, key=lambda pair: pair[::-1])
    sources = {source_of(each.dataset) for each in run_data.trainings}
    for full in sorted(sources, key=lambda each: known_first(label("dataset", each), ORDER)):
        for kind, backbone in pairs:
            values = run_data.reported(f"{kind}-{backbone}", full, "test", "accuracy")
            if values:
                rows.append((label("dataset", full), backbone, kind, sum(values) / len(values), len(values)))
    return PaperFigure("figure2", pd.DataFrame(rows, columns=["dataset", "backbone", "kind", "accuracy", "trainings"]))
