"""Language models and classifiers from folders: which of the two is there, and what is said if the other is meant."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from language import QUESTION, language_network, next_logits
from networks import network, tokenizer
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, PreTrainedModel

from faithbench.bcos import convert
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.plugins.naming import refer
from faithbench.questions import Row
from faithbench.training.loading import load_classifier, load_language_model
from faithbench.training.origins import load_same, origin_of


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    def save(model: PreTrainedModel, words: str = "GPT2") -> str:
        model.save_pretrained(tmp_path)
        tokenizer(words).save_pretrained(tmp_path)
        return str(tmp_path)

    return save


def answered(classifier: HuggingFaceClassifier) -> np.ndarray:
    text = classifier.encode(QUESTION)
    return classifier.logits([Row(text.ids, candidates=text.candidates)])[0]


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama-tied", "cohere"])
def test_a_folder_by_its_name_alone_is_what_it_was_saved_as(saved: Any, name: str):
    model = language_network(name).float()
    found = load_classifier(saved(model), "cpu", "own").classifier
    assert type(found) is HuggingFaceLanguageModel
    text = found.encode(QUESTION)
    logits = next_logits(model, text.ids.copy())[list(text.candidates)]
    assert answered(found)[0] == pytest.approx((logits[0] - logits[1]) / 2, abs=1e-5)


def test_a_classifier_by_its_name_alone_stays_one(saved: Any):
    assert type(load_classifier(saved(network("GPT2")), "cpu", "own").classifier) is HuggingFaceClassifier


@pytest.mark.parametrize("b", [1.1, 2.0])
@pytest.mark.parametrize("name", ["gpt2", "llama", "llama-tied"])
def test_a_bcos_model_is_the_same_when_it_is_loaded_tied_or_not(saved: Any, name: str, b: float):
    model = convert(language_network(name).float(), b)
    made = HuggingFaceLanguageModel(model, tokenizer("GPT2"))
    found = load_language_model(saved(model), "cpu", "own").classifier
    assert found.fingerprint() == made.fingerprint()
    np.testing.assert_array_equal(answered(found), answered(made))
    tied = [
        each.model.get_output_embeddings().weight is each.model.get_input_embeddings().weight for each in (made, found)
    ]
    assert tied == [name != "llama"] * 2


def test_a_tied_classifier_is_no_language_model_though_no_weight_is_missing(saved: Any):
    folder = saved(network("GPT2").float())
    assert not AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)[1]["missing_keys"]
    with pytest.raises(UserError, match=r"^model '.*' was saved as GPT2ForSequenceClassification, no language model; "):
        load_language_model(folder, "cpu", "own")


def test_a_bcos_classifier_is_no_language_model(saved: Any):
    folder = saved(convert(network("GPT2").float(), 1.5))
    with pytest.raises(UserError, match="was saved as GPT2ForSequenceClassification, no language model"):
        load_language_model(folder, "cpu", "own")


def test_a_language_model_is_no_classifier_where_one_is_asked_for(saved: Any):
    folder = saved(language_network("llama").float())
    with pytest.raises(UserError, match=r"was saved as LlamaForCausalLM, no classifier; lm\(.*\) asks it") as caught:
        load_classifier(folder, "cpu", "own", problem_type="regression")
    assert len(str(caught.value)) < 400


def test_a_masked_language_model_reads_both_ways(saved: Any):
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    folder = saved(BertForMaskedLM(BertConfig(vocab_size=len(tokenizer("Bert")), **size)), "Bert")
    with pytest.raises(UserError, match="BertLMHeadModel is no causal language model"):
        load_language_model(folder, "cpu", "own")


@pytest.mark.parametrize("written", ["{}", "lm({})", "lm({}, contrast=False)", "lm({}, fill=a)"])
def test_another_process_makes_the_same_of_where_a_model_is_from(saved: Any, written: str):
    torch.manual_seed(0)
    ref = refer(written.format(saved(language_network("gpt2").float())))
    origin = origin_of(ref.text if ref.component is None else ref.component)
    made = origin.load("cpu", "own")
    assert load_same(origin, "cpu", "own", made.fingerprint(), "it").fingerprint() == made.fingerprint()
    with pytest.raises(UserError, match="is another one in a worker"):
        load_same(origin, "cpu", "own", "0", "it")


def test_a_conventional_model_whose_settings_say_that_it_is_bcos_is_refused(saved: Any):
    folder = saved(language_network("gpt2").float())
    told = json.loads((Path(folder) / "config.json").read_text())
    (Path(folder) / "config.json").write_text(json.dumps({**told, "bcos": {"b": 1.1}}))
    with pytest.raises(UserError, match=r"B-cos by its config.json and not by its weights, which have a bias transf"):
        load_language_model(folder, "cpu", "own")


@pytest.mark.parametrize(("name", "field"), [("gpt2", "n_layer"), ("llama", "num_hidden_layers")])
def test_weights_of_more_layers_than_are_told_are_refused(saved: Any, name: str, field: str):
    folder = saved(language_network(name).float())
    told = json.loads((Path(folder) / "config.json").read_text())
    (Path(folder) / "config.json").write_text(json.dumps({**told, field: 1, "layer_types": None}))
    with pytest.raises(UserError, match=r"has weights of more layers than its config.json tells \(.*\.1\..*weight\)"):
        load_language_model(folder, "cpu", "own")


def test_a_model_without_finite_logits_is_told_apart_from_one_that_reads_ahead(saved: Any):
    model = language_network("llama-tied").float()
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(UserError, match="LlamaForCausalLM cannot be explained: its logits are not finite"):
        load_language_model(saved(model), "cpu", "own")
