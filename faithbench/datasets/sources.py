"""Where data sets come from: a local folder named by `FAITHBENCH_DATA`, or parquet files of the Hugging Face hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from faithbench import parquet
from faithbench.errors import UserError
from faithbench.parquet import rows_of

DATA_VARIABLE = "FAITHBENCH_DATA"


@dataclass(frozen=True)
class HubFiles:
    """Parquet files on the hub: `paths` maps a split to its file."""

    repo: str
    revision: str
    paths: dict[str, str]


def parquet_rows(name: str, split: str, hub: HubFiles) -> list[dict[str, Any]]:
    """The rows of one split, from `$FAITHBENCH_DATA/<name>/<split>.parquet` if that is set, else from the hub.

    Raises:
        UserError: the local file is missing or unreadable, or the hub cannot be reached.
    """
    if os.environ.get(DATA_VARIABLE):
        return local_rows(name, split)
    return read_parquet(_existing(name, _download(name, split, hub)))


def local_rows(name: str, split: str) -> list[dict[str, Any]]:
    """The rows of one split, from `$FAITHBENCH_DATA/<name>/<split>.parquet`, of a data set that the hub does not have.

    Raises:
        UserError: the variable is not set, or the file is missing or unreadable.
    """
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UserError(
            f"data set {name!r} is not on the hub; set {DATA_VARIABLE} to a folder that holds {name}/{split}.parquet."
        )
    return read_parquet(_existing(name, Path(folder) / name / f"{split}.parquet"))


def _existing(name: str, path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"data set {name!r}: {path} does not exist (looked there because {DATA_VARIABLE} is set).")
    return path


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """All rows of a parquet file as dictionaries.

    Raises:
        UserError: it cannot be read, or holds more than the limit (see `faithbench.schemas`).
    """
    return rows_of(path, parquet.read_parquet(path))


def _download(name: str, split: str, hub: HubFiles) -> Path:
    try:
        return Path(hf_hub_download(hub.repo, hub.paths[split], repo_type="dataset", revision=hub.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"data set {name!r}: the hub cannot be reached for {hub.repo}; set {DATA_VARIABLE} to a folder "
            f"that holds {name}/{split}.parquet."
        ) from error


def halved_rows(name: str, split: str, hub: HubFiles) -> list[tuple[str, dict[str, Any]]]:
    """(id, row) of a split where `validation` and `test` are the halves of the published test split.

    The halves are those of a numpy shuffle with seed 42, as in the research code of arXiv 2502.12992.
    """
    source = "train" if split == "train" else "test"
    rows = list(enumerate(parquet_rows(name, source, hub)))
    if split != "train":
        order = np.random.RandomState(42).permutation(len(rows))
        middle = len(rows) // 2
        rows = [rows[i] for i in (order[:middle] if split == "validation" else order[middle:])]
    return [(f"{source}-{i}", row) for i, row in rows]
