"""`python -m faithbench` is the command `faithbench`."""

from faithbench.cli import main

if __name__ == "__main__":
    main()
