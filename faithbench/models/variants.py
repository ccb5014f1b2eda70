"""The model changed for the time of a question: noise at its embeddings, or random weights in some of its parts."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from faithbench.errors import QuestionError
from faithbench.interfaces import WhiteBox


class Noise:
    """Within it, uniform noise is added to what the first layer reads: the same at each place of every row.

    Args:
        classifier: whose model is changed.
        radius: the noise lies in [−radius, radius].
        seed: draws it.
    """

    def __init__(self, classifier: WhiteBox, radius: float, seed: int) -> None:
        self.classifier, self.radius, self.seed = classifier, radius, seed
        self.noise = torch.zeros(0)
        self._within: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._within.append(self.classifier.changing(self._add))
        self._within[-1].__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._within.pop().__exit__(*raised)

    def _add(self, states: Tensor) -> Tensor:
        tokens, width = states.shape[1:]
        if len(self.noise) < tokens:  # a model may read more tokens than there is memory for noise
            with torch.inference_mode(False):
                self.noise = self.drawn(tokens, width).to(self.classifier.device, self.classifier.model.dtype)
        return states + self.noise[:tokens]

    def drawn(self, tokens: int, width: int) -> Tensor:
        """Place by place, so that more places begin with the same numbers."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(tokens, width, generator=generator, dtype=torch.float64)
        return (2 * noise - 1) * self.radius


class Replaced:
    """Within it, parameters of a model hold other numbers.

    Args:
        others: parameters, each with the tensor that takes the place of its own.
    """

    def __init__(self, others: list[tuple[nn.Parameter, Tensor]]) -> None:
        self.others = others

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        """Exchanges these tensors and the model's; an even number of times leaves the model as it was."""
        exchanged = []
        for parameter, other in self.others:
            exchanged.append((parameter, parameter.data))
            parameter.data = other
            increment_version(parameter)  # an address in memory may come again; what is remembered of weights must not
        self.others = exchanged


class Randomised(Replaced):
    """Within it, parts of the model have random weights (Adebayo et al. 2018, arXiv 1810.03292).

    Parts are numbered from the output down: 0 the head with what stands between it and the layers, 1 the last layer, …,
    at the end the embedding module. Each weight tensor is drawn anew from a normal distribution with its own mean and
    standard deviation, so that activations keep their order of magnitude.

    Args:
        classifier: whose model is changed.
        part: which.
        cascade: all parts before it too, down from the output; otherwise this one alone.
        seed: draws the weights.
    """

    def __init__(self, classifier: WhiteBox, part: int, cascade: bool, seed: int) -> None:
        parts = list(_parts(classifier))
        if not 0 <= part < len(parts):
            raise QuestionError(f"part {part} is not one of the model's {len(parts)} parts")
        generator = torch.Generator().manual_seed(seed)
        drawn: list[tuple[nn.Parameter, Tensor]] = []
        for number, parameters in enumerate(parts[: part + 1]):
            for parameter in parameters:
                new = torch.randn(parameter.shape, generator=generator, dtype=torch.float32).to(parameter)
                if number == part or cascade:
                    drawn.append((parameter, parameter.mean() + parameter.std(correction=0) * new))
        super().__init__(drawn)


def count_parts(classifier: WhiteBox, text: object) -> int:
    """How many parts `Randomised` can number; a function for `Inside`."""
    return sum(1 for _ in _parts(classifier))


def _parts(classifier: WhiteBox) -> Iterator[list[nn.Parameter]]:
    """The parameters of head, layers from the last to the first, embeddings; each parameter once."""
    layers = _layers(classifier)
    embedding = _embedding(classifier)
    inside = {id(parameter) for parameter in (*layers.parameters(), *embedding)}
    yield [parameter for parameter in classifier.model.parameters() if id(parameter) not in inside]
    for layer in reversed(layers):
        yield list(layer.parameters())
    yield embedding


def _layers(classifier: WhiteBox) -> nn.ModuleList:
    name = classifier.architecture.layers
    layers = classifier.model.get_submodule(name) if name else None
    if not isinstance(layers, nn.ModuleList):
        raise QuestionError(f"{type(classifier.model).__name__} has no list of layers that could be randomised")
    return layers


def _embedding(classifier: WhiteBox) -> list[nn.Parameter]:
    """Of the embedding module and all else that has run when the first layer begins, such as a module of positions.

    An output layer tied to the word embeddings belongs to these.
    """
    model = classifier.model
    own = {id(parameter) for parameter in model.get_submodule(classifier.architecture.embeddings).parameters()}
    if classifier.reads_embeddings:
        own |= _called_before(classifier)
    return [parameter for parameter in model.parameters() if id(parameter) in own]


def _called_before(classifier: WhiteBox) -> set[int]:
    """What tells the parameters of modules that run before the first layer."""
    called: set[int] = set()

    def note(module: nn.Module, *_: object) -> None:
        called.update(id(parameter) for parameter in module.parameters(recurse=False))

    handles = [module.register_forward_pre_hook(note) for module in classifier.model.modules()]
    try:
        with torch.no_grad():
            classifier.embedded(torch.zeros(1, 2, dtype=torch.long, device=classifier.device))
    finally:
        for handle in handles:
            handle.remove()
    return called
