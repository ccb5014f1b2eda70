"""Where a model's neurons are: what modules give or read, found by name; looked at and changed by hooks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.errors import UserError, brief, enumerated, words_of
from faithbench.neurons.probing import Call, by_tokens, first_tensor, hidden_units, probed, read_few

INPUT = ".input"  # behind a module's name: what it reads
SAID = "neuron_sites"  # attribute of a model whose neurons are others than usual: the pattern for them
Change = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Site:
    """What a module gives or reads, [rows, tokens, units]: the units are neurons.

    Args:
        module: its name in the model.
        layer: of the model, from 0; of modules that are in none, their number in the order in which they are called.
        reads: whether neurons are what it reads, rather than what it gives.
        call: which of the times that a forward pass calls it, from 0.
        calls: how often that is.
        units: how many.
    """

    module: str
    layer: int
    reads: bool = False
    call: int = 0
    calls: int = 1
    units: int = 0

    @property
    def name(self) -> str:
        """The module's, with `.input` for what it reads, and `#call` where a pass calls it several times."""
        return f"{self.module}{INPUT if self.reads else ''}{f'#{self.call}' if self.calls > 1 else ''}"


def find_sites(model: nn.Module, pattern: str = "") -> tuple[Site, ...]:
    """The sites of a model, in the order in which it comes to them; it reads a few tokens to find them.

    Without a pattern they are the hidden units of each layer's MLP: what the last linear layer of it reads, that makes
    of each token something of that token alone. They are named after the module that gives them where there is one, and
    are as many as the configuration says, if it does.

    Args:
        model: of transformers.
        pattern: regular expression, looked for in the names of modules, and in those with `.input` behind for what a
            module reads, as in `mlp.down_proj.input`; empty for the hidden units of MLPs, or what the model itself
            says, such as the latents of `sae(…)`.

    Raises:
        UserError: there is none, or what a module gives are no units of tokens.
    """
    calls, pattern = probed(model), pattern or str(getattr(model, SAID, ""))
    chosen = _matching(model, calls, pattern) if pattern else hidden_units(model, calls)
    if not chosen:
        raise UserError(
            f"{type(model).__name__} has no MLP that can be told from its modules; name the modules whose outputs are "
            "neurons with site=…, or with .input behind the name those that read them."
        )
    inside = all(call.layer is not None for call, _ in chosen)
    sites = tuple(_site(calls, call, reads, number, inside) for number, (call, reads) in enumerate(chosen))
    _check_texts(model, sites)
    return sites


def _matching(model: nn.Module, calls: Sequence[Call], pattern: str) -> list[tuple[Call, bool]]:
    """The calls of modules of such names, and whether what they read (True) or give (False) is meant."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"site={brief(repr(pattern))} is no regular expression: {words_of(error)}; write \\ before a sign that "
            "stands for itself."
        ) from error
    chosen = []
    for call in calls:
        if wanted.search(call.name):
            chosen.append((call, False))
        matches = wanted.finditer(f"{call.name}{INPUT}")
        if any(match.start() <= len(call.name) < len(call.name + INPUT) == match.end() for match in matches):
            chosen.append((call, True))
    if not chosen:
        raise _none(model, calls, pattern, wanted)
    return chosen


def _none(model: nn.Module, calls: Sequence[Call], pattern: str, wanted: re.Pattern[str]) -> UserError:
    """What is wrong with a pattern that no call has."""
    silent = [name for name, _ in model.named_modules() if wanted.search(name)]
    if silent:
        return UserError(
            f"module {brief(silent[0])!r} takes no part when {type(model).__name__} reads a text; name others with "
            "site=…, or leave it out for the hidden units of MLPs."
        )
    last = max((call.layer for call in calls if call.layer is not None), default=None)
    names = [call.name for call in calls if call.layer == last and call.given is not None]
    return UserError(
        f"site={brief(repr(pattern))} is in the name of no module of {type(model).__name__}; there are, for instance, "
        f"{enumerated(dict.fromkeys(names), 180)}; leave it out for the hidden units of MLPs."
    )


def _site(calls: Sequence[Call], call: Call, reads: bool, number: int, inside: bool) -> Site:
    units = call.read if reads else call.given
    if units is None or not by_tokens(units):
        said = "no tensor" if units is None else f"{list(units.shape)} numbers for one text of 5 tokens"
        raise UserError(
            f"module {brief(call.name)!r} {'reads' if reads else 'gives'} {said}, and not [texts, tokens, units]; name "
            "others with site=…, such as a module inside."
        )
    layer = call.layer if inside and call.layer is not None else number
    often = sum(other.module is call.module for other in calls)
    return Site(call.name, layer, reads, call.number, often, units.shape[-1])


def _check_texts(model: nn.Module, sites: Sequence[Site]) -> None:
    """Raises a UserError where a site is the same for all texts of a batch, as the embeddings of places are."""
    with recorded(model, sites) as seen, torch.inference_mode():
        read_few(model, 2)
    for site in sites:
        if site.name in seen and not by_tokens(seen[site.name], 2):
            raise UserError(
                f"module {brief(site.module)!r} {'reads' if site.reads else 'gives'} "
                f"{list(seen[site.name].shape)} numbers for two texts of 5 tokens, and not units of each text's "
                "tokens; name others with site=…."
            )


@contextmanager
def changed(model: nn.Module, changes: Mapping[Site, Change]) -> Iterator[None]:
    """Within it, what sites give or read goes through functions, which give None to leave it as it is.

    What a function is given, and has to give, is [rows, tokens, units], or [rows · tokens, units] in models that put
    all tokens below each other.
    """
    with ExitStack() as stack:
        for site, change in changes.items():
            hook, module = _Hook(site, change), model.get_submodule(site.module)
            if site.reads:
                handle = module.register_forward_pre_hook(hook.before, with_kwargs=True)
            else:
                handle = module.register_forward_hook(hook.behind)
            stack.callback(handle.remove)
        yield


class _Hook:
    """Applies a function in one of the calls of a pass."""

    def __init__(self, site: Site, change: Change) -> None:
        self._site, self._change, self._count = site, change, 0

    def _is_meant(self) -> bool:
        self._count += 1
        return (self._count - 1) % self._site.calls == self._site.call

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A hook that sees what a module reads."""
        if not self._is_meant():
            return None
        read = first_tensor([*args, *kwargs.values()])
        told = None if read is None else self._change(read)
        if told is None:
            return None
        replaced = [told if each is read else each for each in (*args, *kwargs.values())]
        return tuple(replaced[: len(args)]), dict(zip(kwargs, replaced[len(args) :], strict=True))

    def behind(self, module: nn.Module, args: object, output: Any) -> Any:
        """A hook that sees what a module gives."""
        if not self._is_meant():
            return None
        given = first_tensor(output)
        told = None if given is None else self._change(given)
        if told is None or isinstance(output, Tensor):
            return told
        return type(output)(told if each is given else each for each in output)


@contextmanager
def recorded(model: nn.Module, sites: Sequence[Site]) -> Iterator[dict[str, Float[Tensor, "rows tokens units"]]]:
    """Within it, every forward pass puts what the sites give into the dictionary, by their names."""
    found: dict[str, Tensor] = {}

    def keep(site: Site) -> Change:
        def note(units: Tensor) -> None:
            found[site.name] = units.detach()

        return note

    with changed(model, {site: keep(site) for site in sites}):
        yield found


@contextmanager
def overwritten(model: nn.Module, site: Site, unit: int, values: Float[Tensor, "rows tokens"]) -> Iterator[None]:
    """Within it, a neuron's activations are others, but where those are NaN; the model must read such rows."""

    def change(units: Tensor) -> Tensor:
        told = units.clone()
        own = told[..., unit]
        told[..., unit] = values.to(own).reshape(own.shape).where(~values.isnan().reshape(own.shape), own)
        return told

    with changed(model, {site: change}):
        yield
