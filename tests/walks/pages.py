"""What a tutorial's page tells to type and to write. `python pages.py TUTORIAL FILE` prints a file of it."""

import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def page(tutorial: str) -> str:
    """The text of a tutorial."""
    return (ROOT / "docs/tutorials" / f"{tutorial}.md").read_text(encoding="utf-8")


def told_commands(tutorial: str) -> list[list[str]]:
    """The words of every command of a tutorial: of its blocks `sh`."""
    code = "".join(block["code"] for block in BLOCK.finditer(page(tutorial)) if block["info"] == "sh")
    return commands(code)


def commands(code: str) -> list[list[str]]:
    """The words of every command of a script; lines that end with a backslash go on."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def told_file(tutorial: str, path: str) -> str:
    """What a tutorial says is in a file: its block with this title."""
    found = [block["code"] for block in BLOCK.finditer(page(tutorial)) if f'title="{path}"' in block["info"]]
    if len(found) != 1:
        raise SystemExit(f"{tutorial}.md has {len(found)} blocks with the title {path}; it must have one.")
    return found[0]


if __name__ == "__main__":
    sys.stdout.write(told_file(*sys.argv[1:]))
