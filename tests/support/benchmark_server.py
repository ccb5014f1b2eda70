"""Runs scripts in forked children of a process that has imported all that is slow to import, as their own commands.

It is spoken to in lines of JSON: script, arguments, folder and file; it answers with the exit status. What a script
prints is in the file.
"""

import json
import os
import runpy
import sys
import traceback

import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import torch
import transformers  # noqa: F401
from datasets import Dataset  # noqa: F401
from transformers import BertForSequenceClassification, Trainer  # noqa: F401

import faithbench  # and what it loads
import faithbench.training.prepare  # noqa: F401
from faithbench.running import runner  # noqa: F401


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run(script: str, arguments: list[str], folder: str, out: str) -> None:
    """In a child, which ends."""
    os.chdir(folder)
    file = os.open(out, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(script)
    status = 1
    try:
        runpy.run_path(script, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()
