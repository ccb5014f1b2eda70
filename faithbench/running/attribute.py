"""Explanations: one, checked, for the run; many, for a notebook."""

import copy
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.conversations import Conversation, Outcome, together
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import Component
from faithbench.training.prepare import Setup, best_device, load_model, prepare
from faithbench.types import Attribution, Example, Target, Text


def attribute(
    model: str | Classifier | PreTrainedModel,
    texts: Sequence[str],
    explainer: str = "bcos",
    target: int | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dataset: str | None = None,
    device: str | None = None,
) -> list[Attribution]:
    """Explains texts.

    Args:
        model: a checkpoint folder, a hub id, a named model (then `dataset` says which fine-tuned one), or a
            transformers classifier in memory (then with its `tokenizer`; a copy is used).
        texts: what to explain.
        explainer: a spec, such as `"attention(variant=rollout)"`.
        target: the class to explain; None for the one that the model predicts.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.

    Returns:
        One attribution a text, in order, with its tokens.

    Raises:
        UserError: a name is not known, a text is empty, the class does not exist, or the explainer fails.
    """
    component = spec.build("explainer", explainer)
    classifier = _classifier(model, tokenizer, dataset, device)
    if target is not None and not 0 <= target < classifier.classes:
        raise UserError(f"target={target!r} is not allowed; the model has classes 0 to {classifier.classes - 1}.")
    encoded = [classifier.encode(Example(str(i), text, label=0)) for i, text in enumerate(texts)]
    outcomes = dict(Engine(classifier).run(_converse(component, text, target, classifier.classes) for text in encoded))
    for outcome in outcomes.values():
        if outcome.value is None:
            raise UserError(f"explainer {component.label!r} failed: {outcome.error}")
    return [value for text in encoded if (value := outcomes[text.id].value)]


def _converse(
    component: Component, text: Text, target: int | None, classes: int
) -> Conversation[tuple[str, Outcome[Attribution]]]:
    chosen = Target((yield from predict(text)) if target is None else target)
    outcomes = yield from together({text.id: explain(component, text, chosen, classes)})
    return text.id, outcomes[text.id]


def _classifier(
    model: str | Classifier | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    dataset: str | None,
    device: str | None,
) -> Classifier:
    if isinstance(model, PreTrainedModel):
        if tokenizer is None:
            raise UserError("a model in memory needs its tokenizer: attribute(model, texts, tokenizer=…).")
        return HuggingFaceClassifier(copy.deepcopy(model), tokenizer, best_device(device))
    if not isinstance(model, str):
        return model
    setup = Setup(device=best_device(device), train=False)
    if dataset is not None:
        return prepare(model, build_dataset(dataset), setup).classifier
    return load_model(model, setup).classifier
