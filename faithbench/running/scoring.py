"""One model on one data set: what is left to do, and doing it."""

from collections.abc import Sequence
from dataclasses import dataclass

from faithbench.plugins.spec import Component
from faithbench.records.store import Store
from faithbench.running.calibration import Calibration, calibrate
from faithbench.running.executors import Executor, Here
from faithbench.running.forecast import Forecast
from faithbench.running.grid import DatasetPlan
from faithbench.running.pieces import Deal, Job, Stored, Work
from faithbench.running.progress import Tracker
from faithbench.running.remaining import Cell, Entries, Remaining
from faithbench.shown import counted
from faithbench.stopping import written_first
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup
from faithbench.types import Text

SIZE = 200_000  # units of texts and explainers, from which on it is tried first what a run will take
UNTRIED = "with --workers or --timeout no text is tried first; --dry-run says what one process takes without them."
SAID_SECONDS = 60.0  # from which on it is said


@dataclass(frozen=True)
class Done:
    """Cells done now, there before, and failed."""

    done: int
    before: int
    failed: int


class Scoring:
    """One model on one data set: what is left to do, and doing it.

    Args:
        texts: the data set, and what is to be measured on it.
        model: which.
        store: of the run.
        setup: device, precision, and who is told.
        stored: what the store holds; None to read it now.
        most_seconds: that a component may take for one text and target; None for any time.
    """

    def __init__(
        self,
        texts: DatasetPlan,
        model: Prepared,
        store: Store,
        setup: Setup,
        stored: Entries | None = None,
        most_seconds: float | None = None,
    ) -> None:
        self.most_seconds = most_seconds
        self.texts, self.model, self.store, self.setup = texts, model, store, setup
        self.identity = identity(texts.dataset, texts.fingerprint, model)
        self.explainers = {e.identity: e for e in texts.explainers}
        self.metrics = {m.identity: m for m in texts.metrics}
        self.remaining = Remaining(self.identity, self.explainers, self.metrics, store, stored)

    def run(
        self,
        texts: Sequence[Text],
        executor: Executor | None = None,
        count: int | None = None,
    ) -> Done:
        """Scores the texts that have cells left, here or where an executor does.

        Args:
            texts: with all that have cells left.
            executor: who does the work; None for this process.
            count: of texts, finished ones included; None for those that are given.
        """
        executor, count = executor or Here(), len(texts) if count is None else count
        works = self.works(texts)
        left, cells = sum(len(work.cells) for work in works), len(self.explainers) * len(self.metrics)
        before = count * cells - left
        title = f"{self.model.label} on {self.texts.dataset.label}"
        self.setup.say(
            f"{title}: {counted(count, 'text')} × {counted(len(self.explainers), 'explainer')} × "
            f"{counted(len(self.metrics), 'metric')} = {counted(count * cells, 'result')}, "
            f"{before:,} of them done already."
        )
        if not works:
            return Done(0, before, 0)
        expected = self._expected(title, works, isinstance(executor, Here))
        deal, job = Deal(works, executor.workers), self._job(works)
        failed = asked = run = 0
        with (
            written_first(self.store.flush),
            self.store.written_soon(),
            Tracker(title, len(works), Forecast(works, expected), self.setup.console) as tracker,
        ):
            try:
                for summary in executor.score(job, self.model, self.setup, deal, self.store):
                    self.remaining.remember(summary.noted)
                    failed, asked, run = failed + summary.failed, asked + summary.asked, run + summary.run
                    tracker.heard(summary)
            finally:
                self.store.flush()
        self.setup.say(f"{title}: {asked:,} rows asked, {run:,} run{executor.told(deal)}.")
        return Done(left - failed, before, failed)

    def works(self, texts: Sequence[Text]) -> list[Work]:
        """What is left of each text that has cells left; most have the same cells left, which are kept once."""
        distinct: dict[tuple[Cell, ...], tuple[Cell, ...]] = {}
        found = []
        for text in texts:
            cells = tuple(self.remaining.cells([text.id])[text.id])
            if cells:
                known = Stored(self.explainers, text.id, self.remaining.attributions)
                found.append(Work(text, distinct.setdefault(cells, cells), known))
        return found

    def calibrate(self, works: Sequence[Work]) -> Calibration | None:
        """What explainers cost, tried on a few of the texts; None where there is none."""
        return calibrate(self._job(works), self.model.classifier, works) if works else None

    def _expected(self, title: str, works: Sequence[Work], here: bool) -> float | None:
        """Seconds that a run of some size will take, in this process; said where they are many, if anybody listens."""
        size = sum(work.units * len(work.explainers) for work in works)
        if self.setup.console is None or size < SIZE:
            return None
        if not here or self.most_seconds is not None:
            self.setup.say(f"{title}: {UNTRIED}")
            return None
        found = self.calibrate(works)
        if found is None:
            return None
        expected = found.expected(works)
        for number, line in enumerate(found.told(expected) if expected > SAID_SECONDS else ()):
            self.setup.say(line if number else f"{title}: {line}")
        return expected

    def _job(self, works: Sequence[Work]) -> Job:
        return Job(self.identity, self.explainers, self.metrics, self.most_seconds, works[0].text.vocabulary)


def identity(dataset: Component, fingerprint: str, model: Prepared) -> dict[str, str]:
    """What all stored entries of a model on a data set have in common; `fingerprint` is that of the split."""
    return {
        "dataset": dataset.identity,
        "dataset_fingerprint": fingerprint,
        "model": model.identity,
        "model_fingerprint": model.fingerprint,
    }
