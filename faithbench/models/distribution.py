"""Are masked inputs in the distribution of a model? Activations by layer, and their check (Heller et al. 2022)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from faithbench.models.batches import to_numpy
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.statistics.distribution import Distribution
from faithbench.types import Text

LEVEL = 0.05


def activations(
    model: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]]
) -> Float[np.ndarray, "inputs layers features"]:
    """The largest activation of each feature over the tokens of an input, at the embeddings and after every layer.

    Args:
        model: read as it is, in eval mode.
        batches: what it is called with; `attention_mask` says which tokens there are.
    """
    with torch.inference_mode():
        return np.concatenate([_largest(model, batch) for batch in batches])


def _largest(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Float[np.ndarray, "inputs layers features"]:
    states = torch.stack(model.base_model(**batch, output_hidden_states=True).hidden_states, dim=1)
    padding = batch["attention_mask"] == 0
    out: Float[np.ndarray, "inputs layers features"] = to_numpy(
        states.masked_fill(padding[:, None, :, None], -torch.inf).amax(2)
    )
    return out


def text_activations(
    classifier: HuggingFaceClassifier, texts: Iterable[Text]
) -> Float[np.ndarray, "inputs layers features"]:
    """The same of texts, one by one."""
    return activations(classifier.model, (_inputs(classifier, text) for text in texts))


def _inputs(classifier: HuggingFaceClassifier, text: Text) -> Mapping[str, Tensor]:
    ids, types = classifier.inputs_of(text)
    found = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return found if types is None else found | {"token_type_ids": types}


def check_distribution(
    classifier: HuggingFaceClassifier, reference: Sequence[Text], texts: Sequence[Text]
) -> Float[np.ndarray, "inputs"]:
    """A p-value for each text that to the model it is like the reference; below 0.05 speaks against it.

    A masked text is `dataclasses.replace(text, ids=…)` with `text.mask_id` in the place of what is taken away.

    Args:
        classifier: whose activations are looked at.
        reference: texts that it knows, such as the validation split, masked as in its training.
        texts: others, such as test texts without what an explanation names.

    Raises:
        UserError: there are fewer than 30 texts in the reference.
    """
    order = np.random.default_rng(0).permutation(len(reference))
    known = Distribution(text_activations(classifier, [reference[i] for i in order]))
    return known.p_values(text_activations(classifier, texts))


def summary(p_values: Float[np.ndarray, "inputs"]) -> dict[str, float]:
    """The share of inputs that are told from the reference at the level 0.05, in percent, and the median p-value."""
    return {"outside": 100 * float((p_values < LEVEL).mean()), "median_p": float(np.median(p_values))}
