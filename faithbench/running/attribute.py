"""Explanations of texts, for a notebook."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, explain_dimensions, predict, ready
from faithbench.conversations import Asking, attempt, gather
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.plugins import finding, spec
from faithbench.plugins.spec import Component
from faithbench.running.arguments import examples_of, spec_of, target_of
from faithbench.running.classifiers import AnyModel, classifier_of
from faithbench.running.explained import Attributions, ExplainedText
from faithbench.running.prediction import named_choice, named_target, names_of
from faithbench.training.encoding import readable
from faithbench.types import Attribution, Example, Target, Text

if TYPE_CHECKING:
    import torch


def attribute(
    model: AnyModel,
    texts: Iterable[str | tuple[str, str] | Example],
    explainer: str = "bcos",
    target: int | str | Target | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dataset: str | Path | None = None,
    device: str | None = None,
    dtype: "str | torch.dtype | None" = None,
    per_dimension: bool = False,
) -> Attributions:
    """Explains texts.

    Args:
        model: a checkpoint folder, a hub id, a named model (then `dataset` says which fine-tuned one), or a
            transformers classifier or causal language model in memory (then with its `tokenizer`; a copy is used).
        texts: what to explain, a list of texts, or of pairs of texts (tuples) for a model that reads two; or rows of a
            data set, as its `load(split)` gives them. Of a language model rows that have `good` and `bad`.
        explainer: a spec, such as `"attention(variant=rollout)"`.
        target: the class to explain, by its number or its name, such as `"Sports"`; None for the one that the model
            predicts, and of a language model for the good continuation rather than the bad one.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        dtype: of weights and activations: `float32`, `float64`, `bfloat16` or `float16`; None for the model's own, of
            one that is loaded float32 at least.
        per_dimension: whether to give the scores of each dimension of the tokens' embeddings too.

    Returns:
        One attribution a text, in order, with its tokens; scores are float64. They show themselves as coloured lines in
        notebooks and with rich, and have a `frame()`; `faithbench.explain` says more.

    Raises:
        UserError: a name is not known, a text is empty, the class does not exist, the explainer fails, or it has no
            scores per dimension.
        WrongTypeError: an argument is no such thing; it is both a UserError and a TypeError.
    """
    component = spec.build("explainer", spec_of("explainer", explainer))
    ready("explainer", component)
    if per_dimension:
        _check_dimensions(component)
    examples = examples_of(texts)
    classifier = classifier_of(model, tokenizer, dataset, device, dtype)
    chosen = target_of(target, classifier)
    encoded = texts_of(classifier, examples)
    asked = (
        attempt(number, _explained(component, text, chosen, classifier.classes, per_dimension))
        for number, text in enumerate(encoded)
    )
    outcomes = dict(Engine(classifier).run(asked))
    for outcome in outcomes.values():
        if outcome.value is None:
            raise UserError(f"explainer {component.label!r} failed: {outcome.error}")
    found = (value for number in range(len(encoded)) if (value := outcomes[number].value))
    return Attributions(
        ExplainedText(
            **{**vars(each), "source": example},
            text=text,
            explainer=component.label,
            name=_named(classifier, each.target, example, text),
        )
        for each, example, text in zip(found, examples, encoded, strict=True)
    )


def texts_of(classifier: Classifier, examples: Sequence[Example], name: str = "texts") -> list[Text]:
    """The texts as the model reads them; `name` is what errors call their list.

    Raises:
        UserError: it cannot read one.
    """
    encoded, skipped = readable(classifier, examples)
    for each in skipped:
        place = next(number for number, example in enumerate(examples) if example.id == each.id)
        raise UserError(f"{name}[{place}] cannot be explained: {each.reason}{_cure(classifier, examples[place])}.")
    return encoded


def _cure(classifier: Classifier, example: Example) -> str:
    """How a text becomes a question, if it is none and the model answers no other."""
    if not isinstance(classifier, HuggingFaceLanguageModel) or example.good is not None or example.bad is not None:
        return ""
    return "; give Example(id, text, 0, good=…, bad=…) of faithbench.types instead of the text"


def _explained(
    component: Component, text: Text, target: Target | None, classes: int, per_dimension: bool
) -> Asking[Attribution]:
    chosen = (yield from _usual(text)) if target is None else target
    scores = explain(component, text, chosen, classes)
    if not per_dimension:
        return (yield from scores)
    askings: list[Asking[Any]] = [scores, explain_dimensions(component, text, chosen)]
    found, vectors = yield from gather(askings)
    return replace(found, per_dimension=vectors)


def _usual(text: Text) -> Asking[Target]:
    """What is explained where nothing is named: the predicted class; of a next-token question the good token."""
    return Target(0 if text.candidates is not None else (yield from predict(text)))


def _named(classifier: Classifier, target: Target, example: Example, text: Text) -> str:
    """What is explained: the name of a class, or one of two words that might follow, rather than the other."""
    if text.candidates is None:
        return named_target(target, names_of(classifier))
    words = [(word or "").strip() for word in (example.good, example.bad)]
    return named_choice(target.output, words, getattr(classifier, "contrast", True))


def _check_dimensions(component: Component) -> None:
    """Raises a UserError unless the explainer has scores for each dimension of the embeddings."""
    if not hasattr(component.object, "per_dimension"):
        names = ", ".join(name for name, plugin in finding.find("explainer").items() if _has_dimensions(plugin))
        raise UserError(f"explainer {component.label!r} has no scores per dimension; those that have are {names}.")


def _has_dimensions(plugin: finding.Plugin) -> bool:
    """Whether an installed explainer has them; one that cannot be loaded, which others need not mind, has not."""
    try:
        return hasattr(plugin.load(), "per_dimension")
    except UserError:
        return False
