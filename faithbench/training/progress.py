"""A training's progress for people: one live bar on a terminal, a line now and then in a log."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from faithbench.console import say

LOG_SECONDS = 30.0
ACCURACY = "eval_accuracy"


class TrainingProgress(TrainerCallback):
    """Epoch, step, the last loss and validation accuracy that are known, and the time left.

    Args:
        console: None to say nothing.
    """

    def __init__(self, console: Console | None) -> None:
        self.console, self.bar = console, _bar(console)
        self.loss: float | None = None
        self.accuracy: float | None = None
        self.start = self.said = time.monotonic()
        self.first = 0  # steps that an earlier start has done

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """The bar begins where a killed training was."""
        self.start = self.said = time.monotonic()
        self.first = state.global_step
        if self.bar is not None:
            self.bar.start()
            self.bar.add_task("Training", total=state.max_steps, completed=self.first, state=self._state(state))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """A step more."""
        now = time.monotonic()
        if self.bar is not None:
            self._show(state)
        elif self.console is not None and now - self.said > LOG_SECONDS:
            self.said = now
            left = (now - self.start) / (state.global_step - self.first) * (state.max_steps - state.global_step)
            say(self.console, f"Training: {self._state(state)}, {left:,.0f} s left")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """The loss since the last time, or the accuracy on the validation texts."""
        told = logs or {}
        self.loss = told.get("loss", self.loss)
        self.accuracy = told.get(ACCURACY, self.accuracy)
        self._show(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """The bar stays as it is at the end; a log has its last line."""
        if self.bar is not None:
            self._show(state)
        else:
            seconds = time.monotonic() - self.start
            say(self.console, f"Trained: {self._state(state)}, in {seconds:,.0f} s")
        self.close()

    def close(self) -> None:
        """Ends the bar, so that what is said next begins a line."""
        if self.bar is not None:
            self.bar.stop()

    def _show(self, state: TrainerState) -> None:
        if self.bar is not None and self.bar.task_ids:
            self.bar.update(self.bar.task_ids[0], completed=state.global_step, state=self._state(state))

    def _state(self, state: TrainerState) -> str:
        epochs = round(state.num_train_epochs)
        epoch = min(epochs, int(state.epoch or 0) + 1)
        parts = (
            f"epoch {epoch}/{epochs}",
            f"step {state.global_step:,}/{state.max_steps:,}",
            "" if self.loss is None else f"loss {self.loss:.3f}",
            "" if self.accuracy is None else f"accuracy {self.accuracy:.1f} %",
        )
        return ", ".join(filter(None, parts))


def _bar(console: Console | None) -> Progress | None:
    """One for terminals that can redraw a line."""
    if console is None or not console.is_terminal or console.is_dumb_terminal:
        return None
    return Progress(
        BarColumn(bar_width=12),
        TextColumn("{task.fields[state]}", markup=False),
        TimeRemainingColumn(),
        console=console,
    )
