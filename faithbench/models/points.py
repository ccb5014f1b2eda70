"""Embedding points: where a model can be given embeddings in place of ids, found from the inside of it.

Explanations speak of the input of the first layer. There it can be read and replaced by a hook; where a model does
something else with its ids too, the output of its word embeddings is the next best, then the argument `inputs_embeds`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

States = Float[Tensor, "rows tokens d"]
Change = Callable[[Tensor], Tensor]
FIRST_ARGUMENT = "hidden_states"


class Point(Protocol):
    """A place where embeddings can be read and replaced."""

    def changing(self, change: Change) -> AbstractContextManager[None]:
        """Within it, each forward pass goes on with what the function makes of the embeddings."""


class _PointReachedError(Exception):
    """Ends a forward pass that was only made to read embeddings."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class LayerInput:
    """The first argument of the first layer, once a forward pass: some models call one layer again and again.

    Args:
        model: the whole.
        layer: its first layer.
        tokens_first: whether states are [tokens, rows, d].
    """

    def __init__(self, model: PreTrainedModel, layer: nn.Module, tokens_first: bool = False) -> None:
        self.whole, self.layer, self.tokens_first = model.base_model, layer, tokens_first

    @contextmanager
    def changing(self, change: Change) -> Iterator[None]:
        """Within it, the first layer reads what the function makes of its input."""
        fresh = True

        def begin(*_: object) -> None:
            nonlocal fresh
            fresh = True

        def enter(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            nonlocal fresh
            if not fresh:
                return None
            fresh = False
            states = change(self._turned(args[0] if args else kwargs[FIRST_ARGUMENT]))
            return _replaced(args, kwargs, self._turned(states))

        begun = self.whole.register_forward_pre_hook(begin)
        with begun, self.layer.register_forward_pre_hook(enter, with_kwargs=True):
            yield

    def _turned(self, states: Tensor) -> Tensor:
        return states.transpose(0, 1) if self.tokens_first else states


class ModuleOutput:
    """What a module gives, such as the word embeddings.

    Args:
        module: which.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @contextmanager
    def changing(self, change: Change) -> Iterator[None]:
        """Within it, the module gives what the function makes of its output."""
        with self.module.register_forward_hook(lambda module, args, output: change(output)):
            yield


class EmbeddingArgument:
    """The argument `inputs_embeds`, in place of ids, of word embeddings that are looked up.

    Args:
        model: the whole.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.whole, self.table = model.base_model, model.get_input_embeddings()

    @contextmanager
    def changing(self, change: Change) -> Iterator[None]:
        """Within it, the model is called with what the function makes of the ids' embeddings."""

        def enter(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            states = change(self.table(kwargs.pop("input_ids")))
            return args, {**kwargs, "inputs_embeds": states}

        with self.whole.register_forward_pre_hook(enter, with_kwargs=True):
            yield


def read_at(point: Point, forward: Callable[[], object]) -> States:
    """The embeddings of a forward pass at a point; what comes after is not computed."""

    def stop(states: Tensor) -> Tensor:
        raise _PointReachedError(states)

    try:
        with point.changing(stop):
            forward()
    except _PointReachedError as reached:
        return reached.states
    raise ValueError("the forward pass never came to the point.")


def _replaced(args: tuple[Any, ...], kwargs: dict[str, Any], states: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, FIRST_ARGUMENT: states})
