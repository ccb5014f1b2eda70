"""The mean activation before each token of the vocabulary, which late layers depend on more than on the token read."""

from dataclasses import dataclass

from faithbench.activations import Recording
from faithbench_describers.tables import TokenValues, table


@dataclass(frozen=True)
class NextTokenTable:
    """The smoothed mean activation at tokens before each token, as `token_table` is by the token itself.

    It says what the model is about to predict, as far as the text bears that out. Where nothing comes behind a token,
    the mean of all tokens is predicted. As long as the vocabulary is: 8 bits for each of its tokens.
    """

    def __call__(self, fit: Recording, calibrate: Recording) -> TokenValues:
        """The table, of tokens that occur behind others."""
        return table("mean activation before each token", fit.windows.next_ids, fit, ahead=True)
