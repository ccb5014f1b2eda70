"""faithbench commands in forked children that are killed, or find the disk full, at the N-th change of a file.

The product is left as it is: Python tells an audit hook of every file that is opened for writing, renamed, removed,
linked or made. One process imports torch and forks a child for each command; it is spoken to in lines of JSON.
"""

import contextlib
import errno
import importlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
GROWING = ("open", "os.mkdir", "os.link", "os.symlink")  # what a full disk refuses
TIMEOUT = 120  # seconds that a command may take


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Args:
        kind: `kill` before the change; `tear`: the same, and of each file written since the change before only half is
            there, as if it came in the midst of writing; `full`: from the change on nothing more is written; `small`:
            no file may have more than `at` bytes, by the system; "" for nothing.
        at: which change, from 1.
        after: seconds until the kill, whatever happens then.
        without_exchange: of two folders in one step, as on systems that cannot.
        in_place: files are written where they are to be, as they were not to be: the fault that tests must see.
    """

    kind: str = ""
    at: int = 0
    after: float | None = None
    without_exchange: bool = False
    in_place: bool = False


@dataclass(frozen=True)
class Command:
    """A command, where it runs, with which variables, and below which folders changes count."""

    words: Sequence[str]
    folder: str
    variables: Mapping[str, str]
    fault: Fault = field(default_factory=Fault)


@dataclass(frozen=True)
class Forked:
    """How a command ended: status, negative for a signal; what it said; its changes of files; seconds."""

    status: int
    out: str
    err: str
    changes: list[str]
    seconds: float


class Forks:
    """The process that forks."""

    def __init__(self) -> None:
        words = [sys.executable, "-c", "import forks; forks.serve()"]
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        variables = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, text=True)

    def run(self, command: Command) -> Forked:
        """Runs a command to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(command)) + "\n")
        self.process.stdin.flush()
        return Forked(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve() -> None:
    """Reads commands from stdin, and answers on stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    importlib.import_module("faithbench.cli")
    for line in sys.stdin:
        told = json.loads(line)
        told["fault"] = Fault(**told["fault"])
        answers.write(json.dumps(_fork(Command(**told))) + "\n")
        answers.flush()


def _fork(command: Command) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as files:
        log = files.enter_context(open(Path(place) / "log", "w+"))
        pipes = [os.pipe() for _ in range(2)]
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            for number, (_, end) in enumerate(pipes, 1):
                os.dup2(end, number)
            _become(command, log.fileno())
        for _, end in pipes:
            os.close(end)
        said = _listen(child, [begin for begin, _ in pipes], command.fault.after)
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - start
        log.seek(0)
        changes = [line.removeprefix("C ") for line in log.read().splitlines() if line.startswith("C ")]
        log.seek(0)
        for line in log.read().splitlines():
            if line.startswith("M "):  # the next child need not import what this one had to
                with contextlib.suppress(Exception):
                    importlib.import_module(line.removeprefix("M "))
    out, err = (text.decode(errors="replace") for text in said)
    return {"status": os.waitstatus_to_exitcode(status), "out": out, "err": err, "changes": changes, "seconds": seconds}


def _listen(child: int, pipes: Sequence[int], after: float | None) -> list[bytes]:
    """What a child says until it ends; it is killed after so many seconds."""
    said, end = dict.fromkeys(pipes, b""), time.monotonic() + (TIMEOUT if after is None else after)
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            for key, _ in ready:
                more = os.read(key.fd, 1 << 16)
                said[key.fd] += more
                if not more:
                    selector.unregister(key.fd)
                    os.close(key.fd)
            if not ready and time.monotonic() >= end:
                os.kill(child, signal.SIGKILL)
                end = time.monotonic() + TIMEOUT
    return list(said.values())


def _become(command: Command, log: int) -> None:
    """Runs the command in this process, and ends it."""
    before, status = set(sys.modules), 1
    sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
    try:
        os.environ.update(command.variables)
        os.chdir(command.folder)
        _prepare(command.fault)
        _watch(command, log)
        sys.argv = ["faithbench", *command.words]
        cli = sys.modules["faithbench.cli"]
        cli.main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if not command.fault.kind and command.fault.after is None:
            os.write(log, "".join(f"M {name}\n" for name in sorted(set(sys.modules) - before)).encode())
        os._exit(status)


def _prepare(fault: Fault) -> None:
    files, store = (importlib.import_module(f"faithbench.{name}") for name in ("files", "records.store"))
    store.FLUSH_SECONDS = 0.0  # every text is written as soon as it is scored
    exchange = files.exchange

    def told(one: Path, other: Path) -> bool:
        """The system is called past Python, which would tell no hook of it."""
        if fault.without_exchange:
            return False
        sys.audit("os.rename", str(one), str(other), -1, -1)
        return exchange(one, other)

    files.exchange = told
    if fault.in_place:
        store.replacing = _in_place
    if fault.kind == "small":
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.at, fault.at))


@contextlib.contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    path.unlink(missing_ok=True)
    yield path


def _watch(command: Command, log: int) -> None:
    """Counts the changes below the command's folder, and does what is to go wrong."""
    home, fault, count = os.path.realpath(command.folder), command.fault, 0
    seen = False
    before = {number: about for number, about, _ in _files(Path(home))}

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal count, seen, before
        if seen or event not in CHANGES or (event == "open" and not (isinstance(args[2], int) and args[2] & WRITING)):
            return
        path = _path(args[0], args[-1] if event != "open" else None)
        if path is None or not path.startswith(home + os.sep):
            return
        count += 1
        seen = True  # what is done here does not count
        os.write(log, f"C {event} {path.removeprefix(home)}\n".encode())
        if fault.kind == "kill" and count == fault.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind == "tear":
            if count == fault.at:
                _tear(Path(home), before)
                os.kill(os.getpid(), signal.SIGKILL)
            before = {number: about for number, about, _ in _files(Path(home))}
        seen = False
        if fault.kind == "full" and count >= fault.at and event in GROWING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(hook)


def _path(path: object, folder: object) -> str | None:
    """The whole path of what an event is about; `folder` may be the number of an open one."""
    if isinstance(path, int):
        return None
    text = os.fsdecode(path)  # type: ignore[arg-type]
    if isinstance(folder, int) and folder >= 0:
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    parent, name = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(parent), name)


def _files(home: Path) -> Iterator[tuple[int, tuple[int, int], Path]]:
    """Every file: its number on the disk, what changes when it is written, its path."""
    for path in home.rglob("*"):
        if path.is_file():
            about = path.stat()
            yield about.st_ino, (about.st_size, about.st_mtime_ns), path


def _tear(home: Path, before: Mapping[int, tuple[int, int]]) -> None:
    """Cuts in half what was written since."""
    for number, about, path in list(_files(home)):
        if before.get(number) != about:
            os.truncate(path, about[0] // 2)
