"""The mean activation at each token of the vocabulary: the table of Bills et al. 2023, their strongest baseline."""

from dataclasses import dataclass

from faithbench.activations import Recording
from faithbench_describers.tables import TokenValues, table


@dataclass(frozen=True)
class TokenTable:
    """The smoothed mean activation at each token: (Σa + mean)/(n + 1) of its n occurrences, the mean where it has none.

    As long as the vocabulary is: 8 bits for each of its tokens.
    """

    def __call__(self, fit: Recording, calibrate: Recording) -> TokenValues:
        """The table, of tokens that occur."""
        return table("mean activation at each token", fit.windows.ids, fit)
