"""Keeping the texts of a run and what its models say of them: once, early, and only what is missing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.conversations import attempt
from faithbench.errors import UserError, short
from faithbench.models.tokenizers import reading_fingerprint
from faithbench.probability import probabilities
from faithbench.records.kept_parts import add_kept
from faithbench.records.store import Store
from faithbench.records.text_parts import (
    Gold,
    kept_classes,
    kept_ids,
    prediction_row,
    read_otherwise,
    text_row,
)
from faithbench.tasks import logits_of
from faithbench.training.encoding import Encoded
from faithbench.training.prepare import Prepared
from faithbench.types import Example, Text

MOST_OUTPUTS = 1_000  # of which all probabilities are kept; of more, such as a vocabulary's, the largest's number alone
Logits = Mapping[str, Float[np.ndarray, "outputs"]]
Row = dict[str, object]


class Keeping:
    """The texts of one model on one data set, and what the model says of them.

    Args:
        store: of the run, or of the folder that attributions are imported into.
        identity: what all entries of the model on the data set have in common.
        model: which.
    """

    def __init__(self, store: Store, identity: Mapping[str, str], model: Prepared) -> None:
        self._store, self._classifier = store, model.classifier
        reading = {"tokenizer": reading_fingerprint(model.classifier, model.fingerprint)}
        data = {name: identity[name] for name in ("dataset", "dataset_fingerprint")}
        self._own = {"texts": {**data, **reading}, "predictions": {**identity, **reading}}

    @cached_property
    def _there(self) -> dict[str, set[str]]:
        return {kind: kept_ids(self._store, kind, own) for kind, own in self._own.items()}

    def missing(self, ids: Collection[str]) -> set[str]:
        """The texts that are not kept, or of which it is not known what the model says."""
        return set(ids) - (self._there["texts"] & self._there["predictions"])

    def check(self, texts: Sequence[Text], model: str) -> None:
        """The model reads these texts in the tokens in which it read them before.

        Args:
            texts: as it reads them now.
            model: as tables show it.

        Raises:
            UserError: it does not, so what is kept is of other tokens.
        """
        text = read_otherwise(self._store, self._own["predictions"], texts)
        if text is not None:
            raise UserError(
                f"{self._store.folder} holds results of {model} with another tokenizer: text {short(text)} has other "
                "tokens now; run into another folder, or give the model its earlier tokenizer."
            )

    def classes(self) -> dict[str, int]:
        """The class that the model says of each text of which that is kept."""
        return kept_classes(self._store, self._own["predictions"])

    def keep(self, read: Encoded, told: Logits) -> None:
        """Writes what is missing of these texts; of those of which nothing is told yet, the model is asked, a row each.

        Args:
            read: the texts, and the examples that they are of.
            told: logits that are known, by text.
        """
        lacking = {kind: [text for text in read.texts if text.id not in there] for kind, there in self._there.items()}
        self._write("texts", self._texts(lacking["texts"], read.examples))
        self._write("predictions", self._predictions(lacking["predictions"], read.examples, told))
        for kind, texts in lacking.items():
            self._there[kind].update(text.id for text in texts)

    def keep_unasked(self, texts: Sequence[Text], examples: Mapping[str, Example]) -> None:
        """Likewise without asking the model: what it says is added by a run."""
        lacking = [text for text in texts if text.id in self.missing([text.id])]
        new = [text for text in lacking if text.id not in self._there["texts"]]
        self._write("texts", self._texts(new, examples))
        rows = (prediction_row(self._own["predictions"], text, gold(examples[text.id]), None, None) for text in lacking)
        self._write("predictions", rows)

    def _write(self, kind: str, rows: Iterator[Row]) -> None:
        first = next(rows, None)
        if first is not None:
            add_kept(self._store, kind, chain([first], rows))

    def _texts(self, texts: Sequence[Text], examples: Mapping[str, Example]) -> Iterator[Row]:
        own, of = self._own["texts"], ((text, examples[text.id]) for text in texts)
        return (text_row(own, text, example.pair, example.good, example.bad) for text, example in of)

    def _predictions(self, texts: Sequence[Text], examples: Mapping[str, Example], told: Logits) -> Iterator[Row]:
        own = self._own["predictions"]
        known = {text.id: text for text in texts}
        open_texts = (text for text in texts if text.id not in told)
        answers = Engine(self._classifier).run(attempt(text.id, logits_of(text)) for text in open_texts)
        asked = ((name, outcome.value) for name, outcome in answers)
        for name, logits in chain(((text.id, told[text.id]) for text in texts if text.id in told), asked):
            text = known[name]
            yield prediction_row(own, text, gold(examples[name]), *_said(text, logits))


def gold(example: Example) -> Gold:
    """What an example says, with labels that are the model's classes already."""
    return Gold(example.label, example.labels, example.value)


def _said(text: Text, logits: Float[np.ndarray, "outputs"] | None) -> tuple[int | None, Sequence[float] | None]:
    if logits is None or not len(logits) or not np.isfinite(logits).all():
        return None, None
    shares = probabilities(logits, text.link) if len(logits) <= MOST_OUTPUTS else np.zeros(0)
    return int(logits.argmax()), shares.tolist()
