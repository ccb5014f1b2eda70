"""The adapter of causal language models: which of two tokens comes next is a question of two classes.

With candidates t and f and d = z_t − z_f, logits are [d/2, −d/2]: their softmax is the probability of t among the two,
σ(d), and every explanation of the first class is contrastive (Yin & Neubig 2022, arXiv 2202.10419). The head is applied
to the candidates alone, at the last token alone, so that a large vocabulary costs nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.architectures.factors import activated
from faithbench.models.batches import lengths_of, memory_errors, onto_device, to_numpy
from faithbench.models.candidates import read_beginning, read_question
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.places import place_part
from faithbench.models.probes import REFUSALS, two_rows
from faithbench.questions import FROZEN, Gradient, Point, Row
from faithbench.tasks import NextToken, Task
from faithbench.types import Example, Text

NAMES = ("good", "bad")
NEAR = 1e-4  # share of the largest logit by which two ways to compute it may differ
WHOLE = 2**23  # logits of whole vocabularies that are held at a time


class CandidateHead(nn.Module):
    """The output layer at some tokens of the vocabulary alone.

    Args:
        linear: states to logits.
        scale: what the model multiplies logits by.
        softcap: c of c·tanh(z/c), that the model makes of a logit z; 0 for none.
    """

    def __init__(self, linear: nn.Linear, scale: float = 1.0, softcap: float = 0.0) -> None:
        super().__init__()
        self.linear, self.scale, self.softcap = linear, scale, softcap

    def forward(
        self, states: Float[Tensor, "rows d"], candidates: Int[Tensor, "rows candidates"] | None = None
    ) -> Float[Tensor, "rows logits"]:
        """Logits of the candidates of each row; of the whole vocabulary where there are none."""
        if candidates is None:
            return self.after(self.linear(states))
        weight, bias = self.linear.weight[candidates], self.linear.bias
        kind = torch.promote_types(weight.dtype, torch.float32)  # or a difference of 16-bit logits would be coarse
        logits = (weight.to(kind) * states[:, None].to(kind)).sum(-1)
        return self.after(logits if bias is None else logits + bias[candidates])

    def after(self, logits: Tensor) -> Tensor:
        """What the model makes of each logit."""
        scaled = logits if self.scale == 1 else self.scale * logits
        return self.softcap * activated(scaled / self.softcap, torch.tanh) if self.softcap else scaled


class HuggingFaceLanguageModel(HuggingFaceClassifier):
    """A causal language model and its tokenizer on one device, asked which of two tokens comes next.

    The model becomes the adapter's own, as with classifiers.

    Args:
        model: any `AutoModelForCausalLM`.
        tokenizer: a fast tokenizer of the same vocabulary.
        device: where to run.
        dtype: as of classifiers.
        fill: likewise.
        contrast: logits are [d/2, −d/2] with d = z_t − z_f; False: [z_t, z_f], so that what explains the first output
            explains its logit alone.

    Raises:
        UserError: as of classifiers, or the model is no causal language model.
    """

    next_token: ClassVar[bool] = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        device: str = "cpu",
        dtype: torch.dtype | str | None = None,
        fill: str | None = None,
        contrast: bool = True,
    ) -> None:
        self.contrast = contrast
        super().__init__(model, tokenizer, device, dtype, fill=fill)

    def remade(self, model: PreTrainedModel) -> "HuggingFaceLanguageModel":
        """As of classifiers."""
        fill = self.blank.token if self.blank.asked else None
        device, contrast = str(self.device), self.contrast
        return HuggingFaceLanguageModel(model, self.tokenizer, device, self.precision, fill, contrast)

    def encode(self, example: Example) -> Text:
        """The question as tokens: the prefix, and the first tokens in which the continuations differ.

        Raises:
            UserError: it is none, or cannot be asked of this model; the sentence says why.
        """
        read, candidates = read_question(self.tokenizer, example, self.max_length)
        return self._text(example, read, candidates)

    def begin(self, example: Example) -> Text:
        """The beginning of a text that the model is to go on with, as tokens; it has no candidates.

        Raises:
            UserError: it is empty or too long.
        """
        return self._text(example, read_beginning(self.tokenizer, example, self.max_length))

    def forward(
        self,
        ids: Int[Tensor, "rows tokens"],
        types: Int[Tensor, "rows tokens"] | None = None,
        visible: Bool[Tensor, "rows tokens"] | None = None,
        whole: bool = False,
        candidates: Int[Tensor, "rows candidates"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """Logits of the next token: of two candidates as a choice, of the whole vocabulary where there are none."""
        inputs, cut = self._inputs(ids, types, visible), None if whole else self.can.cut
        if self.head is None:
            logits = self.model(**inputs).logits[self._places_read(ids, visible)]
            logits = logits if candidates is None else logits.gather(1, candidates)
        else:
            logits = self.head(self._state_read(inputs, visible, cut), candidates)
        return logits if candidates is None or not self.contrast else halves(logits)

    def said(self, ids: Int[Tensor, "1 tokens"]) -> object:
        """What the model itself says comes next, for every token of its vocabulary."""
        logits = super().said(ids)
        return logits[:, -1] if isinstance(logits, Tensor) and logits.ndim == 3 else logits

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """As of classifiers; under frozen weights with the part of the embeddings that places add."""
        found = super().gradients(points, rules)
        if rules != FROZEN or not found:
            return found
        places = place_part(self, max(len(each.embeddings) for each in found), self._two_tokens)
        own = None if places is None else to_numpy(places.to(self.dtype))
        return [each if own is None else replace(each, places=own[: len(each.embeddings)]) for each in found]

    @cached_property
    def _two_tokens(self) -> tuple[int, int]:
        """Of content; the whole vocabulary is looked at to find some."""
        one, other = (int(ids[0, ids.shape[1] // 2]) for ids in two_rows(self))
        return one, other

    def chances(self, texts: Sequence[Text]) -> Float[np.ndarray, "texts candidates"]:
        """The probabilities of each text's candidates among all tokens of the vocabulary."""
        with torch.inference_mode(), memory_errors():
            parts = [to_numpy(self._chances(part)) for part in self._parts(texts)]
        return np.concatenate([np.zeros((0, len(NAMES))), *parts])

    def _chances(self, texts: Sequence[Text]) -> Float[Tensor, "texts candidates"]:
        ids, types, visible = self._batch([Row(text.ids, text.types) for text in texts])
        logits = self.forward(ids, types, visible).double()
        candidates = torch.tensor([text.candidates for text in texts], device=self.device)
        return logits.log_softmax(-1).gather(1, candidates).exp()

    def _parts(self, texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
        """Few enough at a time; each alone where rows of several lengths cannot share a batch."""
        size = max(1, WHOLE // self.model.get_output_embeddings().weight.shape[0]) if self.can.pads else 1
        return (texts[start : start + size] for start in range(0, len(texts), size))

    def _batch(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ids, types, and which places are visible; the last token of a row, which reads, is filled, never hidden."""
        ids, types, visible = super()._batch(rows)
        if visible is not None:
            own = torch.arange(len(ids), device=self.device)
            last = onto_device(np.array(lengths_of(rows)), self.device) - 1
            ids[own, last] = ids[own, last].where(visible[own, last], self.blank.id)
            visible[own, last] = True
        return ids, types, visible

    def _outputs(self) -> tuple[int, tuple[str, ...]]:
        return len(NAMES), NAMES

    def _task(self, problem_type: str | None) -> Task:
        return NextToken()

    def _way_of_reading(self) -> str:
        return "" if self.contrast else "contrast False"

    def _head(self) -> Callable[..., Tensor] | None:
        """The output layer, with what the model does to logits behind it, tried on a row; None if it does more.

        Its weights are taken apart, so that a subclass or hook that does more than they say is refused too.
        """
        linear, ids = self.model.get_output_embeddings(), torch.from_numpy(two_rows(self)[0]).to(self.device)
        if not isinstance(linear, nn.Linear):
            return None
        with torch.inference_mode():
            try:
                states, wanted = self.body(input_ids=ids).last_hidden_state[:, -1], self.said(ids)
                plain = nn.functional.linear(states, linear.weight, linear.bias)
            except REFUSALS:  # said when it is probed
                return None
        if not isinstance(wanted, Tensor) or wanted.shape != plain.shape:
            return None
        scale = float((wanted.double() * plain).sum() / plain.double().square().sum())
        softcap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None) or 0.0
        heads = (CandidateHead(linear), CandidateHead(linear, scale=scale), CandidateHead(linear, softcap=softcap))
        near = NEAR * float(wanted.abs().max())
        return next((head for head in heads if float((head.after(plain) - wanted).abs().max()) <= near), None)


def halves(logits: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows 2"]:
    """[d/2, −d/2] of two logits whose difference is d."""
    half = (logits[:, :1] - logits[:, 1:]) / 2
    return torch.cat([half, -half], dim=1)
