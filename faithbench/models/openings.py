"""Whether rules of the backward pass see all of a model as it is, or only with its modules opened, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from faithbench.architectures.activations import Activation, at_zero
from faithbench.architectures.finding import activation_of
from faithbench.architectures.forms import Gate, opened, openings
from faithbench.errors import QuestionError
from faithbench.models.probes import is_frozen

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier


def must_open(classifier: HuggingFaceClassifier, mode: Any) -> bool:
    """Whether modules of a model must be opened for the rules of a mode to see all that it does.

    Where they need not be, they stay as they are. Rules that follow the signal into attention must see the norms of
    queries and keys too, which are constants to others.

    Raises:
        QuestionError: the rules would leave out a part of the model even then.
    """
    model = classifier.model
    hidden = [opening for opening in openings(model) if opening.parent.startswith(classifier.architecture.layers)]
    activations = [opening.closed for opening in hidden if isinstance(opening.form, Activation)]
    norms = [opening for opening in hidden if not isinstance(opening.form, (Activation, Gate))]
    follows = follows_attention(classifier, mode)
    gates = [opening.closed for opening in hidden if isinstance(opening.form, Gate)]
    gates += [module.activation for module in model.modules() if isinstance(module, Gate)]
    _check_zeros(classifier, [*activations, *(gates if follows else [])], mode)
    if is_frozen(classifier, mode.freezes) and not activations and not (follows and norms):
        return False
    with opened(model):
        if is_frozen(classifier, mode.freezes):
            return True
    raise QuestionError(
        f"{type(model).__name__} has a part that {mode.__name__} cannot hold constant, such as a product of two layers "
        "or a norm of a kind of its own"
    )


def _check_zeros(classifier: HuggingFaceClassifier, activations: Sequence[nn.Module], mode: Any) -> None:
    """Refuses activations that rules would take for lines through the origin and are not 0 there."""
    for activation in activations:
        if (value := at_zero(activation)) != 0:
            raise QuestionError(
                f"the activation {activation_of(classifier.model)!r} of {type(classifier.model).__name__} is {value:g} "
                f"at 0, so that it has no factor f(x)/x that {mode.__name__} could hold constant"
            )


def follows_attention(classifier: HuggingFaceClassifier, mode: Any) -> bool:
    """Whether rules follow the signal into attention probabilities.

    Raises:
        QuestionError: they would, and the model has none that can be seen, but something of another kind.
    """
    follows = bool(getattr(mode, "follows_attention", False))
    if follows and classifier.model.config._attn_implementation != "sdpa" and not classifier.can.attention:
        raise QuestionError(
            f"{type(classifier.model).__name__} shows no attention probabilities, so that {mode.__name__} may have no "
            "rule for how it mixes tokens"
        )
    return follows
