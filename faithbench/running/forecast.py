"""How long what is left of a run will take, by what has been measured so far of each explainer."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from faithbench.running.pieces import Summary, Work

KNOWN = 0.02  # share of the work by which its own rates say more than what was expected


class Forecast:
    """Seconds left, as measured: of each explainer, its metrics included, by the units of texts (`Work.units`).

    An explainer of which nothing has ended yet is taken for as dear as the others; the rows that wait for the model
    are a lower bound, whoever asked for them.

    Args:
        works: all that is to be done.
        expected: seconds that it will take, if something is known; counts until `KNOWN` of the work is done.
    """

    def __init__(self, works: Iterable[Work], expected: float | None = None) -> None:
        self.expected = expected
        self.results = self.texts = self.rows = 0  # done, finished, run
        self._waiting = 0  # rows
        self._missing: dict[str, int] = {}  # cells of a text
        self._units: dict[str, float] = {}  # of a cell of a text, by the text
        self._total, self._done = Counter[str](), defaultdict[str, float](float)  # units of each explainer's cells
        self._seconds = defaultdict[str, float](float)
        for work in works:
            self._missing[work.text.id], self._units[work.text.id] = len(work.cells), float(work.units)
            for explainer, _ in work.cells:
                self._total[explainer] += work.units

    def learn(self, summary: Summary) -> None:
        """Takes in what has been done."""
        self.rows, self._waiting = self.rows + summary.run, self._waiting + summary.opened
        for took in summary.took:
            self._seconds[took.explainer] += took.seconds
        for explainer, _ in summary.cells:
            self._done[explainer] += self._units[summary.text_id]
        if summary.cells:
            self.results += len(summary.cells)
            self._missing[summary.text_id] -= len(summary.cells)
            self.texts += not self._missing[summary.text_id]

    def left(self, elapsed: float) -> float | None:
        """Seconds that the rest will take, when so many have passed; None where nothing is known."""
        bounds = [self._waiting * elapsed / self.rows] if self.rows else []
        done, todo = sum(self._seconds.values()), self._todo()
        if done and (self.expected is None or done > KNOWN * (done + todo)):
            bounds.append(elapsed * todo / done)
        elif self.expected is not None:
            bounds.append(self.expected - elapsed)
        return max(0.0, *bounds) if bounds else None

    def _todo(self) -> float:
        """Seconds that the rest would take by itself, as components are charged."""
        units = sum(self._done.values())
        usual = sum(self._seconds[name] for name in self._done) / units if units else 0.0
        rates = {name: self._seconds[name] / done for name, done in self._done.items()}
        left = {name: total - self._done.get(name, 0.0) for name, total in self._total.items()}
        return sum(max(0.0, more) * rates.get(name, usual) for name, more in left.items())
