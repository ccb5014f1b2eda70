"""Snapshots of state: the model, the texts and the attributions, which a component must leave as it found them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from faithbench.interfaces import Classifier, Explainer, Metric
from faithbench.types import Attribution, Text

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
State = Mapping[str, object]  # by a name that says what it is


def state(classifier: Classifier, data: Iterable[Text | Attribution]) -> State:
    """A picture of it all."""
    return dict(_parts(classifier, data))


def check_same(component: Explainer | Metric, before: State, after: State) -> None:
    """Raises an AssertionError that says what has changed, if anything has."""
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    assert not changed, f"{component!r} changes {', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''}."


def _parts(classifier: Classifier, data: Iterable[Text | Attribution]) -> Iterator[tuple[str, object]]:
    yield "the classifier's fingerprint", classifier.fingerprint()
    for number, one in enumerate(data):
        for field in fields(one):
            yield f"`{field.name}` of {type(one).__name__} {number}", _content(getattr(one, field.name))
    network: Any = getattr(classifier, "model", None)
    if hasattr(network, "named_modules"):
        yield from _network_state(network)


def _network_state(network: Any) -> Iterator[tuple[str, object]]:
    config = getattr(network, "config", None)
    yield "the model's config", repr(config)
    yield "the model's attention implementation", getattr(config, "_attn_implementation", None)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        yield f"the numbers in {name}", _content(tensor.detach().cpu().double().numpy())
        yield f"requires_grad of {name}", tensor.requires_grad
        yield f"the gradient of {name}", tensor.grad is None
    for name, module in network.named_modules():
        yield f"the mode of module {name!r} (training or not)", module.training
        yield f"the hooks of module {name!r}", sum(len(getattr(module, hooks)) for hooks in HOOKS)


def _content(value: object) -> object:
    return hashlib.sha256(value.tobytes()).digest() if isinstance(value, np.ndarray) else repr(value)
