"""Small programs beside the project, each a kind of input that people bring; status 0 where all is as it must be."""

import subprocess
import sys

import pytest
from places import SHARED

CASES = sorted(SHARED.glob("cases/*/case.py"))


@pytest.mark.slow
@pytest.mark.skipif(not CASES, reason="there is no ../shared/cases")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_a_case_is_as_its_readme_says(case):
    done = subprocess.run([sys.executable, str(case)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "WRONG" not in done.stdout
