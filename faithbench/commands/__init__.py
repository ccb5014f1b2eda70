"""The commands of the command line, a file each; `cli.py` lists them."""
