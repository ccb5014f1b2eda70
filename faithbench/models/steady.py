"""Notices what a function that may look into a model has changed there, and puts back what can be put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from faithbench.errors import ModelChangedError, QuestionError

SAMPLED = 8  # numbers of a weight, about


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
            QuestionError: it was switched to training, its weights no longer or now take gradients, or hooks were left
                in it; all this is put back.
            ModelChangedError: there are other numbers in its weights, which cannot be put back.
        """
        weights = dict(self._weights())
        for name, weight in weights.items():
            if self._sums.get(name, (-1, 0.0))[0] != _version(weight):  # a variant of the model, say
                self._sums[name] = _version(weight), _sum(weight)
        sample, switches, hooks = _sample(weights), self._switches(), self._hooks()
        try:
            yield
        finally:
            self._check_weights(weights, sample)
            left = self._put_back(switches, hooks)
        if left:
            raise QuestionError(f"it leaves the model {' and '.join(dict.fromkeys(left))}")

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def _check_weights(self, weights: dict[str, Tensor], sample: Tensor) -> None:
        now = dict(self._weights())
        same = now.keys() == weights.keys() and all(now[name] is weights[name] for name in now)
        if (
            not same
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

    def _switches(self) -> list[tuple[nn.Module | Tensor, bool]]:
        """What is in training, and what takes gradients."""
        modules = [(module, module.training) for module in self.model.modules()]
        return [*modules, *((weight, weight.requires_grad) for weight in self.model.parameters())]

    def _hooks(self) -> list[tuple[dict[int, object], dict[int, object]]]:
        """The hooks of all modules, as they are kept and as they are now."""
        kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        found = [getattr(module, name) for module in self.model.modules() for name in kept]
        return [(hooks, dict(hooks)) for hooks in found]

    def _put_back(
        self,
        switches: list[tuple[nn.Module | Tensor, bool]],
        hooks: list[tuple[dict[int, object], dict[int, object]]],
    ) -> list[str]:
        """Says what has been left changed."""
        left = []
        for thing, state in switches:
            if isinstance(thing, nn.Module) and thing.training != state:
                thing.training = state
                left.append("in training" if not state else "not in training")
            elif isinstance(thing, Tensor) and thing.requires_grad != state:
                thing.requires_grad_(state)
                left.append("with weights that take gradients" if not state else "with weights that take no gradients")
        for there, before in hooks:
            if there.keys() != before.keys():
                there.clear()
                there.update(before)
                left.append("with hooks")
        for weight in self.model.parameters():
            weight.grad = None
        return left


def _version(weight: Tensor) -> int:
    """Torch's count of changes; 0 of tensors that have none."""
    return 0 if weight.is_inference() else weight._version


def _sum(weight: Tensor) -> float:
    return float(weight.detach().double().sum())


def _sample(weights: dict[str, Tensor]) -> Tensor:
    """A few numbers of each, evenly apart."""
    flat = [weight.detach().reshape(-1) for weight in weights.values()]
    return torch.cat([numbers[:: max(1, len(numbers) // SAMPLED)].double() for numbers in flat])
