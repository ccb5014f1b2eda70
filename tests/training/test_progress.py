"""A training says how far it is: one bar on a terminal, a line now and then in a log, nothing twice."""

import io

import pytest
from fixtures_run import call, use_cache
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from faithbench.training import progress
from faithbench.training.progress import TrainingProgress


@pytest.fixture
def told(tmp_path):
    """What Trainer tells its callbacks: settings, state and control."""
    state = TrainerState(epoch=0.0, global_step=0, max_steps=40, num_train_epochs=2)
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True), state, TrainerControl()


def trained(callback, told):
    """Goes through a training of 40 steps, measured half-way."""
    _, state, _ = told
    callback.on_train_begin(*told)
    for step in range(1, 41):
        state.global_step, state.epoch = step, step / 20
        callback.on_step_end(*told)
        if step == 20:
            callback.on_log(*told, logs={"loss": 0.25, "learning_rate": 1e-3})
            callback.on_log(*told, logs={"eval_accuracy": 87.5, "eval_runtime": 1.0})
    callback.on_train_end(*told)


def test_a_log_gets_one_line_at_the_end_of_a_short_training(told):
    log = io.StringIO()
    trained(TrainingProgress(Console(file=log, width=200)), told)
    assert log.getvalue() == "Trained: epoch 2/2, step 40/40, loss 0.250, accuracy 87.5 %, in 0 s\n"


def test_a_log_gets_a_line_now_and_then(told, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", -1.0)
    log = io.StringIO()
    trained(TrainingProgress(Console(file=log, width=200)), told)
    lines = log.getvalue().splitlines()
    assert len(lines) == 41
    assert lines[9].startswith("Training: epoch 1/2, step 10/40, ")
    assert lines[9].endswith(" s left")
    assert "loss 0.250, accuracy 87.5 %" in lines[20]


def test_a_terminal_has_one_bar(told):
    screen = io.StringIO()
    trained(TrainingProgress(Console(file=screen, width=80, force_terminal=True, color_system=None)), told)
    assert "step 40/40, loss 0.250, accuracy 87.5 %" in screen.getvalue()
    assert "Trained" not in screen.getvalue()
    assert screen.getvalue().count("\n") == 1


def test_nobody_is_told_where_nobody_listens(told):
    callback = TrainingProgress(None)
    trained(callback, told)
    assert (callback.bar, callback.accuracy) == (None, 87.5)


@pytest.mark.slow
def test_the_command_prints_no_dictionary(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, tmp_path)
    data = "planted(train=64, validation=16, test=16)"
    ended = call(capsys, "train", "--model", "conv-tiny", "--dataset", data, "--epochs", "1", "--device", "cpu")
    assert ended.status == 0
    assert "{" not in ended.err + ended.out
    lines = ended.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Training conv-tiny on planted(")
    assert lines[1].startswith("Trained: epoch 1/1, step 4/4, loss ")
    assert ended.out.startswith("Test accuracy ")
