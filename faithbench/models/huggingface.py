"""The adapter: a Hugging Face sequence classifier as the engine sees it.

How a model is read is found out when it is loaded (`faithbench.models.probes`); what it cannot do is refused by name.
"""

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pkgutil import resolve_name
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.architectures.finding import architecture_of
from faithbench.architectures.forms import opened
from faithbench.architectures.inspection import takes, token_head
from faithbench.blocks import Rows
from faithbench.errors import QuestionError, UserError
from faithbench.models.batches import (
    alike,
    by_length,
    candidates_below,
    chosen_outputs,
    fetched,
    ids_below,
    ids_on,
    in_order,
    last_visible,
    lengths_of,
    memory_errors,
    only_read,
    onto,
    onto_device,
    rectangle,
    signs,
    to_numpy,
    types_below,
)
from faithbench.models.frozen import CapturedAttention
from faithbench.models.hashing import add_weight
from faithbench.models.heads import task_of
from faithbench.models.memory import gradient_cost
from faithbench.models.openings import must_open
from faithbench.models.points import read_at
from faithbench.models.precision import forward_rows, marked, name_of, weights_in
from faithbench.models.probes import Abilities, probed, two_rows
from faithbench.models.reading import Reading, read_text
from faithbench.models.steady import Steady
from faithbench.models.vocabulary import (
    USUAL_LENGTH,
    blank_token,
    check_tokenizer,
    longest,
    padding_id,
    positions_of,
)
from faithbench.questions import HIDDEN, Gradient, Point, Row
from faithbench.tasks import Task
from faithbench.types import Example, Text

CPU_TOKENS, GPU_TOKENS = 1024, 65536
CPU_GRADIENT_COST, GPU_GRADIENT_COST = 4, 16  # the latter of models that cannot be tried


class HuggingFaceClassifier:
    """A classifier and its tokenizer on one device.

    The model becomes the adapter's own: it is moved, put into eval mode, and its weights take no gradients any more.

    Args:
        model: any whose output has `logits` [rows, outputs]; put on `device` and into eval mode.
        tokenizer: a fast tokenizer of the same vocabulary.
        device: where to run.
        dtype: of weights and activations, torch's or a name of `faithbench.models.precision`; None for the model's own.
        task: what its head says; None to go by `problem_type`.
        problem_type: transformers' word for the task, where the model's configuration has none or a wrong one.
        fill: what stands in the place of tokens that are taken away: `mask`, `unk`, `pad`, `eos`, `bos` or a token;
            None for the mask token or, where there is none, the first of the others.

    Raises:
        UserError: model and tokenizer do not belong together, the model is no sequence classifier, or model or device
            have no such precision.
    """

    next_token: ClassVar[bool] = False  # whether it answers next-token questions
    temperature: float = 1.0  # by which logits are divided

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        device: str = "cpu",
        dtype: torch.dtype | str | None = None,
        task: Task | None = None,
        problem_type: str | None = None,
        fill: str | None = None,
    ) -> None:
        check_tokenizer(model, tokenizer)
        self.precision = name_of(dtype or model.dtype)
        self.dtype: torch.dtype = weights_in(self.precision)
        rounded = self.dtype == torch.float32 and model.dtype == torch.float64
        kind = None if dtype is None else self.dtype
        placed = model.to(torch.device(device)) if kind is None else model.to(device=torch.device(device), dtype=kind)
        self.model = placed.eval().requires_grad_(False)
        self.tokenizer, self.device = tokenizer, torch.device(device)
        for name in ("bos_token_id", "eos_token_id", "sep_token_id"):  # Funnel lacks what transformers asks for
            if not hasattr(model.config, name):
                setattr(model.config, name, None)
        self.architecture = architecture_of(model)
        self.classes, self.class_names = self._outputs()
        self.blank = blank_token(model, tokenizer, fill)
        self.pad_id = padding_id(model, tokenizer, self.blank)
        self.body = model.base_model
        self.head: Callable[..., Tensor] | None = self._head()
        self.takes_types = takes(self.body, "token_type_ids")
        self.typed = self.takes_types and "token_type_ids" in tokenizer.model_input_names
        self.uncached = {"use_cache": False} if self._decodes() and takes(self.body, "use_cache") else {}
        self.quantised = any("quantized" in type(module).__module__ for module in model.modules())
        self.end_id = model.config.eos_token_id if getattr(model.config, "is_encoder_decoder", False) else None
        self.first_position: int | None = None
        cpu = self.device.type == "cpu"
        self.batch_tokens = CPU_TOKENS if cpu else GPU_TOKENS
        self.in_flight = 2 if self.device.type == "cuda" else 1  # batches: one is packed while another is computed
        self.can = Abilities()
        self.can = probed(self)
        self._forward_rows = forward_rows(self.precision, model, self.device, self._probe_row)
        self._steady = Steady(model)
        self.tokens = int(model.get_input_embeddings().weight.shape[0])
        self._openings: dict[
            object, bool | str
        ] = {}  # of rules: whether the model must be opened for them, or why that is no use
        self.max_length, self.notes = longest(model, tokenizer, self.first_position or 0)
        if self.blank.note:
            self.notes = (*self.notes, self.blank.note)
        if rounded:
            self.notes = (*self.notes, "its weights are float64 and rounded to float32; dtype float64 keeps them")
        self.task = task or self._task(problem_type)
        usual = CPU_GRADIENT_COST if cpu else GPU_GRADIENT_COST
        self.gradient_cost = gradient_cost(self, usual) if self.device.type == "cuda" else usual

    def remade(self, model: PreTrainedModel) -> "HuggingFaceClassifier":
        """The adapter of another model, with the same tokenizer and in the same precision, read in the same way."""
        fill = self.blank.token if self.blank.asked else None
        made = HuggingFaceClassifier(model, self.tokenizer, str(self.device), self.precision, self.task, fill=fill)
        return made if self.temperature == 1 else made.at(self.temperature)

    def at(self, temperature: float) -> "HuggingFaceClassifier":
        """The same model, whose logits are divided by a temperature, and by its own besides."""
        made = copy.copy(self)
        made.temperature = self.temperature * temperature
        return made

    @property
    def reads_embeddings(self) -> bool:
        """Whether `logits` reads the embeddings of rows that have some."""
        return self.can.point is not None

    def encode(self, example: Example) -> Text:
        """The text as tokens, cut to the model's limit.

        Raises:
            UserError: nothing but special tokens is left.
        """
        return self._text(example, read_text(self.tokenizer, example, self.max_length))

    def _text(self, example: Example, read: Reading, candidates: tuple[int, ...] | None = None) -> Text:
        if read.special.all():
            raise UserError(f"text {example.id!r} is empty: it has no token to explain.")
        return Text(
            id=example.id,
            ids=read.ids,
            special=read.special,
            words=read.words,
            tokens=read.tokens,
            mask_id=self.blank.id,
            label=example.label,
            evidence=read.marked(example.evidence),
            rationale=read.marked(example.rationale),
            rationale_majority=read.marked(example.rationale_majority),
            segments=read.segments if example.segments else None,
            segment_classes=tuple(label for _, _, label in example.segments or ()),
            truncated=read.truncated,
            source=read.source,
            pad_id=self.pad_id,
            types=read.types if self.typed and read.types.any() else None,
            read=0 if self.task.read == "first" else len(read.ids) - 1,
            link=self.task.link,
            responsibility=read.weighed(example.responsibility),
            offsets=read.offsets,
            shapley=read.weighed(example.shapley),
            candidates=candidates,
        )

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, of all outputs or those that the rows name; `HIDDEN` are tokens that nothing attends to.

        In place of rows, bare token ids are read as the tokenizer reads a text or pair of these ids.
        """
        return self.submit(rows)()

    def submit(self, rows: Sequence[Row]) -> Callable[[], Float[np.ndarray, "rows outputs"]]:
        """`logits`, begun: what is returned waits for them. A GPU works meanwhile."""
        if isinstance(rows, Rows):
            embeddings = []
        else:
            rows = [row if isinstance(row, Row) else self._row(row) for row in rows]
            embeddings = [row.embeddings for row in rows if row.embeddings is not None]
        fewer = nullcontext() if embeddings else self._forward_rows()
        with torch.inference_mode(), memory_errors(), fewer:
            groups = self._groups(rows)
            if len(groups) == 1:
                return fetched(self._forward(rows, self._stacked(embeddings) if embeddings else None))
            answers = [
                to_numpy(self._forward([rows[n] for n in group], self._stacked([embeddings[n] for n in group])))
                if embeddings
                else to_numpy(self._forward([rows[n] for n in group], None))
                for group in groups
            ]
        logits: Float[np.ndarray, "rows outputs"] = np.concatenate(answers)[np.argsort(np.concatenate(groups))]
        return lambda: logits

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """What the first layer reads."""
        self._need_point()

        def answer(numbers: Sequence[int]) -> list[Float[np.ndarray, "_ d"]]:
            group = [rows[number] for number in numbers]
            states = to_numpy(self.embedded(self._padded([row.ids for row in group]), self._types(group)))
            return [state[: len(row.ids)] for state, row in zip(states, group, strict=True)]

        with torch.inference_mode(), memory_errors():
            return in_order(self._groups(rows), answer)

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """Gradients at what the first layer reads, under the rules of a mode."""
        self._need_point()
        if self.quantised:
            raise QuestionError(f"{type(self.model).__name__} has quantised weights, which let no gradient through")
        mode: Callable[[], AbstractContextManager[object]] = resolve_name(rules) if rules else nullcontext
        if rules:
            getattr(mode, "check", lambda model: None)(self.model)
        groups = self._groups([point.row for point in points])
        seen = self._seen(mode) if rules else nullcontext()
        with torch.inference_mode(False), torch.enable_grad(), memory_errors(), seen:
            return in_order(groups, lambda numbers: self._gradients([points[n] for n in numbers], mode))

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities of every layer and head."""
        if not self.can.attention:
            raise QuestionError(f"{type(self.model).__name__} shows no attention probabilities")

        def answer(numbers: Sequence[int]) -> list[Float[np.ndarray, "layers heads _ _"]]:
            group = [rows[number] for number in numbers]
            layers = to_numpy(self.attention_layers(group))
            sizes = [len(row.ids) for row in group]
            return [layer[..., :size, :size] for layer, size in zip(layers, sizes, strict=True)]

        with torch.inference_mode(), memory_errors():
            return in_order(self._groups(rows), answer)

    def unchanged(self) -> AbstractContextManager[None]:
        """Within it the model is to stay as it is: what is changed is put back, or ends the run."""
        return self._steady.unchanged()

    def fingerprint(self) -> str:
        """A hash of weights, precision, conversion settings, and of how the model is read if not in the usual way.

        Texts are usually cut to as many tokens as the model has positions for, or 512 where these have no end.
        """
        digest = hashlib.sha256(repr(getattr(self.model.config, "bcos", None)).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            add_weight(digest, name, tensor)
        if not self.blank.is_mask:
            digest.update(f"fill {self.blank.id}".encode())
        if mark := self._way_of_reading():
            digest.update(mark.encode())
        if self.max_length != (positions_of(self.model, self.first_position or 0) or USUAL_LENGTH):
            digest.update(f"length {self.max_length}".encode())
        if self.temperature != 1:
            digest.update(f"temperature {self.temperature!r}".encode())
        return marked(digest.hexdigest()[:16], self.precision)

    def _way_of_reading(self) -> str:
        """What its logits mean, where that is not what its configuration says; else ""."""
        told = task_of(self.classes, getattr(self.model.config, "problem_type", None), self.task.read)
        return "" if told.link == self.task.link else f"link {self.task.link}"

    def inputs_of(self, text: Text) -> tuple[Int[Tensor, "1 tokens"], Int[Tensor, "1 tokens"] | None]:
        """Token ids and, where there are some, token types of a text."""
        ids, types, _ = self._batch([Row(text.ids, text.types)])
        return ids, types

    def forward(
        self,
        ids: Int[Tensor, "rows tokens"],
        types: Int[Tensor, "rows tokens"] | None = None,
        visible: Bool[Tensor, "rows tokens"] | None = None,
        whole: bool = False,
        candidates: Int[Tensor, "rows candidates"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """Logits of ids below each other; of what is not visible nothing is read.

        Args:
            ids: as many in each row.
            types: token types.
            visible: which of them; None for all.
            whole: compute the last layer at all positions, not only at the one that the head reads.
            candidates: of the next token of each row; None of other models than language models.
        """
        inputs, cut = self._inputs(ids, types, visible), None if whole else self.can.cut
        if self.head is None:
            with only_read(cut, None):
                logits: Tensor = self.model(**inputs).logits
        else:
            logits = self.head(self._state_read(inputs, visible, cut))
        return logits if self.temperature == 1 else logits / self.temperature

    def said(self, ids: Int[Tensor, "1 tokens"]) -> object:
        """What the model itself says of a row: its logits, if all is well."""
        return getattr(self.model(input_ids=ids), "logits", None)

    def candidates_of(self, text: Text, rows: int = 1) -> Int[Tensor, "rows candidates"] | None:
        """The candidates of a text, once for each of so many rows; None where it has none."""
        if text.candidates is None:
            return None
        return torch.tensor([text.candidates], device=self.device).expand(rows, -1)

    def _decodes(self) -> bool:
        """Whether it is a decoder, which would keep what it has computed for the next token."""
        return self.next_token or self.head is not None

    def _task(self, problem_type: str | None) -> Task:
        """What the head says."""
        reads_last = self.head is not None or self.architecture.reads_last
        says = problem_type or getattr(self.model.config, "problem_type", None)
        return task_of(self.classes, says, "last" if reads_last else "first")

    def _outputs(self) -> tuple[int, tuple[str, ...]]:
        """How many outputs there are, and their names."""
        return int(self.model.config.num_labels), _class_names(self.model)

    def _head(self) -> Callable[..., Tensor] | None:
        """A head that can be applied at one position; None where the model has to do it."""
        return token_head(self.model)

    def _places_read(
        self, ids: Int[Tensor, "rows tokens"], visible: Bool[Tensor, "rows tokens"] | None
    ) -> tuple[Int[Tensor, "rows"], Int[Tensor, "rows"]]:
        """The numbers of the rows, and of the last visible position of each."""
        rows = torch.arange(len(ids), device=self.device)
        return rows, torch.full_like(rows, ids.shape[1] - 1) if visible is None else last_visible(visible)

    def _state_read(
        self, inputs: dict[str, Any], visible: Bool[Tensor, "rows tokens"] | None, cut: nn.Module | None
    ) -> Float[Tensor, "rows d"]:
        """What a head at the last visible position of each row reads."""
        rows, read = self._places_read(inputs["input_ids"], visible)
        with only_read(cut, read):
            states: Tensor = self.body(**inputs).last_hidden_state
        return states[:, 0] if states.shape[1] == 1 else states[rows, read]

    def states(self, ids: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens d"]:
        """What the head reads, before any pooling."""
        states: Tensor = self.body(**self._inputs(ids, None, None)).last_hidden_state
        return states

    def embedded(
        self, ids: Int[Tensor, "rows tokens"], types: Int[Tensor, "rows tokens"] | None = None
    ) -> Float[Tensor, "rows tokens d"]:
        """What the first layer reads, where each token keeps its own position, whatever its id."""
        states = read_at(self._need_point(), lambda: self.body(**self._inputs(ids, types, None)))
        return states[:, : ids.shape[1]]

    def reading(self, embeddings: Float[Tensor, "rows tokens d"]) -> AbstractContextManager[None]:
        """Within it, the first layer reads these embeddings, whatever ids the model is given."""
        return self.changing(lambda states: onto(states, embeddings))

    def changing(self, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Within it, the first layer reads what the function makes of the embeddings."""
        return self._need_point().changing(change)

    def attention_layers(self, rows: Sequence[Row]) -> Float[Tensor, "rows layers heads tokens tokens"]:
        """Attention probabilities, caught on their way or told by the model; for rows that can share a batch."""
        if self.can.attention == "told":
            ids, types, visible = self._batch(rows)
            inputs = self._inputs(ids, types, visible)
            return torch.stack(self.body(**inputs, output_attentions=True).attentions, dim=1)
        with CapturedAttention() as captured:
            self._forward(rows, None)
        return torch.stack(captured.layers, dim=1)

    def _need_point(self) -> Any:
        if self.can.point is None:
            raise QuestionError(
                f"{type(self.model).__name__} has no place where embeddings can be read and replaced, "
                "so that there are no gradients at them"
            )
        return self.can.point

    def _seen(self, mode: Any) -> AbstractContextManager[None]:
        """Within it, rules see all parts of the model; tried once, where there are gradients.

        Raises:
            QuestionError: the rules would leave out a part of it.
        """
        frozen: type[AbstractContextManager[object]] | None = getattr(mode, "freezes", None)
        if frozen is None:
            return nullcontext()
        if mode not in self._openings:
            try:
                self._openings[mode] = must_open(self, mode)
            except QuestionError as refusal:
                self._openings[mode] = str(refusal)
        found = self._openings[mode]
        if isinstance(found, str):
            raise QuestionError(found)
        return opened(self.model) if found else nullcontext()

    def _probe_row(self) -> Float[Tensor, "1 outputs"]:
        """Logits of a row, to try a precision."""
        return self.forward(torch.from_numpy(two_rows(self)[0]).to(self.device))

    def _row(self, ids: Int[np.ndarray, "_"]) -> Row:
        """Bare ids with the types that a pair of them has: 1 from the second text on."""
        ids = np.asarray(ids)
        ends = np.flatnonzero(ids == self.tokenizer.sep_token_id)
        if not self.typed or len(ends) < 2:
            return Row(ids, None)
        return Row(ids, (np.arange(len(ids)) > ends[0]).astype(np.int64))

    def _groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """The numbers of rows that can share a batch."""
        if self.end_id is not None:
            return alike([self._ends(row.ids) for row in rows])
        return [list(range(len(rows)))] if self.can.pads else by_length(rows)

    def _ends(self, ids: Int[np.ndarray, "_"]) -> int:
        """How many ends of texts a row has; an encoder-decoder reads the last, of rows that have as many."""
        count = int((ids == self.end_id).sum())
        if not count:
            raise QuestionError(f"{type(self.model).__name__} reads the end of a text, and a row has none")
        return count

    def _gradients(self, points: Sequence[Point], mode: Callable[[], AbstractContextManager[object]]) -> list[Gradient]:
        rows = [point.row for point in points]
        leaf = self._embeddings_at(points).requires_grad_()
        with self.reading(leaf), mode():
            logits = self._forward(rows, None)
        chosen = (logits * signs(points, logits.shape[-1]).to(logits)).sum(-1)
        gradient = torch.autograd.grad(chosen.sum(), leaf, allow_unused=True)[0] if chosen.requires_grad else None
        if gradient is None:
            raise QuestionError(f"{type(self.model).__name__} lets no gradient through to its embeddings")
        parts = to_numpy(leaf), to_numpy(gradient), to_numpy(chosen)
        answers = zip(rows, *parts, strict=True)
        return [Gradient(e[: len(row.ids)], g[: len(row.ids)], float(z)) for row, e, g, z in answers]

    def _embeddings_at(self, points: Sequence[Point]) -> Float[Tensor, "points tokens d"]:
        """Embeddings at the points: fill + interpolation · (text − fill)."""
        rows = [point.row for point in points]
        ids, types = self._padded([row.ids for row in rows]), self._types(rows)
        with torch.no_grad():
            own = self.embedded(ids, types)
            if all(point.interpolation is None for point in points):
                return own.detach().clone()
            fills = torch.tensor([point.fill for point in points], device=self.device)
            base = self.embedded(fills[:, None].expand_as(ids).contiguous(), types)
            weights = torch.ones(ids.shape, dtype=own.dtype)
            for row, point in zip(weights, points, strict=True):
                if point.interpolation is not None:
                    row[: len(point.interpolation)] = torch.tensor(point.interpolation)
            return base + weights.to(self.device)[..., None] * (own - base)

    def _padded(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Int[Tensor, "rows longest"]:
        ids = rectangle(rows)
        ids[ids == HIDDEN] = self.pad_id
        return torch.from_numpy(ids).to(self.device)

    def _stacked(self, embeddings: Sequence[Float[np.ndarray, "_ d"]]) -> Float[Tensor, "rows longest d"]:
        out = torch.zeros(len(embeddings), max(map(len, embeddings)), embeddings[0].shape[1], dtype=self.dtype)
        for row, own in zip(out, embeddings, strict=True):
            row[: len(own)] = torch.tensor(own)
        return out.to(self.device)

    def _types(self, rows: Sequence[Row]) -> Int[Tensor, "rows longest"] | None:
        types = types_below(rows)
        return None if types is None else onto_device(types, self.device)

    def _inputs(self, ids: Tensor, types: Tensor | None, visible: Tensor | None) -> dict[str, Any]:
        """What the model is called with; explicit positions where it would take them from the ids."""
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": None if visible is None else visible.long()}
        if types is not None and self.takes_types:
            inputs["token_type_ids"] = types
        if self.first_position is not None:
            places = torch.arange(self.first_position, self.first_position + ids.shape[1], device=self.device)
            inputs["position_ids"] = places.expand_as(ids)
        return inputs | self.uncached

    def _batch(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Ids, types, and which places are visible (None: all)."""
        packed = rows.packed() if isinstance(rows, Rows) and self.device.type == "cuda" and self.can.hides else None
        if packed is not None and packed.nbytes < packed.written:
            ids, there = ids_on(packed, self.device)
            return ids if there is None else ids.where(there, self.pad_id), self._types(rows), there
        below = ids_below(rows)
        visible = below != HIDDEN
        hidden = visible.size - np.count_nonzero(visible)
        if not self.can.hides and hidden > visible.size - sum(lengths_of(rows)):
            raise QuestionError(f"{type(self.model).__name__} cannot hide a token from its attention")
        if hidden:
            below[~visible] = self.pad_id
        mask = onto_device(visible, self.device) if hidden else None
        return onto_device(below, self.device), self._types(rows), mask

    def _forward(
        self, rows: Sequence[Row], embeddings: Float[Tensor, "rows tokens d"] | None
    ) -> Float[Tensor, "rows outputs"]:
        ids, types, visible = self._batch(rows)
        numbers = candidates_below(rows)
        candidates = None if numbers is None else onto_device(numbers, self.device)
        with nullcontext() if embeddings is None else self.reading(embeddings):
            return chosen_outputs(self.forward(ids, types, visible, candidates=candidates), rows)


def _class_names(model: PreTrainedModel) -> tuple[str, ...]:
    """The names in its configuration, unless they are those that transformers makes up."""
    names = tuple(str(name) for _, name in sorted(model.config.id2label.items()))
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names
