"""The mean activation and nothing else: what a description that says nothing is worth."""

from dataclasses import dataclass

from faithbench.activations import Recording
from faithbench_describers.tables import TokenValues


@dataclass(frozen=True)
class Constant:
    """The neuron's mean activation, at every token: a sanity check, of 0 bits.

    A simulation that is constant correlates with nothing, so scores that correlate are not defined (NaN).
    """

    def __call__(self, fit: Recording, calibrate: Recording) -> TokenValues:
        """The mean over the documents to be fitted."""
        mean = float(fit.activations.mean())
        return TokenValues(f"the same at every token ({mean:.3g})", 0.0, other=mean)
