"""One bad input, tried: the only allowed outcomes are success, or one sentence with status 1 or 2."""

import contextlib
import io
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nasty import PLANTED

from faithbench import cli
from faithbench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
COLOURS = re.compile(r"\x1b\[[\d;]*m")  # that a table for a terminal has
LONGEST = 400  # characters of a sentence
SECONDS = 12.0  # of a clock that a case may take; other work may slow it down
CPU_SECONDS = 5.0
MEMORY = 3 * 2**30  # bytes of address space, beside what is in use


class HangError(KeyboardInterrupt):
    """A case takes too long; nobody may catch this."""


@dataclass(frozen=True)
class Attempt:
    """One thing to do with a bad input."""

    words: str
    do: Callable[[], object]  # says "refused" where it does not raise


@dataclass(frozen=True)
class Fault:
    """An outcome that is not allowed: of which attempt, what, and where in the code."""

    words: str
    what: str
    place: str
    detail: str = ""


def command(*args: str | Path) -> Attempt:
    """`faithbench ARGS…` in this process."""
    given = list(map(str, args))
    return Attempt(f"faithbench {' '.join(given)}", lambda: _command(given))


class StatusError(Exception):
    """A command ended in a way that is not allowed."""


def _command(args: list[str]) -> str:
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["faithbench", *args]
    status: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as ended:
        status = ended.code or 0
    finally:
        sys.argv = before
    shown = COLOURS.sub("", out.getvalue()) if "terminal" in args else out.getvalue()
    if problem := _wrong(status, shown, err.getvalue()):
        raise StatusError(f"{problem}; stderr: {err.getvalue()[-600:]!r}")
    return "done" if status == 0 else "refused"


def _wrong(status: object, out: str, err: str) -> str:
    """What is wrong with how a command ended; nothing if nothing is."""
    if status not in (0, 1, 2):
        return f"status {status}"
    if "Traceback" in err:
        return "a traceback"
    if odd := {char for char in out + err if not char.isprintable()} - {"\n", "\u00a0"}:
        return f"control characters {sorted(odd)!r}"
    sentences = [line for line in err.splitlines() if line.startswith("faithbench: ")]
    if status == 2 and not sentences and "Usage: " not in err:
        return "status 2 without a sentence"
    if any(len(line) > LONGEST + len("faithbench: ") for line in sentences):
        return "a sentence that is too long"
    return ""


def tried(attempt: Attempt, folder: Path | None = None) -> Fault | str:
    """What is wrong with how an attempt ends; if nothing is, whether it is "done" or "refused".

    The path of the case's folder, which may be long, does not count as part of a sentence.
    """
    sys.modules.pop(PLANTED, None)
    start, hung = time.process_time(), list[bool]()
    try:
        with _limited(hung):
            end = attempt.do()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not hung:
            raise
        if what := "HANG" if hung else _complaint(error, folder):
            return _fault(attempt, error, what)
        end = "refused"
    seconds = time.process_time() - start
    faults = {
        "code named by the user was imported": PLANTED in sys.modules,
        "HANG, and caught": bool(hung),
        f"took {seconds:.1f} s": seconds > CPU_SECONDS,
    }
    if what := next((what for what, holds in faults.items() if holds), ""):
        return Fault(attempt.words, what, "")
    return end if isinstance(end, str) and end == "refused" else "done"


def _complaint(error: BaseException, folder: Path | None) -> str:
    """What is wrong with an error; nothing if it is one sentence for the user."""
    if isinstance(error, StatusError):
        return str(error).partition(";")[0]
    if not isinstance(error, UserError):
        return type(error).__name__
    problem = str(error).replace(str(folder or "/no/folder"), "")
    if not problem or "\n" in problem:
        return "no sentence"
    return "a sentence that is too long" if len(problem) > LONGEST else ""


def _fault(attempt: Attempt, error: BaseException, what: str) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT)) and "/tests/" not in f.filename]
    last = (ours or frames)[-1]
    name = last.filename.removeprefix(f"{ROOT}/")
    try:
        said = str(error)[:600]
    except Exception:
        said = "?"
    return Fault(attempt.words, what, f"{name}:{last.lineno} {last.name}", said)


@contextlib.contextmanager
def _limited(hung: list[bool]) -> Iterator[None]:
    """Not too long and not too much memory."""

    def stop(number: int, frame: object) -> None:
        hung.append(True)
        raise HangError

    before, (soft, hard) = signal.signal(signal.SIGALRM, stop), resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
