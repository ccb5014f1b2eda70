"""The adapter: a Hugging Face sequence classifier as the engine sees it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.architectures import architecture_of
from faithbench.errors import QuestionError, UserError
from faithbench.models.frozen import CapturedAttention
from faithbench.models.reading import read_text
from faithbench.questions import HIDDEN, Gradient, Point
from faithbench.types import Example, Text

CPU_TOKENS, GPU_TOKENS = 1024, 65536
CPU_GRADIENT_COST, GPU_GRADIENT_COST = 4, 16  # on a GPU so high that 512 tokens of a base model stay under 8 GB


class HuggingFaceClassifier:
    """A classifier and its tokenizer on one device.

    The model becomes the adapter's own: it is moved, put into eval mode, and its weights take no gradients any more.

    Args:
        model: of an architecture that `faithbench.architectures` knows; put on `device` and into eval mode.
        tokenizer: a fast tokenizer with a mask token.
        device: where to run.
        dtype: of weights and activations.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token; faithbench replaces tokens by it.")
        self.model = model.to(device=torch.device(device), dtype=dtype).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.device = torch.device(device)
        self.architecture = architecture_of(model)
        self.embeddings = model.get_submodule(self.architecture.embeddings)
        self.mixed = model.get_submodule(self.architecture.layers)[-1].get_submodule(self.architecture.mixed)
        self.classes = int(model.config.num_labels)
        self.max_length = _max_length(model, tokenizer)
        cpu = self.device.type == "cpu"
        self.batch_tokens = CPU_TOKENS if cpu else GPU_TOKENS
        self.gradient_cost = CPU_GRADIENT_COST if cpu else GPU_GRADIENT_COST

    def encode(self, example: Example) -> Text:
        """The text as tokens, cut to the model's limit.

        Raises:
            UserError: nothing but special tokens is left.
        """
        read = read_text(self.tokenizer, example, self.max_length)
        if read.special.all():
            raise UserError(f"text {example.id!r} is empty: it has no token to explain.")
        return Text(
            id=example.id,
            ids=read.ids,
            special=read.special,
            words=read.words,
            tokens=read.tokens,
            mask_id=self.tokenizer.mask_token_id,
            label=example.label,
            evidence=read.marked(example.evidence),
            rationale=read.marked(example.rationale),
            rationale_majority=read.marked(example.rationale_majority),
            segments=read.segments if example.segments else None,
            segment_classes=tuple(label for _, _, label in example.segments or ()),
            truncated=read.truncated,
            source=example.text,
            pad_id=self.tokenizer.pad_token_id or 0,
        )

    def logits(
        self, rows: Sequence[Int[np.ndarray, "_"]], places: Sequence[Float[np.ndarray, "_ d"]] | None = None
    ) -> Float[np.ndarray, "rows classes"]:
        """Logits of token id rows, `HIDDEN` for tokens that nothing attends to; or of embeddings in their places."""
        given = nullcontext() if places is None else self.reading(self._stacked(places))
        with torch.inference_mode(), _memory_errors(), self._first_position_only(), given:
            return _numpy(self._forward(rows))

    def embed(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "_ d"]]:
        """What the embedding module gives, after its LayerNorm."""
        with torch.inference_mode(), _memory_errors():
            embedded = _numpy(self.embedded(self._padded(rows)))
        return [e[: len(row)] for e, row in zip(embedded, rows, strict=True)]

    def gradients(self, points: Sequence[Point], under: str) -> list[Gradient]:
        """Gradients at the output of the embedding module, under the rules of a mode."""
        mode: Any = resolve_name(under) if under else nullcontext
        if under:
            getattr(mode, "check", lambda model: None)(self.model)
        rows = [point.ids for point in points]
        with torch.enable_grad(), _memory_errors():
            leaf = self._place(points).requires_grad_()
            with self.reading(leaf), self._first_position_only(), mode():
                logits = self._forward(rows)
            chosen = (logits * self._signs(points).to(logits)).sum(-1)
            (gradient,) = torch.autograd.grad(chosen.sum(), leaf)
            parts = _numpy(leaf), _numpy(gradient), _numpy(chosen)
        return [Gradient(e[: len(row)], g[: len(row)], float(z)) for row, e, g, z in zip(rows, *parts, strict=True)]

    def attentions(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities of every layer and head."""
        with torch.inference_mode(), _memory_errors():
            with self._first_position_only(), CapturedAttention() as captured:
                self._forward(rows)
            if not captured.layers:
                raise QuestionError(f"{type(self.model).__name__} shows no attention; load it with attention `sdpa`")
            layers = _numpy(torch.stack(captured.layers, dim=1))
        return [layer[..., : len(row), : len(row)] for row, layer in zip(rows, layers, strict=True)]

    def fingerprint(self) -> str:
        """A hash of weights, precision and conversion settings."""
        digest = hashlib.sha256(repr(getattr(self.model.config, "bcos", None)).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def embedded(self, ids: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens d"]:
        """The embedding module's output, in which each token keeps its own position, whatever its id."""
        out: Tensor = self.embeddings(input_ids=ids, **self._positions(ids))
        return out

    @contextmanager
    def reading(self, embeddings: Float[Tensor, "rows tokens d"]) -> Iterator[None]:
        """Within it, the model reads these embeddings, whatever ids it is given."""
        handle = self.embeddings.register_forward_hook(lambda module, args, output: embeddings)
        try:
            yield
        finally:
            handle.remove()

    def _place(self, points: Sequence[Point]) -> Float[Tensor, "points tokens d"]:
        """Where the points are: fill + share · (text − fill)."""
        ids = self._padded([point.ids for point in points])
        with torch.no_grad():
            own = self.embedded(ids)
            if all(point.share is None for point in points):
                return own.detach()
            fills = torch.tensor([point.fill for point in points], device=self.device)
            base = self.embedded(fills[:, None].expand_as(ids).contiguous())
            share = torch.ones(ids.shape, dtype=own.dtype)
            for row, point in zip(share, points, strict=True):
                if point.share is not None:
                    row[: len(point.share)] = torch.from_numpy(point.share)
            return base + share.to(self.device)[..., None] * (own - base)

    def _signs(self, points: Sequence[Point]) -> Float[Tensor, "points classes"]:
        """1 at the target, −1 at the class against."""
        signs = torch.zeros(len(points), self.classes)
        for row, point in zip(signs, points, strict=True):
            row[point.target] += 1
            if point.against is not None:
                row[point.against] -= 1
        return signs

    def _padded(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Int[Tensor, "rows longest"]:
        ids = _rectangle(rows)
        ids[ids == HIDDEN] = self.tokenizer.pad_token_id or 0
        return torch.from_numpy(ids).to(self.device)

    def _stacked(self, places: Sequence[Float[np.ndarray, "_ d"]]) -> Float[Tensor, "rows longest d"]:
        out = torch.zeros(len(places), max(map(len, places)), places[0].shape[1], dtype=self.model.dtype)
        for row, place in zip(out, places, strict=True):
            row[: len(place)] = torch.from_numpy(place)
        return out.to(self.device)

    def _positions(self, ids: Int[Tensor, "rows tokens"]) -> dict[str, Tensor]:
        """Where transformers would take positions from the ids, in which padding has none: explicit ones."""
        if not self.architecture.positions_skip_padding:
            return {}
        first = self.model.config.pad_token_id + 1
        return {"position_ids": torch.arange(first, first + ids.shape[1], device=self.device).expand_as(ids)}

    def _forward(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Float[Tensor, "rows classes"]:
        ids = self._padded(rows)
        there = _rectangle(rows) != HIDDEN
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=None if there.all() else torch.from_numpy(there).to(self.device, torch.long),
            **self._positions(ids),
        ).logits
        return logits

    @contextmanager
    def _first_position_only(self) -> Iterator[None]:
        """In the last layer, computes only the position that the head reads once attention has mixed the tokens."""

        def cut(module: object, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(state[:, :1] for state in states)

        handle = self.mixed.register_forward_pre_hook(cut)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Torch's ways to say that memory is full, as Python's."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if "not enough memory" in str(error):
            raise MemoryError(str(error)) from error
        raise


def _rectangle(rows: Sequence[Int[np.ndarray, "_"]]) -> Int[np.ndarray, "rows longest"]:
    """Rows of ids below each other; what is not there is hidden."""
    ids = np.full((len(rows), max(map(len, rows))), HIDDEN)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return ids


def _numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()


def _max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    positions = int(model.config.max_position_embeddings)
    if architecture_of(model).positions_skip_padding:  # they begin after the padding index
        positions -= model.config.pad_token_id + 1
    return min(positions, tokenizer.model_max_length)
