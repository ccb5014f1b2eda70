"""BLiMP as next-token questions, from a small file of the same columns."""

import pytest

from faithbench import parquet
from faithbench.datasets.blimp import MORE, PARADIGMS, BLiMP
from faithbench.errors import UserError
