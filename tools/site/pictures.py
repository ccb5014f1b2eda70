"""The pictures of README and docs, from one run of the demo: `python tools/site/pictures.py RUN docs/pictures`.

RUN is the folder of the run that docs/gallery.md names. Needs Debian's chromium with chromedriver, and
selenium: reports and pages are photographed, all else is drawn by faithbench itself. Say below each picture
what it shows, and of how many texts.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from browser import browser, complaints  # noqa: E402
from browser import page as address  # noqa: E402

SENTENCE = "the plot is superb but the ending seemed lifeless"
FIGURES = ("scores", "curves", "cost", "agreement")
LARGEST = 200_000  # bytes of a picture


def faithbench(*words: str, folder: Path, width: int = 100) -> str:
    """What a command prints on a terminal of that width, with its codes."""
    environment = {**os.environ, "COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "faithbench", *words]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def terminal(printed: str, command: str, path: Path, width: int = 100) -> None:
    """A picture of a terminal that shows a command and what it printed."""
    console = Console(record=True, width=width, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(f"$ {command}\n{printed.rstrip()}"))
    drawn = console.export_svg(title="faithbench", theme=DEFAULT_TERMINAL_THEME)
    path.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))  # which would be loaded from elsewhere


def photograph(page: Path, path: Path, width: int, height: int) -> None:
    """A picture of the first screen of a page."""
    with browser(width, height) as opened:
        opened.get(address(page))
        if complaints(opened):
            raise SystemExit(f"{page.name}: {complaints(opened)}")
        opened.save_screenshot(str(path))


def main(run: Path, out: Path) -> None:
    """Draws all of them anew."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, str(ROOT / "tests/walks/materials.py"), "classifier", place], check=True)
        faithbench("report", str(run), "--out", "report.html", folder=folder)
        photograph(folder / "report.html", out / "report.png", 1280, 900)
        photograph(folder / "report.html", out / "report-narrow.png", 400, 800)
        asked = ("explain", SENTENCE, "--model", "./my-model", "--explainer", "occlusion", "--explainer", "attn_lrp")
        printed = faithbench(*asked, "--html", "page.html", folder=folder)
        terminal(printed, f'faithbench explain "{SENTENCE}" --model ./my-model …', out / "explain.svg")
        photograph(folder / "page.html", out / "explain-page.png", 1000, 650)
        terminal(faithbench("list", folder=folder), "faithbench list", out / "list.svg")
        for kind in FIGURES:
            faithbench("figure", str(run), "--of", kind, "--out", str(out / f"{kind}.svg"), folder=folder)
        faithbench("figure", str(run), "--of", "text", "--text", "17", "--out", str(out / "text.svg"), folder=folder)
    for picture in sorted(out.iterdir()):
        size = picture.stat().st_size
        print(f"{picture.name}: {size:,} bytes{' TOO LARGE' if size > LARGEST else ''}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
