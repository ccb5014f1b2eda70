"""Sufficiency, area over the perturbation curve (DeYoung et al. 2020, arXiv 1911.03429)."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.operators import needs_of_operator, operator_of, range_of_value, settle
from faithbench_metrics.perturbation.ratios import RATIOS, Protocol, measure


@dataclass(frozen=True)
class Sufficiency:
    """How much the target's probability falls when only the top tokens are kept; lower is better, negative is normal.

    In percent: −100 to 100 (`strict`), −80 to 80 (`paper`). `strict` keeps special tokens, `paper` masks them too.
    `parts` are the drops at the ratios 0.1 … 0.9, as fractions. Of a model that says a
    value all are falls of the value, in its own unit. Not defined (NaN) without content tokens.

    Args:
        protocol: `strict` or `paper`, see docs/protocols.md.
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`; `paper`: only `mask`.
        value: what is measured: the `probability`, or its `logit`, log p/(1 − p), without limits and not in percent; of
            a next-token question that is d, the logit of the good continuation less that of the bad one.
    """

    protocol: str = "strict"
    operator: str = "mask"
    value: str = "probability"
    higher_is_better: ClassVar[bool] = False
    by_order: ClassVar[bool] = True
    added: ClassVar[tuple[str, ...]] = ("value",)
    parts_at: ClassVar[tuple[float, ...]] = RATIOS
    needs = needs_of_operator

    def __post_init__(self) -> None:
        settle(self)
        Protocol(self.protocol).check_operator(operator_of(self))

    @property
    def range(self) -> tuple[float, float]:
        """That of the protocol; a logit has no limits."""
        return range_of_value(self, *Protocol(self.protocol).range)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        return measure(text, attribution, Protocol(self.protocol), operator_of(self), remove=False)
