"""What tests of whole runs share: small data, models trained on it once, the command line, and made-up plugins."""

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

import faithbench
from faithbench import cli
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import build
from faithbench.training.named_models import checkpoint_folder

DATA = "planted(train=400, validation=100, test=40)"
MODELS = ("conv-tiny", "bcos-tiny")
TRAINING = faithbench.Training(epochs=4, lr=5e-3)  # so many that they can be asked with masks
SESSION = "FAITHBENCH_TESTS"  # variable that names a folder of this session, of all its workers
VARIABLES = ("FAITHBENCH_CACHE", "FAITHBENCH_DATA", "FAITHBENCH_BACKBONES")


@functools.cache
def trained_cache() -> Path:
    """A cache folder with `MODELS`, trained on `DATA`: this process's copy of what is trained once a session."""
    session = Path(os.environ[SESSION])
    trained = session / "trained"
    with FileLock(session / "lock"), pytest.MonkeyPatch.context() as patch:
        if not trained.exists():
            use_cache(patch, session / "training")
            for model in MODELS:
                faithbench.train(model, DATA, TRAINING, device="cpu")
            (session / "training").rename(trained)
    return Path(shutil.copytree(trained, tempfile.mkdtemp(dir=session), dirs_exist_ok=True))


def use_cache(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Points faithbench to a cache folder, and to nothing else of this machine."""
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    patch.setenv("FAITHBENCH_CACHE", str(folder))


def checkpoint(model: str = "conv-tiny", dataset: str = DATA) -> Path:
    """Where the cache in use keeps a model."""
    return checkpoint_folder(build("model", model), build_dataset(dataset))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr that are faithbench's own sentences."""
        return [line for line in self.err.splitlines() if line.startswith("faithbench: ")]


def call(capsys: pytest.CaptureFixture[str], *args: str | Path) -> Ended:
    """`faithbench ARGS…` in this process."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["faithbench", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capsys.readouterr()
    return Ended(ended.value.code or 0, out, err)


def add_distribution(
    folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]
) -> Path:
    """An installed distribution: metadata, entry points (group → name → object) and modules. Returns the folder."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in entry_points.items():
        lines += [f"[faithbench.{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    return folder
