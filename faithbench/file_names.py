"""Names of files and folders made from words from outside, such as labels of models and data sets."""

import hashlib
import re

from faithbench.shown import visible

LONGEST = 230  # bytes: file systems allow 255, and something may stand behind
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # which Windows keeps for itself


def slug(text: str) -> str:
    """A text as a name of a file: on every system one, never hidden, an option, or a way to another folder.

    What has to be changed by more than signs between words is told apart by a digest.
    """
    plain = re.sub(r"[^\w.=-]+", "_", visible(text)).strip("_")
    name = re.sub(r"\.{2,}", "_", plain).lstrip("_.-").rstrip("_.")
    if DEVICES.fullmatch(name):
        name = f"_{name}"
    if name == plain and name and len(name.encode()) <= LONGEST:
        return name
    return "-".join(filter(None, (cut(name, LONGEST - 9), digest(text))))


def cut(name: str, longest: int) -> str:
    """The beginning of a name, of so many bytes at most."""
    return name.encode()[:longest].decode(errors="ignore")


def digest(text: str) -> str:
    """Eight digits that tell texts apart."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
