"""What a model can be asked, tried on rows of one or two when it is loaded: what fails is refused by name.

A choice is right where it changes nothing that it must not change: with ids A and the embeddings of ids B, logits are
those of B; a row alone and the same row padded have the same logits; what is hidden may be any token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from faithbench.architectures.inspection import takes
from faithbench.errors import UserError, describe
from faithbench.models.points import EmbeddingArgument, LayerInput, ModuleOutput, Point, read_at
from faithbench.questions import Row

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier

CONTENT = 6  # tokens of a probe
SHARE = {torch.float64: 1e-5, torch.float32: 1e-3}  # of the difference that another text makes; else `COARSE`
NOISE = {torch.float64: 1e-9, torch.float32: 1e-5}  # of the logits themselves
COARSE, COARSE_NOISE = 0.2, 2e-2  # of 16-bit models
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Abilities:
    """What a model can be asked.

    Args:
        point: where embeddings can be read and replaced; None: nowhere.
        pads: whether rows of unequal lengths may share a batch, padded on the right.
        hides: whether tokens can be hidden from attention.
        cut: the module of the last layer from which on only the position that the head reads is needed.
        attention: how attention probabilities are had: caught inside torch's function, told by the model, or not.
    """

    point: Point | None = None
    pads: bool = True
    hides: bool = True
    cut: nn.Module | None = None
    attention: Literal["caught", "told", ""] = ""


def probed(classifier: HuggingFaceClassifier) -> Abilities:
    """What a model can be asked; sets its head and first position, which stand only if they prove true.

    Raises:
        UserError: the model does not run, or is no sequence classifier.
    """
    with torch.inference_mode():
        return Probe(classifier).abilities()


def is_frozen(classifier: HuggingFaceClassifier, mode: Callable[[], AbstractContextManager[object]]) -> bool:
    """Whether, under a mode, what the head reads is linear in the embeddings: it has no second derivative.

    That is so where the mode holds constant all that changes with the input: attention, norms, gates.
    """
    ids = torch.from_numpy(two_rows(classifier)[0]).to(classifier.device)
    with torch.enable_grad():
        leaf = classifier.embedded(ids).detach().clone().requires_grad_()
        with classifier.reading(leaf), mode():
            states = classifier.states(ids)
        weights = torch.linspace(-1, 1, states.numel(), device=leaf.device).reshape(states.shape).to(leaf.dtype)
        (first,) = torch.autograd.grad((weights * states).sum(), leaf, create_graph=True)
        if not first.requires_grad:
            return True
        try:
            (second,) = torch.autograd.grad(first.square().sum(), leaf, allow_unused=True)
        except RuntimeError:  # some functions have no second derivative; what is constant is asked for none
            return False
    return second is None or float(second.detach().abs().max()) <= 1e-6 * float(first.detach().square().sum())


class Probe:
    """Two rows of a model, and what it says of them.

    Args:
        classifier: whose.
    """

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        self.classifier = classifier
        self.one, self.other = (torch.from_numpy(ids).to(classifier.device) for ids in two_rows(classifier))
        self.usual = self._usual(self.one)
        self._check_head()
        self.elsewhere = classifier.forward(self.other)
        share, noise = SHARE.get(classifier.dtype, COARSE), NOISE.get(classifier.dtype, COARSE_NOISE)
        self.tolerance = share * _distance(self.usual, self.elsewhere) + noise * float(self.usual.abs().max())
        self._check_causal()

    def abilities(self) -> Abilities:
        """All that hold, one after the other; later probes use what earlier ones found."""
        classifier = self.classifier
        classifier.first_position = self._first_position()
        classifier.can = replace(classifier.can, pads=self._holds(self._pads))
        classifier.can = replace(classifier.can, hides=self._holds(self._hides))
        classifier.can = replace(classifier.can, point=self._point())
        classifier.can = replace(classifier.can, cut=self._cut())
        return replace(classifier.can, attention=self._attention())

    def _usual(self, ids: Tensor) -> Tensor:
        """What the model itself says."""
        model, classes, kind = self.classifier.model, self.classifier.classes, "sequence classifier"
        if self.classifier.next_token:
            classes, kind = int(model.get_output_embeddings().weight.shape[0]), "causal language model"
        try:
            logits = self.classifier.said(ids)
        except REFUSALS as error:
            raise UserError(f"{type(model).__name__} cannot be run: {describe(error)}") from error
        if not isinstance(logits, Tensor) or logits.shape != (1, classes):
            shape = "none" if logits is None else list(getattr(logits, "shape", []))
            raise UserError(f"{type(model).__name__} is no {kind}: its logits are {shape}, not [1, {classes}].")
        return logits

    def _check_head(self) -> None:
        """A head that is applied here, at the last token, must say what the model says."""
        classifier = self.classifier
        if classifier.head is not None and not self._same_as_usual():
            classifier.head = None

    def _check_causal(self) -> None:
        """What a language model says of a token must not change with what comes after it."""
        classifier = self.classifier
        if not classifier.next_token:
            return
        if not torch.isfinite(self.usual).all():
            raise UserError(f"{type(classifier.model).__name__} cannot be explained: its logits are not finite.")
        within = classifier.model(input_ids=self.one).logits[:, -2]
        if not self._near(within, self._usual(self.one[:, :-1])):
            raise UserError(
                f"{type(classifier.model).__name__} is no causal language model: what it says of a token changes with "
                "what comes after it."
            )

    def _same_as_usual(self) -> bool:
        try:
            difference = _distance(self.classifier.forward(self.one), self.usual)
        except REFUSALS:
            return False
        noise = NOISE.get(self.classifier.dtype, COARSE_NOISE)
        return difference <= 100 * noise * float(self.usual.abs().max())

    def _near(self, logits: Tensor, wanted: Tensor) -> bool:
        return bool(torch.isfinite(logits).all()) and _distance(logits, wanted) <= self.tolerance

    def _holds(self, check: Callable[[], bool]) -> bool:
        try:
            return check()
        except REFUSALS:
            return False

    def _first_position(self) -> int | None:
        """The number of the first place where a model would count only places that are not padding; else None."""
        classifier = self.classifier
        if classifier.architecture.positions_skip_padding is False or not takes(classifier.body, "position_ids"):
            return None
        classifier.first_position = self._counted_from()
        if classifier.first_position is not None and not self._same_as_usual():
            classifier.first_position = None
        return classifier.first_position

    def _counted_from(self) -> int | None:
        """Behind the padding id where places are counted from ids, 0 where from the attention mask."""
        pad = self.classifier.model.config.pad_token_id
        if pad is not None and (self.classifier.architecture.positions_skip_padding or self._skips(int(pad))):
            return int(pad) + 1
        return 0 if self._moves(self.one, self._seen_but(2)) else None

    def _skips(self, pad: int) -> bool:
        """Whether a padding token within a text moves the places of what comes after it."""
        holed = self.one.clone()
        holed[:, 2] = pad
        return self._moves(holed, None)

    def _moves(self, ids: Tensor, visible: Tensor | None) -> bool:
        """Whether what the first layer reads from the fourth token on is no longer that of the row as it is."""
        classifier, layer = self.classifier, _layer(self.classifier)
        if layer is None:
            return False
        point, body = LayerInput(classifier.model, layer, classifier.architecture.tokens_first), classifier.body
        mask = None if visible is None else visible.long()
        try:
            whole = read_at(point, lambda: body(input_ids=self.one))
            moved = read_at(point, lambda: body(input_ids=ids, attention_mask=mask))
        except (*REFUSALS, UserError):
            return False
        return _distance(whole[:, 3:], moved[:, 3:]) > 1e-3 * float(whole.abs().max())

    def _seen_but(self, place: int) -> Bool[Tensor, "1 tokens"]:
        visible = torch.ones_like(self.one, dtype=torch.bool)
        visible[:, place] = False
        return visible

    def _padded(self) -> Tensor:
        """The first row, without its last two tokens of content, beside the whole second."""
        return self.classifier.forward(*self._batch())

    def _batch(self) -> tuple[Tensor, None, Bool[Tensor, "rows tokens"]]:
        short = self._short()
        ids = torch.full_like(self.other, self.classifier.pad_id).repeat(2, 1)
        ids[0, : short.shape[1]], ids[1] = short[0], self.other[0]
        visible = torch.ones_like(ids, dtype=torch.bool)
        visible[0, short.shape[1] :] = False
        return ids, None, visible

    def _short(self) -> Tensor:
        middle = self.one.shape[1] // 2
        return torch.cat([self.one[:, : middle - 1], self.one[:, middle + 1 :]], dim=1)

    def _pads(self) -> bool:
        alone = self.classifier.forward(self._short())
        together = self._padded()
        return self._near(together[:1], alone) and self._near(together[1:], self.elsewhere)

    def _hides(self) -> bool:
        """Whatever stands at a hidden place, also the last, the logits are the same."""
        for place in (self.one.shape[1] // 2, self.one.shape[1] - 1):
            visible, changed = self._seen_but(place), self.one.clone()
            changed[:, place] = self.other[:, place] if place < self.one.shape[1] - 1 else self.other[:, 2]
            logits = self.classifier.forward(self.one, None, visible)
            if not self._near(self.classifier.forward(changed, None, visible), logits):
                return False
        return True

    def _point(self) -> Point | None:
        """The first place where the embeddings of another row make the logits of that row."""
        for point in _points(self.classifier):
            self.classifier.can = replace(self.classifier.can, point=point)
            if self._holds(self._substitutes):
                return point
        return None

    def _substitutes(self) -> bool:
        classifier = self.classifier
        embeddings = classifier.embedded(self.other)
        with classifier.reading(embeddings):
            logits = classifier.forward(self.one)
        width = embeddings.ndim == 3 and embeddings.shape[:2] == self.one.shape
        return width and self._near(logits, self.elsewhere)

    def _cut(self) -> nn.Module | None:
        """The first candidate with which nothing changes, of a batch nor of a row of another length alone."""
        short = (self._short(), None, None)
        rows = (self._batch() if self.classifier.can.pads else (self.other, None, None), short)
        before = [self.classifier.forward(*one) for one in rows]
        for module in _cuts(self.classifier):
            self.classifier.can = replace(self.classifier.can, cut=module)
            if self._holds(lambda: all(map(self._near, [self.classifier.forward(*one) for one in rows], before))):
                return module
        return None

    def _attention(self) -> Literal["caught", "told", ""]:
        classifier, row = self.classifier, Row(self.one[0].cpu().numpy(), None)
        ways: tuple[Literal["caught", "told"], ...] = ("caught", "told")
        for way in ways:
            classifier.can = replace(classifier.can, attention=way)
            if self._holds(lambda: self._is_attention(classifier.attention_layers([row]))):
                return way
        return ""

    def _is_attention(self, layers: Float[Tensor, "1 layers heads tokens tokens"]) -> bool:
        tokens = self.one.shape[1]
        sums = layers.float().sum(-1)
        count = getattr(self.classifier.model.config.get_text_config(), "num_hidden_layers", layers.shape[1])
        shape = layers.ndim == 5 and layers.shape[1] == count and layers.shape[-2:] == (tokens, tokens)
        return shape and bool((sums - 1).abs().max() < (1e-4 if self.classifier.dtype.itemsize >= 4 else 2e-2))


def two_rows(classifier: HuggingFaceClassifier) -> tuple[Int[np.ndarray, "1 tokens"], Int[np.ndarray, "1 tokens"]]:
    """Two rows of different content tokens within the tokenizer's special ones."""
    tokenizer = classifier.tokenizer
    special = set(tokenizer.all_special_ids)
    rows = classifier.model.get_input_embeddings().weight.shape[0]
    usable = [
        number for number in sorted(set(tokenizer.get_vocab().values())) if number < rows and number not in special
    ]
    chosen = np.array(usable)[np.linspace(0, len(usable) - 1, 2 * CONTENT).astype(np.int64)]
    frame = tokenizer("a", return_special_tokens_mask=True).encodings[0]
    marks = np.flatnonzero(~np.array(frame.special_tokens_mask, dtype=bool))
    first, last = (int(marks[0]), int(marks[-1]) + 1) if len(marks) else (len(frame.ids), len(frame.ids))
    before, after = np.array(frame.ids[:first], np.int64), np.array(frame.ids[last:], np.int64)
    one, other = (np.concatenate([before, content, after])[None] for content in (chosen[::2], chosen[1::2]))
    return one, other


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).abs().max())


def _layer(classifier: HuggingFaceClassifier) -> nn.Module | None:
    name = classifier.architecture.layers
    return next(iter(classifier.model.get_submodule(name).children()), None) if name else None


def _points(classifier: HuggingFaceClassifier) -> Iterator[Point]:
    model, layer = classifier.model, _layer(classifier)
    if layer is not None:
        yield LayerInput(model, layer, classifier.architecture.tokens_first)
    yield ModuleOutput(model.get_input_embeddings())
    if takes(classifier.body, "inputs_embeds"):
        yield EmbeddingArgument(model)


def _cuts(classifier: HuggingFaceClassifier) -> Sequence[nn.Module]:
    architecture = classifier.architecture
    names = (architecture.mixed,) if isinstance(architecture.mixed, str) else architecture.mixed
    if not architecture.layers or architecture.tokens_first:
        return []
    last = list(classifier.model.get_submodule(architecture.layers))[-1]
    inside = dict(last.named_modules())
    return [inside[name] for name in names if name and name in inside]
