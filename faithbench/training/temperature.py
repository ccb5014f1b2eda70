"""At which temperature a classifier is about as sure as it is right (Guo et al. 2017, arXiv 1706.04599)."""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize_scalar

from faithbench.answering.explaining import logits_by_id
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.zoo import zoo_model
from faithbench.plugins.naming import ModelRef
from faithbench.plugins.spec import Component
from faithbench.probability import log_probabilities, probabilities
from faithbench.training.encoding import encode_examples
from faithbench.training.fine_tuning import drawn
from faithbench.training.prepare import Prepared
from faithbench.types import Link

TEXTS = 2000  # validation texts that are asked, at most
LEAST, MOST = 0.01, 20.0  # where a temperature is looked for
NEAR = 0.95  # of the largest: what is found there goes on beyond it


def calibration(
    named: ModelRef, classifier: HuggingFaceClassifier, data: Component | None, temperature: float = 0.0
) -> dict[str, Any]:
    """The temperature of a classifier, and what it does to validation texts.

    Args:
        named: the changed model, as it is named.
        classifier: the model that is changed.
        data: with labelled validation texts of this model's classes; not needed where the temperature is given.
        temperature: 0 to find it.

    Returns:
        `temperature`, in three digits; where it was found also `texts`, how many; and with temperature 1 (`before`) and
        the one that was found (`after`) `nll`, the mean negative log likelihood of the labels in nats; and `sure`, the
        mean probability of what is said, beside `right`, how often that is the label, both in percent; of models that
        give any of several labels these two are not there.

    Raises:
        UserError: the model is no classifier, there are no such texts, or they give no temperature.
    """
    if classifier.next_token or classifier.task.link == "identity":
        raise UserError(f"{named.label} cannot be had: only what is said of classes, or labels, has a temperature.")
    if temperature:
        return {"temperature": temperature}
    logits, truth = _labelled(named, classifier, data)
    link = classifier.task.link
    found = 0.0 if _always_right(logits, truth, link) else fitted(logits, truth, link)
    if not 0 < found < NEAR * MOST:
        why = "what it says has nothing to do with the labels" if found else "it is always right"
        raise UserError(
            f"{named.label} cannot be had: {len(logits):,} validation texts give the model no temperature, since "
            f"{why}; say one with temperature=…"
        )
    report: dict[str, Any] = {"temperature": found, "texts": len(logits)}
    for name, divisor in (("before", 1.0), ("after", found)):
        report[name] = {"nll": nll(logits / divisor, truth, link)}
        if link == "softmax":
            report[name]["sure"] = 100 * float(probabilities(logits / divisor).max(axis=1).mean())
    if link == "softmax":
        report["right"] = 100 * float(np.mean(truth[np.arange(len(truth)), logits.argmax(axis=1)]))
    return report


def fitted(logits: Float[np.ndarray, "texts outputs"], truth: Bool[np.ndarray, "texts outputs"], link: Link) -> float:
    """The temperature, from `LEAST` to `MOST`, at which the labels are likeliest, in three digits."""
    found = minimize_scalar(
        lambda logarithm: nll(logits / math.exp(logarithm), truth, link),
        bounds=(math.log(LEAST), math.log(MOST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(f"{math.exp(found.x):.3g}")


def _always_right(
    logits: Float[np.ndarray, "texts outputs"], truth: Bool[np.ndarray, "texts outputs"], link: Link
) -> bool:
    """Whether labels are the likelier the lower the temperature, without end."""
    if link == "sigmoid":
        return bool(((logits > 0) == truth).all())
    return bool((logits.max(axis=1) == logits[truth]).all())


def nll(logits: Float[np.ndarray, "texts outputs"], truth: Bool[np.ndarray, "texts outputs"], link: Link) -> float:
    """The mean negative log likelihood of what is true of texts, in nats; of labels by themselves their sum."""
    logs = log_probabilities(logits, link)
    said = logs[truth] if link == "softmax" else np.where(truth, logs, log_probabilities(-logits, link)).sum(axis=1)
    return -float(said.mean())


def _labelled(
    named: ModelRef, classifier: HuggingFaceClassifier, data: Component | None
) -> tuple[Float[np.ndarray, "texts outputs"], Bool[np.ndarray, "texts outputs"]]:
    """What the model says of validation texts, in double precision, and what is true of them."""
    inner = named.made_of
    assert inner is not None
    if data is None:
        raise UserError(
            f"{named.label} cannot be had: its temperature is found on a data set's validation texts, and none is "
            "named; say it with temperature=…"
        )
    link = classifier.task.link
    labelled = [row for row in data.object.load("validation") if row.true_outputs(link) is not None]
    own = data.identity if zoo_model(inner.root) else ""
    wrapped = Prepared(classifier, inner.identity, inner.label, {}, own)
    read = encode_examples(wrapped, data, drawn(labelled, TEXTS, 0))
    told = logits_by_id(classifier, read.texts)
    if not told:
        raise UserError(
            f"{named.label} cannot be had: {data.label} has no labelled validation texts to find its temperature on; "
            "say it with temperature=…"
        )
    truth = [np.isin(np.arange(classifier.classes), read.examples[name].true_outputs(link) or ()) for name in told]
    return np.stack(list(told.values())).astype(np.float64), np.stack(truth)
