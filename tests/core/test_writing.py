"""Files are written whole or not at all; what killed processes leave is removed, and nothing that is in use."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from faithbench import files
from faithbench.errors import UserError
from faithbench.files import (
    ABANDONED,
    STAGING,
    locked,
    remove_leftovers,
    replacing,
    set_aside,
    staging,
    steadily,
    swap,
    why_not_written,
    write_whole,
    writing,
)

EXCHANGES = sys.platform in ("linux", "darwin")


def made(path: Path, content: str = "x") -> Path:
    """A folder with a file that says what it is."""
    path.mkdir(parents=True)
    (path / "file").write_text(content)
    return path


def left_by(process: int, home: Path, machine: str | None = None) -> Path:
    return made(home / f"{STAGING}{machine or files._machine()}-{process}-0123abcd")


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_dead_process_left_is_removed_by_the_next_write(dead: int, tmp_path: Path):
    left = left_by(dead, tmp_path)
    write_whole(tmp_path / "a", "text")
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_living_process_uses_stays(tmp_path: Path):
    with staging(tmp_path) as mine:
        other = left_by(os.getppid(), tmp_path)
        remove_leftovers(tmp_path)
        assert mine.exists()
        assert other.exists()
    assert not mine.exists()


def test_an_earlier_process_of_our_number_is_dead(tmp_path: Path):
    left = left_by(os.getpid(), tmp_path)
    remove_leftovers(tmp_path)
    assert not left.exists()


def test_what_cannot_be_judged_by_its_process_is_removed_after_a_day(tmp_path: Path):
    left = made(tmp_path / f"{STAGING}ffffffff-1-0123abcd")
    remove_leftovers(tmp_path)
    assert left.exists()
    long_ago = time.time() - ABANDONED - 10
    os.utime(left, (long_ago, long_ago))
    remove_leftovers(tmp_path)
    assert not left.exists()


STRANGERS = [".git", ".gitignore", ".manifest.lock", ".faithbench-notes", "table.md", ".publish-abcd_123"]


@pytest.mark.parametrize("name", [*STRANGERS, f".a.json.{'0' * 32}", f".{'0' * 19}-1-0123abcd"])
def test_files_of_people_stay_however_old_they_are(name: str, tmp_path: Path):
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert (tmp_path / name).exists()


def test_staging_is_nothing_for_git_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    def seen() -> str:
        words = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    at_each_removal = []
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **more: (at_each_removal.append(seen()), unlink(path, **more)))
    with staging(tmp_path) as place:
        for name in ("a", "z", ".a"):
            (place / name).touch()
        assert seen() == ""
    assert at_each_removal == 3 * [""]
    assert list(tmp_path.glob(f"{STAGING}*")) == []


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path):
    write_whole(tmp_path / "a", "old")
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ValueError("stop")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path):
    write_whole(made(tmp_path / "there") / "a", "old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "new"


def test_nothing_takes_the_place_of_a_folder_or_pipe(tmp_path: Path):
    made(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(UserError, match=f"{name} cannot be written: it is no regular file"):
            write_whole(tmp_path / name, "text")
    assert (tmp_path / "folder" / "file").exists()


ROOM = "No space left on device; make room there, and the same command goes on from what is finished"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "full"), ROOM),
        (OSError(errno.EDQUOT, "full"), "make room there"),
        (OSError(errno.EROFS, "x"), "Read-only file system; allow writing there, or name another folder"),
        (PermissionError(errno.EACCES, "x"), "Permission denied; allow writing there"),
        (OSError(errno.EFBIG, "x"), "File too large; raise the limit on files"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), ROOM),
        (Exception("No space left on device (os error 28)"), ROOM),  # tokenizers
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), ROOM),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"), "make room there"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "make room there"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_why_a_file_cannot_be_written_is_said_with_the_cure(error: Exception, words: str, tmp_path: Path):
    assert words in (why_not_written(error) or "")
    with pytest.raises(UserError, match="cannot be written: ") as told, writing(f"folder {tmp_path}"):
        raise error
    assert len(str(told.value)) < 400
    assert str(told.value).count(". ") == 0


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("no"), RuntimeError("CUDA out of memory"), OSError("no weights"), KeyError(28)),
        *(ValueError("see [Errno 28]"), ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
        *(BrokenPipeError(errno.EPIPE, "pipe"), FileNotFoundError(errno.ENOENT, "none", "/data.bin")),
    ],
)
def test_other_errors_are_what_they_were(error: Exception):
    assert why_not_written(error) is None
    with pytest.raises(type(error)) as told, writing("x"):
        raise error
    assert told.value is error


def test_what_is_not_there_is_the_places_fault_if_it_names_the_place(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "below", tmp_path / "file"):
        with pytest.raises(UserError, match=r"cannot be written: (Not a directory|File exists)"), writing(place):
            place.mkdir()
    with pytest.raises(UserError, match="cannot be written: No such file"), writing(f"folder {tmp_path}"):
        (tmp_path / "gone" / "file").open("x")


@pytest.mark.skipif(not EXCHANGES, reason="this system cannot exchange two folders")
def test_a_folder_is_exchanged_in_one_step(tmp_path: Path):
    """A reader beside a hundred swaps never finds nothing, and never two states in one."""
    target, stop, seen = made(tmp_path / "target", "0"), threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add((target / "file").read_text())

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 100):
        with staging(tmp_path) as place:
            swap(made(place / "new", str(number)), target)
    stop.set()
    reader.join()
    assert "" not in seen
    assert (target / "file").read_text() == "99"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_replaced_without_an_exchange_too(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    if there:
        made(tmp_path / "target", "old")
    with staging(tmp_path) as place:
        swap(made(place / "new", "new"), tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_what_a_killed_swap_moved_aside_is_put_back_and_else_removed(dead: int, tmp_path: Path):
    left = left_by(dead, tmp_path)
    made(left / files.EARLIER, "old")
    (left / files.TARGET).write_text("target")
    shutil.copytree(left, tmp_path / "kept")
    remove_leftovers(tmp_path)
    assert (tmp_path / "target" / "file").read_text() == "old"
    (tmp_path / "kept").rename(left)
    (tmp_path / "target" / "file").write_text("new")
    remove_leftovers(tmp_path)
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "", ".."])
def test_nothing_is_put_back_outside_of_the_folder(name: str, dead: int, tmp_path: Path):
    left = left_by(dead, made(tmp_path / "home"))
    made(left / files.EARLIER, "old")
    (left / files.TARGET).write_text(name)
    remove_leftovers(tmp_path / "home")
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {"file", "outside"}


def test_what_is_broken_is_set_aside_under_a_name_that_is_free(tmp_path: Path):
    for number in (1, 2):
        assert set_aside(made(tmp_path / "model", str(number))).name == f"model.broken-{number}"
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "model.broken-1" / "file").read_text() == "1"


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path):
    target, found = made(tmp_path / "target", "old"), []

    def read() -> list[str]:
        found.append((target / "file").read_text())
        if len(found) == 1:
            with staging(tmp_path) as place:
                swap(made(place / "new", "new"), target)
            raise UserError("half of each")
        return found

    assert steadily(target, read) == ["old", "new"]
    with pytest.raises(UserError, match="wrong"):
        steadily(target, lambda: (_ for _ in ()).throw(UserError("wrong")))


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    path = tmp_path / "kept"
    path.write_text("old")
    path.chmod(0o600)
    write_whole(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_nobody_waits_where_a_file_system_has_no_locks(tmp_path, monkeypatch, number):
    import fcntl

    def refused(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        assert os.listdir(tmp_path) in ([], ["lock"])


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
def test_a_lock_that_fails_otherwise_is_an_error(tmp_path, monkeypatch):
    import fcntl

    def refused(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path / "lock"):
        pass
