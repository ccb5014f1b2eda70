"""Measures attributions that are at hand, without a run: what `faithbench.attribute` gave, or anybody's scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedTokenizerBase
from typing_extensions import TypedDict, Unpack

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import measure_repeats, measure_with, predict, ready
from faithbench.answering.returned import check_attribution
from faithbench.conversations import Asking, Conversation, Outcome, attempt, together
from faithbench.errors import QuestionError, UserError, WrongTypeError
from faithbench.importing.align import align
from faithbench.interfaces import Classifier
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.running.arguments import examples_of, spec_of, target_of
from faithbench.running.attribute import texts_of
from faithbench.running.classifiers import AnyModel, classifier_of
from faithbench.running.grid import SAMPLE, SAYS, VOCABULARY
from faithbench.statistics.intervals import intervals, weighted_mean
from faithbench.tokens import Scores, spread
from faithbench.types import Attribution, Example, Measurement, Target, Text, read_only

if TYPE_CHECKING:
    import torch

Plain = tuple[Sequence[str], Sequence[float]]


class Options(TypedDict, total=False):
    """Those of `score`, which says what they mean."""

    texts: Iterable[str | tuple[str, str] | Example] | None
    target: int | str | Target | None
    explainer: str | None
    tokenizer: PreTrainedTokenizerBase | None
    dataset: str | Path | None
    device: str | None
    dtype: "str | torch.dtype | None"


@dataclass(frozen=True)
class Score:
    """What a metric says of some attributions.

    Attributes:
        metric: its spec, defaults left out.
        mean: over the texts, weighted by the measurements' weights; NaN where no value is defined.
        low: the lower end of the 95 % bootstrap interval of the mean; NaN for fewer than two values.
        high: the upper end.
        n: texts whose value is defined.
        measurements: one for each attribution, in the order given.
    """

    metric: str
    mean: float
    low: float
    high: float
    n: int
    measurements: tuple[Measurement, ...] = field(repr=False)

    @property
    def values(self) -> Float[np.ndarray, "texts"]:
        """The value of each text; NaN where it is not defined."""
        return np.array([one.value for one in self.measurements], dtype=np.float64)


@overload
def score(
    model: AnyModel, attributions: Iterable[Attribution | Plain], metric: str, **options: Unpack[Options]
) -> Score: ...
@overload
def score(
    model: AnyModel,
    attributions: Iterable[Attribution | Plain],
    metric: list[str] | tuple[str, ...],
    **options: Unpack[Options],
) -> list[Score]: ...
def score(
    model: AnyModel,
    attributions: Iterable[Attribution | Plain],
    metric: str | list[str] | tuple[str, ...],
    *,
    texts: Iterable[str | tuple[str, str] | Example] | None = None,
    target: int | str | Target | None = None,
    explainer: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dataset: str | Path | None = None,
    device: str | None = None,
    dtype: "str | torch.dtype | None" = None,
) -> Score | list[Score]:
    """Measures attributions that are at hand; the values are those of a run on the same texts with the same ids.

    Args:
        model: as for `faithbench.attribute`: the one that is explained.
        attributions: what `faithbench.attribute` gave, or pairs of tokens and their scores; tokens of another tokenizer
            are matched with the model's by their spelling.
        metric: a spec, such as `"comprehensiveness(protocol=paper)"`, or several.
        texts: what was explained, in the order of the attributions, as for `faithbench.attribute`; None where they say
            so themselves, as those of `faithbench.attribute` do, or where a text can be read back from its tokens.
        target: the class that pairs of tokens and scores explain; None for the one that the model predicts.
        explainer: what made the attributions, for metrics that ask it again, such as `sensitivity`, and for the mean
            over several draws that a run gives of explainers that have them, such as `random`.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        dtype: of weights and activations, as for `faithbench.attribute`.

    Returns:
        A `Score` for one metric; for several a list, in their order.

    Raises:
        UserError: a name is not known, tokens or scores do not fit the text, a metric does not fit the texts or the
            model, or it fails.
        WrongTypeError: an argument is no such thing; it is both a UserError and a TypeError.
    """
    named = metric if isinstance(metric, (list, tuple)) else [metric]
    metrics = [spec.build("metric", spec_of("metric", one)) for one in named]
    for each in metrics:
        ready("metric", each)
    again = None if explainer is None else spec.build("explainer", spec_of("explainer", explainer))
    if again is not None:
        ready("explainer", again)
    items = _items(attributions)
    classifier = classifier_of(model, tokenizer, dataset, device, dtype)
    examples = _examples(items, texts, classifier)
    _check_fit(metrics, examples, classifier)
    encoded = texts_of(classifier, examples, "attributions" if texts is None else "texts")
    if any(VOCABULARY in each.traits.needs for each in metrics):
        encoded = _with_vocabulary(encoded)
    chosen = target_of(target, classifier)
    found = [_placed(*one, chosen, classifier) for one in zip(range(len(items)), items, encoded, strict=True)]
    measured = _measured(metrics, encoded, _with_targets(found, encoded, classifier), classifier, again)
    scores = [_summary(each, [one[each.identity] for one in measured]) for each in metrics]
    return scores[0] if isinstance(metric, str) else scores


def _items(attributions: object) -> list[Attribution | tuple[tuple[str, ...], Scores]]:
    """Attributions, or tokens with their scores as an array.

    Raises:
        WrongTypeError: something is neither.
    """
    unordered = isinstance(attributions, (Attribution, str, bytes, Mapping)) or hasattr(attributions, "columns")
    if unordered or not isinstance(attributions, Iterable):
        raise WrongTypeError(f"attributions is of type {type(attributions).__name__}; give a list of attributions.")
    found = [_item(f"attributions[{place}]", item) for place, item in enumerate(attributions)]
    if not found:
        raise UserError("attributions is empty; there is nothing to measure.")
    return found


def _item(where: str, item: Any) -> Attribution | tuple[tuple[str, ...], Scores]:
    if isinstance(item, Attribution):
        return item
    if not isinstance(item, (tuple, list)) or len(item) != 2 or isinstance(item[0], (str, bytes)):
        raise WrongTypeError(
            f"{where} is of type {type(item).__name__}; give an Attribution, or a pair of tokens and scores."
        )
    tokens = tuple(item[0]) if isinstance(item[0], Iterable) else (item[0],)
    if not all(isinstance(token, str) for token in tokens):
        raise WrongTypeError(f"{where} has tokens that are no texts; give them as the tokenizer spells them.")
    try:
        values = item[1].detach().cpu().tolist() if hasattr(item[1], "detach") else item[1]  # numpy has no bfloat16
        scores = np.asarray(values).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise WrongTypeError(f"{where} has scores that are no numbers; give one for each token.") from error
    if scores.shape != (len(tokens),):
        raise UserError(f"{where} has {len(tokens)} tokens and scores of shape {scores.shape}; give one score a token.")
    return tokens, scores


def _examples(items: Sequence[Any], texts: Any, classifier: Classifier) -> list[Example]:
    """The texts, as they are given or as the items say themselves.

    Raises:
        UserError: there are more or fewer than items, one is not known, or two items are of one text.
    """
    if texts is not None:
        found = examples_of(texts)
        if len(found) != len(items):
            raise UserError(f"there are {len(items)} attributions and {len(found)} texts; give one text for each.")
        return found
    found = [_said(place, item) or _read_back(place, item, classifier) for place, item in enumerate(items)]
    first: dict[Example, int] = {}
    for place, example in enumerate(found):
        if first.setdefault(example, place) != place:
            raise UserError(
                f"attributions[{first[example]}] and attributions[{place}] are of one text; score those of each "
                "explainer by themselves."
            )
    return found


def _said(place: int, item: Any) -> Example | None:
    return item.source if isinstance(item, Attribution) else None


def _read_back(place: int, item: Any, classifier: Classifier) -> Example:
    """A text that has the tokens, as the model's tokenizer spells them or as words.

    Raises:
        UserError: it cannot be known.
    """
    tokens = item.tokens if isinstance(item, Attribution) else item[0]
    tokenizer: Any = getattr(classifier, "tokenizer", None)
    if tokenizer is None or not tokens:
        raise UserError(f"attributions[{place}] does not say what text it explains; give texts=[…].")
    around = set(tokenizer.all_special_tokens) - {tokenizer.unk_token, tokenizer.mask_token}
    inner = [number for number, token in enumerate(tokens) if token not in around]
    if not inner:
        raise UserError(f"attributions[{place}] has no tokens but special ones.")
    own = tokens[inner[0] : inner[-1] + 1]
    if len(own) > len(inner):
        raise UserError(f"attributions[{place}] is of more than one text; give texts=[(first, second), …].")
    name = item.text_id if isinstance(item, Attribution) else str(place)
    spelt = Example(name, tokenizer.convert_tokens_to_string(list(own)), None)
    text = classifier.encode(spelt) if spelt.text.strip() else None
    same = text is not None and tuple(text.tokens[at] for at in text.content) == tuple(own)
    return spelt if same else replace(spelt, text=" ".join(own))


def _check_fit(metrics: Sequence[Component], examples: Sequence[Example], classifier: Classifier) -> None:
    """Raises a UserError for a metric that needs what the texts do not have, or measures other models."""
    link, names = classifier.task.link, [one.name for one in fields(Example)]
    there = {VOCABULARY, *(name for name in names if any(getattr(each, name) is not None for each in examples))}
    for metric in metrics:
        if lacking := [need for need in metric.traits.needs if need not in there]:
            raise UserError(
                f"metric {metric.label!r} needs {lacking[0]}, which no text has; give texts=[…] with rows of a data "
                "set that has it."
            )
        if link not in metric.traits.links:
            measured = " or ".join(SAYS[each] for each in metric.traits.links)
            raise UserError(f"metric {metric.label!r} measures models that say {measured}, and this says {SAYS[link]}.")


def _with_vocabulary(texts: Sequence[Text]) -> list[Text]:
    """The texts with the content tokens of all of them, in the order in which a run draws texts."""
    order = np.random.default_rng(0).permutation(len(texts))[:SAMPLE]
    vocabulary = read_only(np.concatenate([texts[place].ids[texts[place].content] for place in order]))
    return [replace(text, vocabulary=vocabulary) for text in texts]


def _placed(
    place: int, item: Any, text: Text, target: Target | None, classifier: Classifier
) -> tuple[Scores, Target | None, Attribution | None]:
    """Scores of the model's tokens, what they explain if that is known, and whose they are if that is said.

    Raises:
        UserError: they do not fit the text, or there is no such class.
    """
    whole = item if isinstance(item, Attribution) else None
    tokens, scores = (item.tokens, item.scores) if whole else item
    try:
        placed = scores if tokens == text.tokens else align(text, tokens, scores) if tokens else spread(text, scores)
        check_attribution(Attribution(text.id, Target(0), placed), text, Target(0))
    except ValueError as error:
        told = str(error).replace("the file has", "the attribution has")  # `align` reads files as a rule
        raise UserError(f"attributions[{place}]: {told}.") from error
    return placed, target_of(whole.target, classifier) if whole else target, whole


def _with_targets(
    found: Sequence[tuple[Scores, Target | None, Attribution | None]], texts: Sequence[Text], classifier: Classifier
) -> list[Attribution]:
    """Attributions of the class that the model predicts where none is said."""
    open_ = {n: texts[n] for n, (_, target, _) in enumerate(found) if target is None}
    told: dict[int, Outcome[int]] = dict(Engine(classifier).run(attempt(n, predict(text)) for n, text in open_.items()))
    for number, outcome in told.items():
        if outcome.value is None:
            raise UserError(f"the class that the model predicts for attributions[{number}] is not to be had.")
    return [
        Attribution(
            text.id,
            Target(told[n].value or 0) if target is None else target,
            scores,
            {} if whole is None else whole.notes,
            text.tokens,
            None if whole is None or whole.tokens != text.tokens else whole.standard_errors,
        )
        for n, ((scores, target, whole), text) in enumerate(zip(found, texts, strict=True))
    ]


def _measured(
    metrics: Sequence[Component],
    texts: Sequence[Text],
    found: Sequence[Attribution],
    classifier: Classifier,
    explainer: Component | None,
) -> list[dict[str, Measurement]]:
    """What each metric says of each attribution, by the metric's identity.

    Raises:
        UserError: a metric fails.
    """

    def nobody(text: Text, target: Target) -> Asking[Attribution]:
        raise QuestionError("it asks the explainer again; say which one made the attributions: explainer=…")

    def asking(metric: Component, text: Text, own: Attribution) -> Asking[Measurement]:
        if explainer is None:
            return measure_with(metric, text, own, nobody)
        outputs = classifier.classes if text.outputs is None else len(text.outputs)
        return measure_repeats(metric, text, own, explainer, outputs)

    def asked(number: int) -> Conversation[tuple[int, dict[str, Outcome[Measurement]]]]:
        outcomes = yield from together({each.identity: asking(each, texts[number], found[number]) for each in metrics})
        return number, outcomes

    longest_first = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    told = dict(Engine(classifier).run(asked(number) for number in longest_first))
    measured: list[dict[str, Measurement]] = []
    for number in range(len(texts)):
        for metric in metrics:
            if told[number][metric.identity].value is None:
                reason = told[number][metric.identity].error
                raise UserError(f"metric {metric.label!r} failed on attributions[{number}]: {reason}")
        measured.append({name: outcome.value for name, outcome in told[number].items() if outcome.value is not None})
    return measured


def _summary(metric: Component, measurements: Sequence[Measurement]) -> Score:
    values = np.array([[one.value] for one in measurements], dtype=np.float64)
    weights = np.array([[one.weight] for one in measurements], dtype=np.float64)
    bounds = intervals(values, weights)
    defined = int((np.isfinite(values) & (weights > 0)).sum())
    mean = float(weighted_mean(values, weights)[0])
    return Score(metric.label, mean, float(bounds.low[0]), float(bounds.high[0]), defined, tuple(measurements))
