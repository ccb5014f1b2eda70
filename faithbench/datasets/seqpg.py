"""Documents of the Sequence Pointing Game: texts of different classes, one behind the other (arXiv 2502.12992)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from faithbench.datasets.file import File
from faithbench.errors import UserError
from faithbench.files import cache_folder
from faithbench.labels import relabelled
from faithbench.models.zoo import conventional
from faithbench.plugins import spec
from faithbench.plugins.naming import ModelRef, build_texts, refer
from faithbench.plugins.spec import Component
from faithbench.schemas import LARGE, read_bytes, read_json
from faithbench.types import Example

PUBLISHED = {"ag_news": 50, "imdb": 256, "hatexplain": 25}  # tokens of a segment, special ones included
REVISION = 2  # raised when other documents would be built of the same data


@dataclass(frozen=True)
class SeqPG:
    """Documents put together from texts of different classes, which one model, the judge, is sure of.

    A text is used if it has at least `segment` tokens, and if the judge, given no more of it than that, finds its class
    with a probability above `confidence`. A document is made of different classes drawn at random, each with the text
    that the judge is most sure of among those not used yet. Its label is the class of its first segment. The documents
    are built by the first run that needs them, or by `faithbench build seqpg`, and kept in the cache; a run is of
    models that were trained on the data set that the texts are from. Only metrics that need segments are run.

    Args:
        dataset: where the texts are from.
        judge: a model; empty for the conventional model of the backbone that is run, or, where a folder or hub id is
            run, that model itself.
        segment: tokens of a segment, special ones included, so that segment − 2 are seen; 0 for the published length
            (AG News 50, IMDB 256, HateXplain 25).
        segments: of a document, each of another class.
        documents: how many at most.
        confidence: that the judge must exceed.
        seed: draws the classes.
    """

    dataset: str = "hatexplain(classes=2)"
    judge: str = ""
    segment: int = 0
    segments: int = 2
    documents: int = 500
    confidence: float = 0.75
    seed: int = 0
    only_for: ClassVar[str] = "segments"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", self.source.identity)
        if self.source.traits.for_model:
            raise ValueError(f"dataset={self.dataset!r} is not allowed; its texts must not be documents themselves.")
        if self.judge:
            object.__setattr__(self, "judge", refer(self.judge).spec)
        given = {"segment": self.tokens, "segments": self.segments, "documents": self.documents, "seed": self.seed}
        for name, least in (("segment", 3), ("segments", 2), ("documents", 2), ("seed", 0)):
            if given[name] < least:
                raise ValueError(f"{name}={given[name]!r} is not allowed; it must be at least {least}.")
        if not 0 <= self.confidence < 1:
            raise ValueError(f"confidence={self.confidence!r} is not allowed; it must be at least 0 and below 1.")

    @property
    def tokens(self) -> int:
        """Of a segment, special ones included."""
        if self.segment:
            return self.segment
        name = spec.parse(self.dataset)[0]
        if name not in PUBLISHED:
            known = ", ".join(f"{name} ({tokens})" for name, tokens in PUBLISHED.items())
            raise ValueError(f"segment must be given for {name}, in tokens; a length is published for {known} only.")
        return PUBLISHED[name]

    @cached_property
    def source(self) -> Component:
        """The data set that the texts are from."""
        return build_texts(self.dataset, "seqpg")

    @property
    def base(self) -> str:
        """What models are trained on."""
        return self.dataset

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the data set that the texts are from."""
        names: tuple[str, ...] = self.source.object.class_names
        return names

    def for_model(self, model: ModelRef) -> "SeqPG":
        """The same with the judge and the segment's length written out."""
        return replace(self, judge=self.judge or conventional(model).spec, segment=self.tokens)

    def load(self, split: str) -> list[Example]:
        """The documents made of the texts of a split.

        Raises:
            UserError: they have not been built.
        """
        if not self.judge:
            raise UserError("the documents of seqpg depend on the model that judges the texts; say which: judge=….")
        if self.built(split) is None:
            raise UserError(
                f"the documents of seqpg for {self.dataset}, judged by {self.judge}, have not been built; a run builds "
                "them, and so does `faithbench build seqpg`."
            )
        documents = File(str(self.path(split)))
        numbers = dict(enumerate(map(int, documents.class_names)))  # of the classes, as the documents were written
        return [relabelled(document, numbers) for document in documents.load("test")]

    def path(self, split: str) -> Path:
        """Where the documents are kept."""
        resolved = self if self.segment else replace(self, segment=self.tokens)
        identity = repr((REVISION, resolved, self.source.content))
        return cache_folder("derived", identity, f"seqpg-{self.source.label}", self.judge) / f"{split}.jsonl"

    def built(self, split: str) -> Mapping[str, Any] | None:
        """How the documents were built; None if they are not there, or not as they were written."""
        path = self.path(split)
        try:
            about: dict[str, Any] = read_json(path.with_suffix(".json"), dict[str, Any])
            same = about["content"] == hashlib.sha256(read_bytes(path, LARGE)).hexdigest()
        except (UserError, KeyError):
            return None
        return about if same else None
