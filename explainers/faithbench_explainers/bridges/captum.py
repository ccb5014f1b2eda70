"""Adapter of `captum(…)`: captum's class, the function it is given, and what it gives."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithbench.errors import QuestionError, unknown
from faithbench.interfaces import Classifier, WhiteBox
from faithbench.types import Text
from faithbench_explainers.bridges.library import (
    check_call,
    check_target,
    entropy,
    library,
    masked_logits,
    own_chance,
    parameters,
    placed,
    required,
    split,
)

OURS = frozenset(  # of captum's parameters; what a user may not give
    """inputs baselines target additional_forward_args feature_mask return_convergence_delta return_input_shape
    custom_attribution_func""".split()
)


def check_method(method: str, arguments: Mapping[str, object], over: str) -> None:
    """Raises a ValueError unless captum has such a method, which runs on one text with these arguments."""
    found = _class(method)
    check_call(f"captum's {method}", found, found.attribute, arguments, OURS)
    if over == "ids" and _differentiates(found):
        raise ValueError(f"over='ids' is not allowed with {method}: gradients need embeddings.")
    if over == "embeddings" and not _differentiates(found) and "feature_mask" not in parameters(found.attribute):
        raise ValueError(f"over='embeddings' is not allowed with {method}: it cannot take dimensions together.")


def scores(
    classifier: Classifier, text: Text, method: str, arguments: Mapping[str, object], over: str, target: int, seed: int
) -> Float[np.ndarray, "tokens"]:
    """What captum's method gives each token; 0 to those that are no players.

    Raises:
        QuestionError: the model has no such class, or no embeddings where the method needs them.
    """
    check_target(classifier, target)
    found = _class(method)
    device = getattr(classifier, "device", torch.device("cpu"))
    with _seeded(seed, text, device), torch.enable_grad():
        if over == "ids" or (over == "auto" and not _differentiates(found)):
            return _over_ids(classifier, text, found, arguments, target)
        if not hasattr(classifier, "reading"):
            raise QuestionError(f"captum's {method} runs over embeddings, which only a Hugging Face model offers")
        white_box = cast(WhiteBox, classifier)
        if _differentiates(found):
            return _over_all_embeddings(white_box, text, found, arguments, target)
        return _over_embeddings(white_box, text, found, arguments, target)


def _class(method: str) -> Any:
    """The class of that name, if it runs on a function of one text."""
    attr = library("captum", "captum.attr")
    every = {name: each for name, each in vars(attr).items() if _is_attribution(each, attr)}
    fit = {name: each for name, each in every.items() if not _hindrance(each)}
    if method not in every:
        raise ValueError(str(unknown("method of captum", method, fit)))
    if hindrance := _hindrance(every[method]):
        raise ValueError(f"method={method!r} is not allowed: captum {hindrance}; use {', '.join(sorted(fit))}.")
    return fit[method]


def _is_attribution(found: object, attr: ModuleType) -> bool:
    """Whether it is a class of scores, and not one that others derive from."""
    general = (attr.Attribution, attr.GradientAttribution, attr.PerturbationAttribution)
    return isinstance(found, type) and issubclass(found, general) and found not in general


def _hindrance(found: Any) -> str:
    """Why a class cannot explain one text as faithbench runs it; nothing if it can."""
    if required(found) != ["forward_func"]:
        return f"makes it from {', '.join(required(found))}, not from a function alone"
    if not _differentiates(found) and "baselines" not in parameters(found.attribute):
        return "compares texts with each other there, not one with a baseline"
    return ""


def _differentiates(found: Any) -> bool:
    return issubclass(found, library("captum", "captum.attr").GradientAttribution)


@contextmanager
def _seeded(seed: int, text: Text, device: torch.device) -> Iterator[None]:
    """Within it, random numbers of torch and numpy depend on the seed and the text; after it, they go on as before."""
    cuda = device.type == "cuda"
    with own_chance(), torch.random.fork_rng([device] if cuda else []):
        words = entropy(seed, text)
        np.random.seed(words)
        torch.default_generator.manual_seed(int(words[0]))
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(int(words[0]))
        yield


def _over_ids(
    classifier: Classifier, text: Text, found: Any, arguments: Mapping[str, object], target: int
) -> Float[np.ndarray, "tokens"]:
    """Of a perturbation method on which content tokens are there: ones and zeros."""

    def forward(present: Float[Tensor, "variants content"]) -> Float[Tensor, "variants classes"]:
        return torch.from_numpy(masked_logits(classifier, text, present.numpy() > 0.5))

    whole = torch.ones(1, len(text.content))
    rows = classifier.batch_tokens // len(text)
    given = _attribute(found, forward, whole, arguments, rows, target=target, baselines=torch.zeros_like(whole))
    return placed(text, given[0])


def _over_all_embeddings(
    classifier: WhiteBox, text: Text, found: Any, arguments: Mapping[str, object], target: int
) -> Float[np.ndarray, "tokens"]:
    """Of a gradient method, special tokens included, summed over dimensions."""
    own, base = _ends(classifier, text)
    forward = _reader(classifier, text)
    rows = classifier.batch_tokens // classifier.gradient_cost // len(text)
    given = _attribute(found, forward, own.requires_grad_(), arguments, rows, target=target, baselines=base)
    return given[0].sum(axis=-1)


def _over_embeddings(
    classifier: WhiteBox, text: Text, found: Any, arguments: Mapping[str, object], target: int
) -> Float[np.ndarray, "tokens"]:
    """Of a perturbation method, in which all dimensions of a content token come and go together."""
    own, base = _ends(classifier, text)
    content = torch.from_numpy(text.content).to(own.device)
    read = _reader(classifier, text)

    def forward(embeddings: Float[Tensor, "variants content d"]) -> Float[Tensor, "variants classes"]:
        with torch.no_grad():
            whole = own.repeat(len(embeddings), 1, 1)
            whole[:, content] = embeddings
            return read(whole)

    players = torch.arange(len(content), device=own.device)[None, :, None].expand(1, -1, own.shape[-1])
    rows = classifier.batch_tokens // classifier.gradient_cost // len(text)
    parts, gone = own[:, content], base[:, content]
    given = _attribute(found, forward, parts, arguments, rows, target=target, baselines=gone, feature_mask=players)
    return placed(text, given[0, :, 0])


def _attribute(
    found: Any,
    forward: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "1 *shape"],
    arguments: Mapping[str, object],
    rows: int,
    **ours: Any,
) -> Float[np.ndarray, "1 *shape"]:
    """What captum gives, batches of `rows` where neither the user nor the method says otherwise."""
    if found.__name__ == "KernelShap" and inputs.shape[1] == 1:  # it cannot draw coalitions of one, and needs none
        ends = forward(torch.cat([inputs, ours["baselines"]]))[:, ours["target"]].double()
        return np.full(inputs.shape, float(ends[0] - ends[1]))
    known = parameters(found.attribute)
    constructor, method = split(found.attribute, arguments)
    sizes = {name: max(1, rows) for name in ("internal_batch_size", "perturbations_per_eval")}
    given = {name: value for name, value in {**sizes, **ours, **method}.items() if name in known}
    answer = found(forward, **constructor).attribute(inputs, **given)
    if not isinstance(answer, Tensor) or answer.shape != inputs.shape:
        raise QuestionError(f"captum's {found.__name__} gives something else than a number for each input")
    return answer.detach().double().cpu().numpy()


def _ends(classifier: WhiteBox, text: Text) -> tuple[Float[Tensor, "1 tokens d"], Float[Tensor, "1 tokens d"]]:
    """The text's embeddings, and the mask token's at every position."""
    ids, types = classifier.inputs_of(text)
    with torch.no_grad():
        blank = torch.full_like(ids, text.mask_id)
        return classifier.embedded(ids, types).detach(), classifier.embedded(blank, types).detach()


def _reader(classifier: WhiteBox, text: Text) -> Callable[[Tensor], Tensor]:
    """The model's logits as a function of embeddings."""
    ids, types = classifier.inputs_of(text)

    def forward(embeddings: Float[Tensor, "variants tokens d"]) -> Float[Tensor, "variants classes"]:
        with classifier.reading(embeddings):
            rows = len(embeddings)
            kinds, candidates = None if types is None else types.expand(rows, -1), classifier.candidates_of(text, rows)
            logits = classifier.forward(ids.expand(rows, -1), kinds, whole=True, candidates=candidates)
        return logits if text.outputs is None else logits[:, list(text.outputs)]

    return forward
