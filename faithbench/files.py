"""Where things are kept between runs: `$FAITHBENCH_CACHE`, or a folder of the home directory."""

import os
import uuid
from pathlib import Path

from faithbench.errors import UserError
from faithbench.file_names import cut, digest, slug

CACHE_VARIABLE = "FAITHBENCH_CACHE"
LONGEST = 80  # bytes of a label in a folder's name; the digest behind it tells apart what is cut


def cache_folder(kind: str, identity: str, *labels: str) -> Path:
    """The folder of one thing, such as a checkpoint: labels for people, and a hash of its whole identity."""
    base = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "faithbench")
    return base / kind / "--".join([*(cut(slug(label), LONGEST) for label in labels), digest(identity)])


def write_whole(path: Path, text: str) -> None:
    """Writes a file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
