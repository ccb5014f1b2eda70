"""The adapter: a Hugging Face sequence classifier as the engine sees it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.errors import QuestionError, UserError
from faithbench.models.architectures import GATED, activation_of, architecture_of
from faithbench.models.frozen import CapturedAttention, FrozenWeights
from faithbench.questions import Gradient
from faithbench.types import Example, Span, Text

CPU_TOKENS, GPU_TOKENS = 1024, 65536


class HuggingFaceClassifier:
    """A classifier and its tokenizer on one device.

    The model becomes the adapter's own: it is moved, put into eval mode, and its weights take no gradients any more.

    Args:
        model: of an architecture that `faithbench.models.architectures` knows; put on `device` and into eval mode.
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
        architecture = architecture_of(model)
        self.embeddings = model.get_submodule(architecture.embeddings)
        self.mixed = model.get_submodule(architecture.layers)[-1].get_submodule(architecture.mixed)
        self.classes = int(model.config.num_labels)
        self.max_length = _max_length(model, tokenizer)
        self.batch_tokens = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS

    def encode(self, example: Example) -> Text:
        """The text as tokens, cut to the model's limit.

        Raises:
            UserError: nothing but special tokens is left.
        """
        encoding = self.tokenizer(
            example.text,
            truncation=True,
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_overflowing_tokens=True,
        )
        first = encoding.encodings[0]
        special = np.array(first.special_tokens_mask, dtype=bool)
        if special.all():
            raise UserError(f"text {example.id!r} is empty: it has no token to explain.")
        offsets = np.array(first.offsets)
        return Text(
            id=example.id,
            ids=np.array(first.ids, dtype=np.int64),
            special=special,
            words=np.array([-1 if word is None else word for word in first.word_ids]),
            tokens=tuple(first.tokens),
            mask_id=self.tokenizer.mask_token_id,
            label=example.label,
            evidence=_marked(offsets, special, example.evidence),
            rationale=_marked(offsets, special, example.rationale),
            truncated=len(encoding.encodings) > 1,
        )

    def logits(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Float[np.ndarray, "rows classes"]:
        """Logits of token id rows."""
        with torch.inference_mode(), _memory_errors(), self._first_position_only():
            return _numpy(self._forward(rows))

    def gradients(self, rows: Sequence[Int[np.ndarray, "_"]], targets: Sequence[int], frozen: bool) -> list[Gradient]:
        """Gradients of each row's target logit at the output of the embedding module."""
        if frozen:
            self._check_activation()
        with torch.enable_grad(), _memory_errors(), self._embeddings() as captured:
            with FrozenWeights() if frozen else nullcontext():
                logits = self._forward(rows)
            chosen = logits[torch.arange(len(rows)), torch.tensor(targets)]
            (gradient,) = torch.autograd.grad(chosen.sum(), captured[0])
            parts = _numpy(captured[0]), _numpy(gradient), _numpy(chosen)
        return [Gradient(e[: len(row)], g[: len(row)], float(z)) for row, e, g, z in zip(rows, *parts, strict=True)]

    def attentions(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities of every layer and head."""
        with torch.inference_mode(), _memory_errors():
            with CapturedAttention() as captured:
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

    def _check_activation(self) -> None:
        activation = activation_of(self.model)
        if activation not in GATED:
            raise QuestionError(f"activation {activation!r} has no gate that can be frozen; known: {', '.join(GATED)}")

    def _forward(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Float[Tensor, "rows classes"]:
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self.tokenizer.pad_token_id or 0)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(longest) < lengths[:, None] if (lengths < longest).any() else None
        logits: Tensor = self.model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=None if mask is None else torch.from_numpy(mask).to(self.device, torch.long),
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
    def _embeddings(self) -> Iterator[list[Tensor]]:
        """Collects the embedding module's output as a leaf that gradients can be taken at."""
        captured: list[Tensor] = []

        def detach(module: object, args: object, output: Tensor) -> Tensor:
            captured.append(output.detach().requires_grad_())
            return captured[-1]

        handle = self.embeddings.register_forward_hook(detach)
        try:
            yield captured
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


def _numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()


def _marked(
    offsets: Int[np.ndarray, "tokens 2"], special: Bool[np.ndarray, "tokens"], spans: tuple[Span, ...] | None
) -> Bool[np.ndarray, "tokens"] | None:
    """The tokens that overlap one of the character spans."""
    if spans is None:
        return None
    hit = np.zeros(len(offsets), dtype=bool)
    for start, end in spans:
        hit |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
    return hit & ~special


def _max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    positions = int(model.config.max_position_embeddings)
    if model.config.model_type == "roberta":  # its positions begin after the padding index
        positions -= model.config.pad_token_id + 1
    return min(positions, tokenizer.model_max_length)
