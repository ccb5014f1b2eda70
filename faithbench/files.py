"""Where things are kept between runs, and how they are written: whole or not at all, whatever is killed or full.

What is written is made in a folder beside its place, `.faithbench-MACHINE-PROCESS-RANDOM`, which git ignores, and takes
its place by one rename. A killed process leaves such folders; the next that writes there removes them: those of its own
machine whose process is gone, and of any machine what nobody has touched for a day.
"""

import ctypes
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from typing_extensions import TypedDict

from faithbench.errors import UserError, brief
from faithbench.file_names import cut, digest, slug
from faithbench.schemas import read_json

CACHE_VARIABLE = "FAITHBENCH_CACHE"
LONGEST = 80  # bytes of a label in a folder's name; the digest behind it tells apart what is cut
STAGING, IGNORE = ".faithbench-", ".gitignore"
HOLDER = ".holder"  # ending, beside a lock's file, of what says who has it
OWNED = re.compile(rf"{re.escape(STAGING)}([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}")
ABANDONED = 24 * 3600.0  # seconds without a change
EARLIER, TARGET = "earlier", "target"  # within a folder of staging: what was moved aside, and from which name
IN_RUST, IN_SHUTIL = re.compile(r"\(os error (\d+)\)"), re.compile(r"\[Errno (\d+)\]")
TORCH_WRITER = ("PytorchStreamWriter", "inline_container")
ON = ", and the same command goes on from what is finished"
NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}  # of systems that cannot swap two folders
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}  # of file systems that have none
AT_WORKING_FOLDER, EXCHANGE = -100, 2  # the numbers of Linux; 2 is also macOS's
ROOM, LIMIT, ALLOW = "make room there", "raise the limit on files", "allow writing there, or name another folder"
CURES = {errno.ENOSPC: ROOM, errno.EROFS: ALLOW, errno.EACCES: ALLOW, errno.EPERM: ALLOW}
CURES |= {errno.EFBIG: LIMIT, errno.EMFILE: LIMIT, errno.ENFILE: LIMIT, getattr(errno, "EDQUOT", errno.ENOSPC): ROOM}

TRIES = 10  # to read what is being replaced

Read = TypeVar("Read")
_in_use: set[str] = set()  # folders of staging of this process


def cache_folder(kind: str, identity: str, *labels: str) -> Path:
    """The folder of one thing, such as a checkpoint: labels for people, and a hash of its whole identity."""
    base = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "faithbench")
    return base / kind / "--".join([*(cut(slug(label), LONGEST) for label in labels), digest(identity)])


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and of those in it, in order; none that is hidden, or in what is."""
    found = (path for path in folder.rglob("*") if not any(p.startswith(".") for p in path.relative_to(folder).parts))
    return sorted(path for path in found if path.is_file())


def why_not_written(error: BaseException) -> str | None:
    """Why something could not be written, and the cure, in words; None if the error is of another kind."""
    try:
        text = str(error)
    except Exception:  # of a plugin's error
        return None
    if any(name in text for name in TORCH_WRITER):  # torch says no more, and it is nearly always so
        return f"{os.strerror(errno.ENOSPC)}, or the writing failed; {ROOM}{ON}"
    found = (IN_SHUTIL if isinstance(error, shutil.Error) else IN_RUST).search(text)
    number = error.errno if isinstance(error, OSError) and error.errno else found and int(found[1])
    return f"{os.strerror(number)}; {CURES[number]}{ON}" if number in CURES else None


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """What fails here because of the disk becomes a sentence that names the place, the cause and the cure.

    Args:
        place: a path, or the words `folder PATH`. Errors that have no cure are the place's if they are about this path.

    Raises:
        UserError: it cannot be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = why_not_written(error)
        if cause is None and isinstance(error, OSError) and _is_about(error, str(place).removeprefix("folder ")):
            cause = error.strerror
        if cause is None:
            raise
        raise UserError(f"{place} cannot be written: {cause}.") from error


def _is_about(error: OSError, place: str) -> bool:
    """Whether an error of the system names a place, what is in it, or what it is in."""
    if not isinstance(error.filename, (str, bytes)):
        return False
    named, path = (Path(os.path.realpath(name)) for name in (os.fsdecode(error.filename), place))
    is_staging = named.name.startswith(STAGING) and named.parent == path.parent
    return is_staging or named.is_relative_to(path) or path.is_relative_to(named)


class Holder(TypedDict):
    """Who has a lock: the host, the process there, and since when, in seconds of Unix time."""

    host: str
    process: int
    since: float


@contextmanager
def locked(path: Path, waits: Callable[[str], object] | None = None) -> Iterator[None]:
    """Only one process at a time is here, but on a file system without locks.

    A process that is killed gives its lock back.

    Args:
        path: of the lock's file.
        waits: called once where another process is here, with words for it: which, on which host, since when; beside
            the lock lies a file then that says so. None: nobody is told.

    Raises:
        OSError: the lock's file cannot be written.
    """
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waits is not None:
            waits(_holder(path))
        lock.acquire()
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        with nullcontext() if waits is None else _told(path.with_name(path.name + HOLDER)):
            yield
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    """A lock of the system's, which ends with its process; newer filelock would take a file's being there for one."""
    try:
        return FileLock(path, mode=0o666, fallback_to_soft=False)
    except TypeError:  # an older one, which never does
        return FileLock(path, mode=0o666)


@contextmanager
def _told(about: Path) -> Iterator[None]:
    """A file says meanwhile that this process is here; where there is no room for it, nobody is told."""
    with suppress(OSError):
        about.write_text(json.dumps(Holder(host=socket.gethostname(), process=os.getpid(), since=time.time())))
    try:
        yield
    finally:
        with suppress(OSError):
            about.unlink()


def _holder(path: Path) -> str:
    """Who has a lock, in words."""
    try:
        holder: Holder = read_json(path.with_name(path.name + HOLDER), Holder)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
    except (UserError, ValueError, OverflowError, OSError):  # it has just been taken, or nobody knows when
        return "another process"
    return f"process {holder['process']} on {brief(holder['host'])}, there since {since}"


@contextmanager
def staging(home: Path) -> Iterator[Path]:
    """A folder to make things in that are renamed to a place in `home`, which is there; gone at the end.

    Raises:
        OSError: it cannot be written.
    """
    remove_leftovers(home)
    place = home / f"{STAGING}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _in_use.add(place.name)
    try:
        place.mkdir()
        (place / IGNORE).write_text("*\n", encoding="utf-8")
        yield place
    finally:
        _remove(place)
        _in_use.discard(place.name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what is to be in a file: it takes the file's place at the end, whole, or not if anything fails.

    Raises:
        UserError: there is a folder, or a device, which nothing may take the place of.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    if target.exists() and not target.is_file():
        raise UserError(f"{path} cannot be written: it is no regular file.")
    with staging(target.parent) as place:
        yield place / target.name
        if target.exists():
            shutil.copymode(target, place / target.name)
        (place / target.name).replace(target)


def write_whole(path: Path, text: str) -> None:
    """Writes a file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def swap(made: Path, target: Path) -> None:
    """Puts a folder made in staging in the place of another, which is removed with the staging.

    Linux and macOS exchange the two in one step, so that there is the old one or the new at every moment. Where the
    system or the file system cannot (Windows, NFS), the old is moved aside first: killed between the two renames,
    `remove_leftovers` puts it back.

    Raises:
        OSError: it cannot be done, and the old is where it was.
    """
    if not target.exists():
        made.rename(target)
    elif not exchange(made, target):
        (made.parent / TARGET).write_text(target.name, encoding="utf-8")
        target.rename(made.parent / EARLIER)
        try:
            made.rename(target)
        except OSError:
            (made.parent / EARLIER).rename(target)
            raise


def steadily(folder: Path, read: Callable[[], Read]) -> Read:
    """What is read of a folder, all of it from before a `swap` or all from after.

    Raises:
        UserError: it cannot be read.
    """
    for _ in range(TRIES):
        before = _state(folder)
        try:
            found = read()
        except UserError:
            if before == _state(folder):
                raise
        else:
            if before == _state(folder):
                return found
    return read()


def _state(folder: Path) -> tuple[int, ...]:
    """Of a folder, another after it was replaced."""
    try:
        about = folder.stat()
    except OSError:
        return ()
    return about.st_dev, about.st_ino, about.st_ctime_ns


def exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; whether this system can.

    Raises:
        OSError: it can, and it failed.
    """
    library, names = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None, map(os.fsencode, (one, other))
    if rename := getattr(library, "renameat2", None):
        here = ctypes.c_int(AT_WORKING_FOLDER)
        failed = rename(here, next(names), here, next(names), ctypes.c_uint(EXCHANGE))
    elif rename := getattr(library, "renamex_np", None):
        failed = rename(*names, ctypes.c_uint(EXCHANGE))
    else:
        return False
    if failed and ctypes.get_errno() not in NO_EXCHANGE:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed


def set_aside(path: Path) -> Path:
    """Renames what is broken to `NAME.broken-1`, or the next number that is free. Returns the new path.

    Raises:
        UserError: it cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    with writing(path):
        path.rename(aside)
    return aside


def remove_leftovers(home: Path) -> None:
    """Removes from a folder what killed processes have left, and puts back what they had moved aside.

    What a living process of this machine uses stays, and so does what cannot be removed.
    """
    try:
        hidden = [Path(entry.path) for entry in os.scandir(home) if entry.name.startswith(".")]
    except OSError:
        return
    for path in hidden:
        if _is_left(path):
            with suppress(OSError):
                _put_back(path)
            _remove(path)


def _remove(path: Path) -> None:
    """Removes a file or folder as far as it can be; what makes git ignore a folder goes last."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        for each in path.iterdir():
            if each.name != IGNORE:
                _remove(each)
        shutil.rmtree(path)


def _put_back(place: Path) -> None:
    """Undoes the first of two renames where the second never came."""
    if (place / EARLIER).is_dir():
        target = place.parent / Path((place / TARGET).read_text(encoding="utf-8")).name
        if not target.exists():
            (place / EARLIER).rename(target)


def _is_left(path: Path) -> bool:
    owned = OWNED.fullmatch(path.name)
    if owned is None or path.name in _in_use:
        return False
    if owned[1] == _machine() and os.name == "posix":
        return int(owned[2]) == os.getpid() or not _is_alive(int(owned[2]))
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # another user's
    return True


@functools.cache
def _machine() -> str:
    """Within which process numbers mean something: a host, and in it a container."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]
