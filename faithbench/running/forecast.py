"""How long what is left of a run will take, by what has been measured so far of each explainer."""

from collections import defaultdict
from collections.abc import Iterable

from faithbench.running.pieces import Summary, Work, cells_of_each

KNOWN = 0.02  # share of the work by which its own rates say more than what was expected


class _Kind:
    """Explanations of each explainer, or the measurements of them: seconds, and units of the texts that they are of."""

    def __init__(self) -> None:
        self.seconds, self.units = defaultdict[str, float](float), defaultdict[str, float](float)

    def add(self, explainer: str, seconds: float, units: float) -> None:
        self.seconds[explainer] += seconds
        self.units[explainer] += units

    def rate(self, explainer: str) -> float:
        """Seconds a unit, those of all explainers together where nothing of this one has ended."""
        if units := self.units.get(explainer):
            return self.seconds[explainer] / units
        return sum(self.seconds.values()) / (sum(self.units.values()) or 1.0)


class Forecast:
    """Seconds left, as measured: of each explainer and of its metrics, by the units of texts (`Work.units`).

    An explainer of which nothing has ended yet is taken for as dear as the others; the rows that wait for the model
    are a lower bound, whoever asked for them.

    Args:
        works: all that is to be done.
        expected: seconds that it will take, if something is known; counts until `KNOWN` of the work is done.
    """

    def __init__(self, works: Iterable[Work], expected: float | None = None) -> None:
        works = list(works)
        self.expected = expected
        self.explanations = self.results = self.texts = self.rows = 0  # done, done, finished, run
        self._waiting = 0  # rows
        self._missing = {work.text.id: len(work.cells) for work in works}
        self._cells, self._units = cells_of_each(works), {work.text.id: float(work.units) for work in works}
        self._total = defaultdict[str, float](float)  # units of each explainer's texts
        for work in works:
            for explainer in self._cells[work.text.id]:
                self._total[explainer] += work.units
        self._explained, self._measured = _Kind(), _Kind()

    def learn(self, summary: Summary) -> None:
        """Takes in what has been done."""
        self.rows, self._waiting = self.rows + summary.run, self._waiting + summary.opened
        for explainer, metric, seconds, _ in summary.took:
            units = self._units[summary.text_id]
            if metric is None:
                self.explanations += 1
                self._explained.add(explainer, seconds, units)
            else:
                self._measured.add(explainer, seconds, units / self._cells[summary.text_id][explainer])
        if cells := len(summary.cells):
            self.results += cells
            self._missing[summary.text_id] -= cells
            self.texts += not self._missing[summary.text_id]

    def left(self, elapsed: float) -> float | None:
        """Seconds that the rest will take, when so many have passed; None where nothing is known."""
        bounds = [self._waiting * elapsed / self.rows] if self.rows and self._waiting > 0 else []
        done = sum(self._explained.seconds.values()) + sum(self._measured.seconds.values())
        todo = self._todo()
        if done and self.results and (self.expected is None or done > KNOWN * (done + todo)):
            bounds.append(elapsed * todo / done)
        elif self.expected is not None:
            bounds.append(self.expected - elapsed)
        return max(0.0, *bounds) if bounds else None

    def _todo(self) -> float:
        """Seconds that the rest would take by itself, as components are charged.

        What has been measured was explained before, if it is only in an earlier run.
        """
        explained, measured = self._explained, self._measured
        return sum(
            max(0.0, total - max(explained.units[name], measured.units[name])) * explained.rate(name)
            + max(0.0, total - measured.units[name]) * measured.rate(name)
            for name, total in self._total.items()
        )
