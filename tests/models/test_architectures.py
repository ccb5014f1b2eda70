"""Architectures: one file and one line each, a third party's too; what is not known is refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import answers, random_texts, randomise, tiny_tokenizer
from faithbench_explainers.attention import Attention
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.decompx import DecompX
from faithbench_explainers.integrated_gradients import IntegratedGradients
from faithbench_explainers.occlusion import Occlusion
from fixtures_run import add_distribution
from transformers import ElectraConfig, ElectraForSequenceClassification

from faithbench.bcos import convert
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row

ELECTRA = """
from faithbench.interfaces import Architecture

def electra():
    return Architecture(
        embeddings="electra.embeddings",
        attention_inputs=r"attention\\.self\\.(query|key|value)$",
        layers="electra.encoder.layer",
        mixed="attention.output",
    )
"""


def network() -> ElectraForSequenceClassification:
    tokenizer = tiny_tokenizer()
    shape = {"embedding_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"vocab_size": len(tokenizer), "intermediate_size": 24, "max_position_embeddings": 40}
    return randomise(ElectraForSequenceClassification(ElectraConfig(**shape, **sizes)), 0)


def test_an_architecture_without_a_file_is_seen_as_one_with_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = HuggingFaceClassifier(network(), tiny_tokenizer(), dtype=torch.float64)
    entries = {"architectures": {"electra": "electra_plugin:electra"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "site", "electra", entries, {"electra_plugin": ELECTRA}))
    told = HuggingFaceClassifier(network(), tiny_tokenizer(), dtype=torch.float64)
    assert told.architecture != seen.architecture
    assert (told.architecture.embeddings, told.architecture.layers) == (
        seen.architecture.embeddings,
        "electra.encoder.layer",
    )
    assert told.fingerprint() == seen.fingerprint()
    (text,) = random_texts(told, (6,))
    for explainer in (Occlusion(), Attention(), Bcos(), IntegratedGradients(n_steps=3)):
        one, other = (answers(classifier, explainer(text, 1)).scores for classifier in (seen, told))
        np.testing.assert_array_equal(one, other)


def test_a_plugin_that_gives_no_architecture_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entries = {"architectures": {"electra": "electra_wrong:electra"}}
    files = {"electra_wrong": "def electra():\n    return 3\n"}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "site", "electra-wrong", entries, files))
    with pytest.raises(UserError, match=r"architecture 'electra' of .* gives 3, not an Architecture"):
        HuggingFaceClassifier(network(), tiny_tokenizer())


def test_an_architecture_is_one_file_and_one_line_of_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entries = {"architectures": {"electra": "electra_plugin:electra"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "site", "electra", entries, {"electra_plugin": ELECTRA}))
    classifier = HuggingFaceClassifier(network(), tiny_tokenizer(), dtype=torch.float64)
    texts = random_texts(classifier, (6, 3))
    found = classifier.logits([Row(text.ids) for text in texts])
    for text, logits in zip(texts, found, strict=True):
        with torch.no_grad():
            expected = classifier.model(input_ids=torch.from_numpy(text.ids)[None]).logits[0].numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-9)
    for explainer in (Occlusion(), Attention(), Bcos()):
        assert np.isfinite(answers(classifier, explainer(texts[0], 1)).scores).all()
    with pytest.raises(RuntimeError, match="does not know the parts of the architecture 'electra'"):
        answers(classifier, DecompX()(texts[0], 1))
    converted = HuggingFaceClassifier(convert(network().double(), b=1.5), tiny_tokenizer(), dtype=torch.float64)
    assert converted.model.config.bcos == {"b": 1.5, "qkv": False, "embedding_bias": False}
