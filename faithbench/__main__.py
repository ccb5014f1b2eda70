"""`python -m faithbench` is the command `faithbench`: told to stop while it is still being loaded, it stops quietly."""

import importlib
import os

STOPPED = 130  # 128 and the number of SIGINT


def main() -> None:
    """The entry point."""
    try:
        line = importlib.import_module("faithbench.cli")
    except KeyboardInterrupt:
        os.write(2, b"faithbench: stopped by Ctrl-C before anything was begun.\n")
        raise SystemExit(STOPPED) from None
    line.main()


if __name__ == "__main__":
    main()
