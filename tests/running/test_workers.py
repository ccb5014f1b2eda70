"""Runs by worker processes: equal to those of one process, whoever is killed; and two runs of one folder."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from fixtures_run import DATA, add_distribution, trained_cache, use_cache
from parallel_runs import assert_same, entries, plan
from rich.console import Console

import faithbench
from faithbench.errors import UserError
from faithbench.records.store import RUN_LOCK, Store
from faithbench.running import executors, workers
from faithbench.running.pieces import DEATHS

KILLER = '''
import os, signal
import numpy as np
from dataclasses import dataclass
from faithbench.types import Attribution

@dataclass(frozen=True)
class Killer:
    """Ends its process at one text."""

    def __call__(self, text, target):
        if text.id == "test-3" and os.environ.get("FAITHBENCH_TEST_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return Attribution(text.id, target, np.arange(len(text), dtype=float))
'''


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The plan, run by one process."""
    out = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, trained_cache())
        faithbench.run(plan(), out, device="cpu")
    return out


def gone(processes) -> bool:
    """Whether all processes have ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{number}/cmdline").exists() and _words(number) for number in processes):
            return True
        time.sleep(0.05)
    return False


def _words(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()  # empty of a zombie
    except OSError:
        return b""


def started(monkeypatch) -> list[subprocess.Popen[bytes]]:
    """The workers that will have been started."""
    found: list[subprocess.Popen[bytes]] = []
    start = workers.Processes._start

    def noted(self, index):
        worker = start(self, index)
        found.append(worker.process)
        return worker

    monkeypatch.setattr(workers.Processes, "_start", noted)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_workers_that_are_killed_lose_nothing_and_records_are_those_of_one_process(count, alone, tmp_path, monkeypatch):
    found, moment, killed = started(monkeypatch), random.Random(count), []

    def kill() -> None:
        while not list(tmp_path.glob("records/*.parquet")):
            time.sleep(0.002)
        time.sleep(moment.uniform(0, 0.3))
        victim = moment.choice([process for process in found if process.poll() is None])
        victim.kill()
        killed.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    with Console(file=(tmp_path / "log").open("w")) as console:
        done = faithbench.run(plan(), tmp_path, device="cpu", workers=count, console=console)
    thread.join()
    assert (done.done, done.before, done.failed) == (24 * 4 * 3, 0, 0)
    assert_same(alone, tmp_path)
    assert gone([process.pid for process in found])
    assert len(found) > count or killed[0] in [process.pid for process in found]
    assert len(list(tmp_path.glob("records/*.parquet"))) == 1  # compacted
    again = faithbench.run(plan(), tmp_path, device="cpu")
    assert (again.done, again.before) == (0, done.done)


@pytest.mark.slow
def test_a_text_that_kills_its_workers_ends_as_failed_cells_and_the_run_goes_on(tmp_path, monkeypatch):
    place = add_distribution(tmp_path, "deadly", {"explainers": {"killer": "deadly:Killer"}}, {"deadly": KILLER})
    monkeypatch.syspath_prepend(str(place))
    found = started(monkeypatch)
    asked = plan(explainers=("killer", "occlusion"), metrics=("entropy",), limit=12)
    done = faithbench.run(asked, tmp_path / "run", device="cpu", workers="2")
    texts = set(entries(tmp_path / "run", "records")["unit"])
    assert "test-3" in texts, texts
    assert (done.done, done.failed) == (23, 1)
    assert len(found) == 2 + DEATHS
    failed = entries(tmp_path / "run", "records").query("error.notna()")
    ((unit, explainer, error),) = failed[["unit", "explainer", "error"]].itertuples(index=False, name=None)
    assert (unit, explainer.startswith("killer")) == ("test-3", True)
    assert error == "3 workers were lost at it (the last one killed by SIGKILL), perhaps for lack of memory"
    monkeypatch.setenv("FAITHBENCH_TEST_PARENT", str(os.getpid()))
    again = faithbench.run(asked, tmp_path / "run", device="cpu")
    assert (again.done, again.failed) == (1, 0)  # what failed is tried again


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_told_to_stop_or_killed_leaves_no_worker_and_keeps_what_is_finished(number, status, tmp_path):
    words = ["run", "--dataset", DATA, "--model", "conv-tiny", "--explainer", "shap_sampl(n_permutations=300)"]
    words += ["--metric", "entropy", "--out", str(tmp_path / "run"), "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "faithbench", *words], stderr=subprocess.PIPE, text=True)
    children: list[int] = []
    while not (list(tmp_path.glob("run/records/*.parquet")) and len(children) == 2):
        assert process.poll() is None, process.stderr.read()
        words = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
        told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        children = list(map(int, told.split()))
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert ("the same command goes on" in said) == (number != signal.SIGKILL)
    assert gone(children)
    there = len(Store(tmp_path / "run").read("records"))
    assert 0 < there < 40
    with FileLock(tmp_path / "run" / RUN_LOCK, timeout=0):  # nobody has it
        pass


def test_a_second_run_into_a_folder_waits_for_the_first_says_so_and_does_nothing_twice(tmp_path, monkeypatch):
    small = plan(explainers=("occlusion",), metrics=("entropy",), limit=4)
    entered, go, results = threading.Event(), threading.Event(), {}
    score = executors.Here.score

    def slow(self, *arguments):
        entered.set()
        assert go.wait(30)
        yield from score(self, *arguments)

    monkeypatch.setattr(executors.Here, "score", slow)
    logs = {name: (tmp_path / f"{name}.log").open("w+") for name in ("first", "second")}

    def run(name: str) -> None:
        results[name] = faithbench.run(
            small, tmp_path / "run", device="cpu", console=Console(file=logs[name], width=300)
        )

    first, second = (threading.Thread(target=run, args=(name,)) for name in logs)
    first.start()
    assert entered.wait(60)
    second.start()
    while "Waiting for another run" not in (tmp_path / "second.log").read_text():
        time.sleep(0.01)
        logs["second"].flush()
    go.set()
    first.join(60)
    second.join(60)
    for log in logs.values():
        log.close()
    assert (results["first"].done, results["first"].before) == (4, 0)
    assert (results["second"].done, results["second"].before) == (0, 4)
    assert f"process {os.getpid()} on " in (tmp_path / "second.log").read_text()
    assert "Waiting" not in (tmp_path / "first.log").read_text()


def _hold(path: Path, taken) -> None:
    with FileLock(path):
        taken.set()
        time.sleep(60)


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path):
    (tmp_path / "run").mkdir()
    context = multiprocessing.get_context("fork")
    taken = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "run" / RUN_LOCK, taken))
    holder.start()
    assert taken.wait(30)
    holder.kill()
    holder.join()
    small = plan(explainers=("random",), metrics=("entropy",), limit=2)
    assert faithbench.run(small, tmp_path / "run", device="cpu").done == 2


def test_a_run_that_fails_leaves_no_folder_behind(tmp_path, monkeypatch):
    def broken(self, *arguments):
        raise faithbench.UserError("no")

    monkeypatch.setattr(executors.Here, "score", broken)
    with pytest.raises(faithbench.UserError, match="no"):
        faithbench.run(plan(limit=2), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_workers_that_were_started_are_ended_where_another_cannot_be(monkeypatch):
    start, found = subprocess.Popen, []

    def limited(*arguments, **options):
        if len(found) == 1:
            raise OSError(24, os.strerror(24))
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(workers.subprocess, "Popen", limited)
    with pytest.raises(UserError, match="worker process 2 of 3 cannot be started"):
        workers.Processes(3, "cpu", print).__enter__()
    assert found[0].poll() is not None
