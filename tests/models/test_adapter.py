"""The adapter to transformers: exactly transformers' logits, computed more cheaply."""

import numpy as np
import pytest
import torch
from builders import KINDS, random_texts, tiny_classifier

from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row


def plain_logits(classifier: HuggingFaceClassifier, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return classifier.model(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()


@pytest.mark.parametrize("bcos_b", [None, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_model_itself_alone_and_padded(kind: str, bcos_b: float | None):
    classifier = tiny_classifier(kind, bcos_b, dtype=torch.float64)
    rows = [text.ids for text in random_texts(classifier)]
    expected = [plain_logits(classifier, row) for row in rows]
    np.testing.assert_allclose(classifier.logits([Row(row) for row in rows]), expected, rtol=1e-10)
    for row, one in zip(rows, expected, strict=True):
        np.testing.assert_allclose(classifier.logits([Row(row)])[0], one, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_computes_one_position_and_the_model_is_left_as_found(kind: str):
    classifier = tiny_classifier(kind)
    (text,) = random_texts(classifier, (9,))
    shapes: list[torch.Size] = []
    last = [m for m in classifier.model.modules() if isinstance(m, torch.nn.LayerNorm)][-1]
    handle = last.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    classifier.logits([Row(text.ids)])
    plain_logits(classifier, text.ids)
    handle.remove()
    assert [shape[1] for shape in shapes] == [1, len(text)]
    assert not any(module._forward_pre_hooks for module in classifier.model.modules())
