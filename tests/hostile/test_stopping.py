"""Ctrl-C and SIGTERM: a command ends soon, whatever it computes, with what is finished on disk, and goes on later."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from fixtures_run import DATA, checkpoint, trained_cache, use_cache

from faithbench.records.store import Store
from faithbench.stopping import Stop, keeps, sentence, stoppable

SLOW = '''
import hashlib, pathlib, time
from dataclasses import dataclass

def told():
    pathlib.Path("begun").touch()

def sleeps(texts):
    told()
    time.sleep(60)

def computes(texts):
    """For long, without coming back to Python."""
    told()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)

def swallows(texts):
    """And does not want to hear of it."""
    while True:
        try:
            told()
            time.sleep(60)
        except BaseException:
            pass
'''
KEYS = ["explainer", "metric", "unit"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    use_cache(monkeypatch, trained_cache())
    (tmp_path / "slowly.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*explainers):
    named = [part for name in explainers for part in ("--explainer", name)]
    begin = [sys.executable, "-m", "faithbench", "run", "--model", str(checkpoint()), "--dataset", DATA]
    return [*begin, "--metric", "entropy", "--limit", "3", "--out", "run", *named]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGINT, "sleeps"), (signal.SIGTERM, "computes"), (signal.SIGTERM, "sleeps"), (signal.SIGINT, "swallows")],
)
def test_a_run_ends_within_two_seconds_and_goes_on(number, how, place):
    subprocess.run(command("random"), check=True, capture_output=True)
    finished = Store(place / "run").read("records")
    begun = subprocess.Popen(
        command("random", "occlusion", f"callable(slowly:{how})"), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (place / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    begun.send_signal(number)
    _, complaints = begun.communicate(timeout=60)
    took = time.monotonic() - start
    assert begun.returncode == 128 + number
    assert took < 10, "two seconds on a machine that does nothing else"
    assert "Traceback" not in complaints
    last = complaints.strip().splitlines()[-1]
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[number]
    assert last.startswith(f"faithbench: stopped by {name}; 3 results are kept in run; the same command goes on")
    assert not list((place / "run").rglob(".faithbench-*/*.parquet"))
    subprocess.run(command("random", "occlusion"), check=True, capture_output=True)
    frame = Store(place / "run").read("records")
    assert frame[KEYS].duplicated().sum() == 0
    assert len(frame) == 6
    again = frame[frame["explainer"].str.startswith("random")].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, finished)


PROGRAM = """
import os, signal, sys, threading, time
from faithbench.stopping import Stop, sentence, stoppable, written_first

stop, kept = Stop(), []
with written_first(lambda: (kept.append(1), os.write(1, b"written"))):
    try:
        with stoppable(stop, lambda number: os.write(2, sentence(number).encode())):
            threading.Timer(0.2, os.kill, (os.getpid(), int(sys.argv[1]))).start()
            try:
                time.sleep(30)
            except KeyboardInterrupt:
                if sys.argv[2] == "stay":
                    time.sleep(30)
                raise
    except KeyboardInterrupt:
        print(stop.number, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def program(number, how):
    arguments = [sys.executable, "-c", PROGRAM, str(int(number)), how]
    return subprocess.run(arguments, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_in_time_ends_by_itself(number):
    ended = program(number, "go")
    assert ended.stdout.split() == [str(int(number)), "True"]
    assert (ended.returncode, ended.stderr) == (0, "")


def test_who_does_not_is_ended_once_what_is_finished_is_written():
    ended = program(signal.SIGTERM, "stay")
    assert ended.returncode == 143
    assert ended.stdout == "written"
    assert ended.stderr == "stopped by SIGTERM; the same command again goes on from what is finished."


def test_the_sentence_says_what_is_kept_and_the_command_if_it_is_short():
    with stoppable(Stop(), lambda number: None):
        assert sentence(signal.SIGINT).endswith("; the same command again goes on from what is finished.")
        keeps(lambda: "1,240 results are kept in runs/x")
        told = sentence(signal.SIGINT, "faithbench run --limit 3")
        start = "stopped by Ctrl-C; 1,240 results are kept in runs/x; the same command goes on"
        assert told == f"{start}: faithbench run --limit 3"
        assert sentence(signal.SIGINT, "faithbench run " + "x" * 400) == f"{start}."
        keeps(lambda: 1 // 0)
        assert sentence(signal.SIGINT).endswith("; the same command again goes on from what is finished.")
    with stoppable(Stop(), lambda number: None):
        assert "kept" not in sentence(signal.SIGTERM), "of an earlier command"
