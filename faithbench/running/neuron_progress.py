"""What is left of a study of neurons, for people: first tokens that are read, then neurons that are described."""

import time
from collections.abc import Callable

from rich.console import Console

from faithbench.running.progress import Line, State, duration


class NeuronLine(Line):
    """`with NeuronLine(…) as line: line.recorded(…); line.studied(…)`.

    Args:
        title: what is being done.
        tokens: that the model is to read.
        neurons: that are to be described.
        console: None to say nothing.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        title: str,
        tokens: int,
        neurons: int,
        console: Console | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens, self._neurons = tokens, neurons
        self._read = self._done = self._results = 0
        self._began = clock()  # the first neuron
        super().__init__(title, self._state, console, clock)

    def recorded(self, tokens: int) -> None:
        """The model has read so many more."""
        self._read += tokens
        self._began = self.clock()
        self.refresh()

    def studied(self, results: int) -> None:
        """One more neuron has been described, and scored so often."""
        self._done, self._results = self._done + 1, self._results + results
        self.refresh()

    def _state(self) -> State:
        now = self.clock()
        if self._read < self._tokens and not self._done:
            seconds = max(1e-9, now - self.start)
            rate = self._read / seconds
            reading = f"{duration((self._tokens - self._read) / rate)} of reading left" if rate else ""
            read = f"{self._read:,} of {self._tokens:,} tokens read"
            return State(read, reading, f"{rate:,.0f} tokens/s", None, now, self._read / self._tokens)
        seconds = max(1e-9, now - self._began)
        left = seconds * (self._neurons - self._done) / self._done if self._done else None
        done, results = f"{self._done:,} of {self._neurons:,} neurons", f"{self._results:,} results"
        return State(done, results, f"{self._done / seconds:,.1f} neurons/s", left, now, self._done / self._neurons)
