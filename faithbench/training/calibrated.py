"""A classifier that is about as sure as it is right: its logits divided by a temperature."""

from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from faithbench.errors import UserError
from faithbench.plugins.naming import ModelRef, refer
from faithbench.plugins.spec import Component

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier
    from faithbench.training.setup import Setup


@dataclass(frozen=True)
class Calibrated:
    """Another classifier whose logits are divided by a temperature (Guo et al. 2017, arXiv 1706.04599).

    What it says stays the same, how sure it is of it changes, and with that what it loses where words are taken away.
    So models that were trained with different losses can be compared on one scale: a B-cos model, which binary
    cross-entropy trains and a softmax reads, says more than it is right, most of all on data of two classes.

    The temperature is the one at which the mean negative log likelihood of the labels of validation texts is least. The
    manifest keeps it and what it was found on.

    Args:
        model: a named model, a folder or a hub id; a classifier.
        temperature: 0 to find it; or the number, which needs no labelled texts.
    """

    model: str
    temperature: float = 0.0
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", refer(self.model).spec)
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature={self.temperature!r} is not allowed; it must be above 0, or 0 to find it.")

    def change(self, classifier: "HuggingFaceClassifier") -> "HuggingFaceClassifier":
        """The model at its temperature; only once it is known, see `learn`."""
        if not self.temperature:
            raise UserError("calibrated(…) has to find its temperature first.")
        return classifier.at(self.temperature)

    def learn(
        self, named: ModelRef, classifier: "HuggingFaceClassifier", data: Component | None, setup: "Setup"
    ) -> "tuple[Calibrated, dict[str, Any]]":
        """Itself with its temperature, and what was found on validation texts.

        Raises:
            UserError: the model is no classifier, there are no such texts, or they give no temperature.
        """
        found: dict[str, Any] = resolve_name("faithbench.training.temperature:calibration")(
            named, classifier, data, self.temperature
        )
        if "texts" in found:
            setup.say(
                f"{named.label}: temperature {found['temperature']:g}, found on {found['texts']:,} validation texts."
            )
        return replace(self, temperature=found["temperature"]), {"calibration": found}
