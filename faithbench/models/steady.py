"""Notices what a function that may look into a model has changed there, and puts back what can be put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from faithbench.errors import ModelChangedError, QuestionError

SAMPLED = 8  # numbers of a weight, about
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = tuple(f"_global{name}" for name in HOOKS)
Kinds = list[tuple[torch.dtype, torch.device, torch.Size]]


class Steady:
    """Watches one model.

    Weights are compared by a few numbers of each, and in full where torch has counted a change; so what is written into
    a part of one behind torch's back (`weight.data[3] = 0`) may not be noticed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._sums: dict[str, tuple[int, float]] = {}  # of each weight: torch's count of changes, and its sum then

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Within it the model is to stay as it is.

        Raises:
            QuestionError: its modules, configuration or hooks hold something else, such as the mode of training, or its
                weights no longer or now take gradients; all this is put back.
            ModelChangedError: there are other numbers in its weights, which cannot be put back.
        """
        weights = dict(self._weights())
        for name, weight in weights.items():
            if self._sums.get(name, (-1, 0.0))[0] != _version(weight):  # a variant of the model, say
                self._sums[name] = _version(weight), _sum(weight)
        sample, contents, kinds = _sample(weights), self._contents(), _kinds(weights)
        gradients = {name: weight.requires_grad for name, weight in self.model.named_parameters()}
        try:
            yield
        finally:
            left = self._put_back(contents, gradients)
            self._check_weights(weights, sample, kinds)
        if left:
            raise QuestionError(f"it leaves the model with other {', '.join(list(dict.fromkeys(left))[:3])}")

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def _check_weights(self, weights: dict[str, Tensor], sample: Tensor, kinds: Kinds) -> None:
        now = dict(self._weights())
        same = now.keys() == weights.keys() and all(now[name] is weights[name] for name in now)
        if (
            not same
            or kinds != _kinds(now)
            or not torch.equal(_sample(now).nan_to_num(), sample.nan_to_num())
            or any(self._is_other(name, weight) for name, weight in now.items())
        ):
            raise ModelChangedError(
                "a component has written into the model's weights, so the run ends here: what is stored is of the "
                "model as it was; leave that component out, or let it work on a copy of the model."
            )

    def _is_other(self, name: str, weight: Tensor) -> bool:
        """Whether a weight has other numbers, if torch has counted a change."""
        version, before = self._sums[name]
        if version == _version(weight):
            return False
        self._sums[name] = _version(weight), _sum(weight)
        return self._sums[name][1] != before

    def _contents(self) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
        """What modules (but in private), configuration and hooks hold, as they are kept and as they are now."""
        owners = [vars(module) for module in self.model.modules()]
        config = getattr(self.model, "config", None)
        kept = [*(owner[name] for owner in owners for name in HOOKS), *map(vars, filter(None, [config]))]
        kept += [getattr(torch.nn.modules.module, name) for name in GLOBAL_HOOKS]
        return [*((owner, _public(owner)) for owner in owners), *((there, dict(there)) for there in kept)]

    def _put_back(
        self,
        contents: list[tuple[dict[Any, Any], dict[Any, Any]]],
        gradients: dict[str, bool],
    ) -> list[str]:
        """Says what has been left changed."""
        left = []
        for there, before in contents:
            now = _public(there) if "_modules" in there else there
            changed = [name for name in {**now, **before} if now.get(name, self) is not before.get(name, self)]
            left += ["hooks" if isinstance(name, int) else str(name) for name in changed]
            for name in changed:
                there.pop(name, None)
                there.update({name: before[name]} if name in before else {})
        for name, weight in self.model.named_parameters():
            if weight.requires_grad != gradients[name]:
                weight.requires_grad_(gradients[name])
                left.append("requires_grad")
            weight.grad = None
        return left


def _public(owner: dict[str, Any]) -> dict[str, Any]:
    """What a module holds but for what it keeps for itself, such as weights that it has computed once."""
    return {name: value for name, value in owner.items() if not name.startswith("_")}


def _kinds(weights: dict[str, Tensor]) -> Kinds:
    return [(weight.dtype, weight.device, weight.shape) for weight in weights.values()]


def _version(weight: Tensor) -> int:
    """Torch's count of changes; 0 of tensors that have none."""
    return 0 if weight.is_inference() else weight._version


def _sum(weight: Tensor) -> float:
    return float(weight.detach().double().sum())


def _sample(weights: dict[str, Tensor]) -> Tensor:
    """A few numbers of each, evenly apart."""
    flat = [weight.detach().reshape(-1) for weight in weights.values()]
    return torch.cat([numbers[:: max(1, len(numbers) // SAMPLED)].double() for numbers in flat])
