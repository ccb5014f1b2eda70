"""Explanations of texts, for a notebook."""

import copy
from collections.abc import Iterable
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict, ready
from faithbench.conversations import Asking, attempt
from faithbench.errors import UserError, WrongTypeError
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import Component
from faithbench.running.arguments import examples_of, path_or_name, spec_of, target_of
from faithbench.training.encoding import readable
from faithbench.training.prepare import Setup, best_device, load_model, prepare
from faithbench.types import Attribution, Target, Text


def attribute(
    model: str | Path | Classifier | PreTrainedModel,
    texts: Iterable[str | tuple[str, str]],
    explainer: str = "bcos",
    target: int | str | Target | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dataset: str | Path | None = None,
    device: str | None = None,
) -> list[Attribution]:
    """Explains texts.

    Args:
        model: a checkpoint folder, a hub id, a named model (then `dataset` says which fine-tuned one), or a
            transformers classifier in memory (then with its `tokenizer`; a copy is used).
        texts: what to explain, a list of texts, or of pairs of texts (tuples) for a model that reads two.
        explainer: a spec, such as `"attention(variant=rollout)"`.
        target: the class to explain, by its number or its name, such as `"Sports"`; None for the one that the model
            predicts.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.

    Returns:
        One attribution a text, in order, with its tokens.

    Raises:
        UserError: a name is not known, a text is empty, the class does not exist, or the explainer fails.
        WrongTypeError: an argument is no such thing; it is both a UserError and a TypeError.
    """
    component = spec.build("explainer", spec_of("explainer", explainer))
    ready(component)
    examples = examples_of(texts)
    classifier = _classifier(model, tokenizer, dataset, device)
    chosen = target_of(target, classifier)
    encoded, skipped = readable(classifier, examples)
    for each in skipped:
        raise UserError(f"texts[{each.id}] cannot be explained: {each.reason}.")
    asked = (attempt(text.id, _explained(component, text, chosen, classifier.classes)) for text in encoded)
    outcomes = dict(Engine(classifier).run(asked))
    for outcome in outcomes.values():
        if outcome.value is None:
            raise UserError(f"explainer {component.label!r} failed: {outcome.error}")
    return [value for text in encoded if (value := outcomes[text.id].value)]


def _explained(component: Component, text: Text, target: Target | None, classes: int) -> Asking[Attribution]:
    chosen = Target((yield from predict(text))) if target is None else target
    return (yield from explain(component, text, chosen, classes))


def _classifier(
    model: str | Path | Classifier | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    dataset: str | Path | None,
    device: str | None,
) -> Classifier:
    device = None if device is None else str(device)
    if isinstance(model, PreTrainedModel):
        return HuggingFaceClassifier(copy.deepcopy(model), _tokenizer(tokenizer), best_device(device))
    if not isinstance(model, (str, Path)):
        return _as_classifier(model)
    setup = Setup(device=best_device(device), train=False)
    if dataset is not None:
        return prepare(str(model), build_dataset(path_or_name("dataset", dataset)), setup).classifier
    return load_model(str(model), setup).classifier


def _tokenizer(tokenizer: object) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise UserError("a model in memory needs its tokenizer: attribute(model, texts, tokenizer=…).")
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise WrongTypeError(
            f"tokenizer is of type {type(tokenizer).__name__}; give the model's, as AutoTokenizer.from_pretrained has "
            "it."
        )
    return tokenizer


def _as_classifier(model: Classifier) -> Classifier:
    """What is a classifier already.

    Raises:
        WrongTypeError: it is none.
    """
    if not isinstance(model, type) and all(hasattr(model, name) for name in ("encode", "logits", "classes", "task")):
        return model
    hint = (
        "a pipeline's are attribute(pipeline.model, texts, tokenizer=pipeline.tokenizer)"
        if isinstance(getattr(model, "model", None), PreTrainedModel)
        else "a torch module must be a classifier of transformers"
        if isinstance(model, nn.Module)
        else "give a folder, a hub id, a name, or a classifier of transformers"
    )
    raise WrongTypeError(f"model is of type {type(model).__name__}; {hint}.")
