"""The adapter: a Hugging Face sequence classifier as the engine sees it."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pkgutil import resolve_name

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.architectures.finding import architecture_of
from faithbench.errors import QuestionError, UserError
from faithbench.models.frozen import CapturedAttention
from faithbench.models.reading import read_text
from faithbench.questions import HIDDEN, Gradient, Point, Row
from faithbench.tasks import CLASSIFICATION, Task
from faithbench.types import Example, Text

CPU_TOKENS, GPU_TOKENS = 1024, 65536
CPU_GRADIENT_COST, GPU_GRADIENT_COST = 4, 16  # on a GPU so high that 512 tokens of a base model stay under 8 GB


class HuggingFaceClassifier:
    """A classifier and its tokenizer on one device.

    The model becomes the adapter's own: it is moved, put into eval mode, and its weights take no gradients any more.

    Args:
        model: of an installed architecture (`faithbench list architecture`); put on `device` and into eval mode.
        tokenizer: a fast tokenizer with a mask token.
        device: where to run.
        dtype: of weights and activations.
        task: what its head says.
    """

    reads_embeddings = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        task: Task = CLASSIFICATION,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token; faithbench replaces tokens by it.")
        self.model = model.to(device=torch.device(device), dtype=dtype).eval().requires_grad_(False)
        self.tokenizer, self.task = tokenizer, task
        self.device = torch.device(device)
        self.architecture = architecture_of(model)
        self.embeddings = model.get_submodule(self.architecture.embeddings)
        self.mixed = model.get_submodule(self.architecture.layers)[-1].get_submodule(self.architecture.mixed)
        self.classes = int(model.config.num_labels)
        self.class_names = _class_names(model)
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
            read=0 if self.task.read == "first" else len(read.ids) - 1,
            link=self.task.link,
        )

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, of all outputs or those that the rows name; `HIDDEN` are tokens that nothing attends to."""
        embeddings = [row.embeddings for row in rows if row.embeddings is not None]
        given = self.reading(self._stacked(embeddings)) if embeddings else nullcontext()
        with torch.inference_mode(), _memory_errors(), self._only_position_read(), given:
            return _numpy(self._forward(rows))

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """What the embedding module gives, after its LayerNorm."""
        with torch.inference_mode(), _memory_errors():
            embedded = _numpy(self.embedded(self._padded([row.ids for row in rows]), **self._types(rows)))
        return [e[: len(row.ids)] for e, row in zip(embedded, rows, strict=True)]

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """Gradients at the output of the embedding module, under the rules of a mode."""
        mode: Callable[[], AbstractContextManager[object]] = resolve_name(rules) if rules else nullcontext
        if rules:
            getattr(mode, "check", lambda model: None)(self.model)
        rows = [point.row for point in points]
        with torch.enable_grad(), _memory_errors():
            leaf = self._embeddings_at(points).requires_grad_()
            with self.reading(leaf), self._only_position_read(), mode():
                logits = self._forward(rows)
            chosen = (logits * _signs(points, logits.shape[-1]).to(logits)).sum(-1)
            (gradient,) = torch.autograd.grad(chosen.sum(), leaf)
            parts = _numpy(leaf), _numpy(gradient), _numpy(chosen)
        found = zip(rows, *parts, strict=True)
        return [Gradient(e[: len(row.ids)], g[: len(row.ids)], float(z)) for row, e, g, z in found]

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities of every layer and head."""
        with torch.inference_mode(), _memory_errors():
            with self._only_position_read(), CapturedAttention() as captured:
                self._forward(rows)
            if not captured.layers:
                raise QuestionError(f"{type(self.model).__name__} shows no attention; load it with attention `sdpa`")
            layers = _numpy(torch.stack(captured.layers, dim=1))
        return [layer[..., : len(row.ids), : len(row.ids)] for row, layer in zip(rows, layers, strict=True)]

    def fingerprint(self) -> str:
        """A hash of weights, precision and conversion settings."""
        digest = hashlib.sha256(repr(getattr(self.model.config, "bcos", None)).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def embedded(
        self, ids: Int[Tensor, "rows tokens"], token_type_ids: Int[Tensor, "rows tokens"] | None = None
    ) -> Float[Tensor, "rows tokens d"]:
        """The embedding module's output, in which each token keeps its own position, whatever its id."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out: Tensor = self.embeddings(input_ids=ids, **types, **self._positions(ids))
        return out

    @contextmanager
    def reading(self, embeddings: Float[Tensor, "rows tokens d"]) -> Iterator[None]:
        """Within it, the model reads these embeddings, whatever ids it is given."""
        handle = self.embeddings.register_forward_hook(lambda module, args, output: embeddings)
        try:
            yield
        finally:
            handle.remove()

    def _embeddings_at(self, points: Sequence[Point]) -> Float[Tensor, "points tokens d"]:
        """Embeddings at the points: fill + interpolation · (text − fill)."""
        rows = [point.row for point in points]
        ids, types = self._padded([row.ids for row in rows]), self._types(rows)
        with torch.no_grad():
            own = self.embedded(ids, **types)
            if all(point.interpolation is None for point in points):
                return own.detach()
            fills = torch.tensor([point.fill for point in points], device=self.device)
            base = self.embedded(fills[:, None].expand_as(ids).contiguous(), **types)
            weights = torch.ones(ids.shape, dtype=own.dtype)
            for row, point in zip(weights, points, strict=True):
                if point.interpolation is not None:
                    row[: len(point.interpolation)] = torch.from_numpy(point.interpolation)
            return base + weights.to(self.device)[..., None] * (own - base)

    def _padded(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Int[Tensor, "rows longest"]:
        ids = _rectangle(rows)
        ids[ids == HIDDEN] = self.tokenizer.pad_token_id or 0
        return torch.from_numpy(ids).to(self.device)

    def _stacked(self, embeddings: Sequence[Float[np.ndarray, "_ d"]]) -> Float[Tensor, "rows longest d"]:
        out = torch.zeros(len(embeddings), max(map(len, embeddings)), embeddings[0].shape[1], dtype=self.model.dtype)
        for row, own in zip(out, embeddings, strict=True):
            row[: len(own)] = torch.from_numpy(own)
        return out.to(self.device)

    def _positions(self, ids: Int[Tensor, "rows tokens"]) -> dict[str, Tensor]:
        """Where transformers would take positions from the ids, in which padding has none: explicit ones."""
        if not self.architecture.positions_skip_padding:
            return {}
        first = self.model.config.pad_token_id + 1
        return {"position_ids": torch.arange(first, first + ids.shape[1], device=self.device).expand_as(ids)}

    def _types(self, rows: Sequence[Row]) -> dict[str, Int[Tensor, "rows longest"]]:
        """Token types, where rows have some; the model's default where none has."""
        if all(row.types is None for row in rows):
            return {}
        types = np.zeros((len(rows), max(len(row.ids) for row in rows)), dtype=np.int64)
        for own, row in zip(types, rows, strict=True):
            if row.types is not None:
                own[: len(row.ids)] = row.types
        return {"token_type_ids": torch.from_numpy(types).to(self.device)}

    def _forward(self, rows: Sequence[Row]) -> Float[Tensor, "rows outputs"]:
        ids = [row.ids for row in rows]
        padded, there = self._padded(ids), _rectangle(ids) != HIDDEN
        logits: Tensor = self.model(
            input_ids=padded,
            attention_mask=None if there.all() else torch.from_numpy(there).to(self.device, torch.long),
            **self._types(rows),
            **self._positions(padded),
        ).logits
        return _named(logits, rows)

    @contextmanager
    def _only_position_read(self) -> Iterator[None]:
        """In the last layer, computes only the position that the head reads once attention has mixed the tokens."""

        def cut(module: object, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(state[:, :1] for state in states)

        handle = self.mixed.register_forward_pre_hook(cut) if self.task.read == "first" else None
        try:
            yield
        finally:
            if handle is not None:
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


def _named(logits: Float[Tensor, "rows classes"], rows: Sequence[Row]) -> Float[Tensor, "rows outputs"]:
    """Of each row the outputs that it names, if the rows name any: what leaves the device is no more."""
    if rows[0].outputs is None:
        return logits
    return logits.gather(1, torch.tensor([row.outputs for row in rows], device=logits.device))


def _signs(points: Sequence[Point], outputs: int) -> Float[Tensor, "points outputs"]:
    """1 at the target, −1 at the output against."""
    signs = torch.zeros(len(points), outputs)
    for row, point in zip(signs, points, strict=True):
        row[point.target.output] += 1
        if point.target.against is not None:
            row[point.target.against] -= 1
    return signs


def _rectangle(rows: Sequence[Int[np.ndarray, "_"]]) -> Int[np.ndarray, "rows longest"]:
    """Rows of ids below each other; what is not there is hidden."""
    ids = np.full((len(rows), max(map(len, rows))), HIDDEN)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return ids


def _numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()


def _class_names(model: PreTrainedModel) -> tuple[str, ...]:
    """The names in its configuration, unless they are those that transformers makes up."""
    names = tuple(str(name) for _, name in sorted(model.config.id2label.items()))
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    positions = int(model.config.max_position_embeddings)
    if architecture_of(model).positions_skip_padding:  # they begin after the padding index
        positions -= model.config.pad_token_id + 1
    return min(positions, tokenizer.model_max_length)
