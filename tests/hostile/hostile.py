"""Tries bad inputs: `python tests/hostile/hostile.py [KIND [NUMBER]] [--scale 20]`; a fault is shown with its number.

In the tests, FAITHBENCH_SCALE makes them more.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here), str(here.parent / "support")]

from cases import COUNTS, KINDS, Maker
from nasty import PLANTED
from sound import Home
from trial import Fault, tried

MODULE = "raise SystemExit('code that a user named was imported')\n"


def faults(
    maker: Maker, kind: str, numbers: Iterable[int], place: Path, ends: Counter[str]
) -> Iterator[tuple[int, Fault]]:
    """The faults of cases of a kind, each with the number of its case; counts how attempts end."""
    for number in numbers:
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-{number}-", dir=place))
        for attempt in maker.make(kind, number, folder):
            end = tried(attempt, folder)
            ends["faults" if isinstance(end, Fault) else end] += 1
            if isinstance(end, Fault):
                yield number, end
        if left := _leftovers(folder):
            yield number, Fault(f"{kind} {number}", "half-written files", "", ", ".join(left))
        shutil.rmtree(folder, ignore_errors=True)


def _leftovers(folder: Path) -> list[str]:
    """Temporary files in the folders that commands write into."""
    kept = (".manifest.lock", ".run.lock", ".gitignore")
    return [str(path) for path in (folder / "out").rglob(".*") if path.name not in kept and path.is_file()]


def plant(folder: Path) -> str:
    """Writes the module that nobody may import; its folder is to be on the path."""
    folder.mkdir(exist_ok=True)
    (folder / f"{PLANTED}.py").write_text("f = print\n")
    return str(folder)


def scale() -> float:
    """How many times as many cases as usual."""
    return float(os.environ.get("FAITHBENCH_SCALE", "1"))


def main() -> None:
    """Prints faults by place, and how to repeat one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", choices=list(KINDS))
    parser.add_argument("number", nargs="?", type=int)
    parser.add_argument("--scale", type=float, default=scale())
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "faithbench-hostile")
    options = parser.parse_args()
    options.home.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, plant(options.home / "planted"))
    maker, found, start = Maker(Home(options.home)), defaultdict[tuple[str, str], list[str]](list), time.process_time()
    total = 0
    for kind in [options.kind] if options.kind else list(KINDS):
        count, begun = round(COUNTS[kind] * options.scale), time.process_time()
        numbers = range(count) if options.number is None else [options.number]
        ends = Counter[str]()
        with tempfile.TemporaryDirectory() as place:
            for number, fault in faults(maker, kind, numbers, Path(place), ends):
                found[fault.what, fault.place].append(f"{kind} {number}: {fault.words[:300]} :: {fault.detail[:300]}")
        total += len(numbers)
        counts = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
        print(f"{kind}: {len(numbers)} cases ({counts}), {time.process_time() - begun:.1f} s of CPU", flush=True)
    for (what, where), cases in sorted(found.items(), key=lambda each: -len(each[1])):
        print(f"\n{len(cases)} × {what} at {where}")
        for case in cases[:3]:
            print(f"    {case}")
    seconds, faulty = time.process_time() - start, sum(map(len, found.values()))
    print(f"\n{total} cases, {faulty} faults at {len(found)} places, {seconds:.0f} s of CPU")


if __name__ == "__main__":
    main()
