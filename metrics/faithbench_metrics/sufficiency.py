"""Sufficiency, area over the perturbation curve (DeYoung et al. 2020, arXiv 1911.03429)."""

from dataclasses import dataclass

from faithbench.questions import Asking
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.erasure import Protocol, measure


@dataclass(frozen=True)
class Sufficiency:
    """How much the target's probability falls when only the top tokens are kept; lower is better, negative is normal.

    In percent: −100 to 100 (`strict`), −80 to 80 (`paper`). `strict` keeps special tokens, `paper` masks them too.
    `parts` are the drops at the ratios 0.1 … 0.9, as fractions.

    Args:
        protocol: `strict` or `paper`, see docs/protocols.md.
    """

    protocol: str = "strict"

    def __post_init__(self) -> None:
        Protocol(self.protocol)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        return measure(text, attribution, Protocol(self.protocol), remove=False)
