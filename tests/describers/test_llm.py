"""A language model as a describer: fixed prompts; the expectation of digits is that of a loop; what cannot be."""

import numpy as np
import pytest
import torch
from faithbench_describers.llm import LLM, Explanation
from faithbench_describers.local_models import local_model
from faithbench_describers.prompting import (
    explanation_prompt,
    one_line,
    scaled_to_digits,
    simulation_prompt,
)
from transformers import AutoModelForCausalLM, AutoTokenizer
from writers import recording, windows, writer_folder

from faithbench.conformance.describers import DESCRIBER_CLAUSES, DescriberTrial
from faithbench.conformance.recordings import recordings
from faithbench.errors import UserError
from faithbench.plugins import spec

PIECES = (" the", " cat", "\n", "5")
KINDS = ("bytes", "pieces")


@pytest.fixture(autouse=True)
def _forgotten():
    """A model that is loaded is kept by its name."""
    yield
    local_model.cache_clear()


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return writer_folder(tmp_path_factory.mktemp(request.param), request.param)


def test_the_prompt_that_asks_for_an_explanation_is_this_one():
    shown = recording([[0, 1], [2, 3], [0, 0]], [[0.0, 1.0], [4.5, -1.0], [0.0, 0.1]], PIECES)
    assert explanation_prompt(shown, 2) == (
        "A neuron of a language model reads a text token by token. Behind each token stands how strongly the neuron is "
        "active at it, from 0 (not at all) to 9 (most strongly).\n\n"
        "Neuron 1\nthe\t0\n cat\t9\n saw\t0\n a\t0\n big\t1\n dog\t8\n run\t0\n"
        "Neuron 1 is active at: words for animals\n\n"
        "Neuron 2\n\n\\n\t9\n5\t0\n\n the\t0\n cat\t2\n\n"
        "Neuron 2 is active at:"
    )


def test_the_prompt_that_asks_for_a_simulation_is_this_one():
    assert "".join(simulation_prompt("cats", [" the", " cat", "\\n"])) == (
        "A neuron of a language model reads a text token by token. Behind each token stands how strongly the neuron is "
        "active at it, from 0 (not at all) to 9 (most strongly).\n\n"
        "Neuron 1 is active at: words for animals\n"
        "the\t0\n cat\t9\n saw\t0\n a\t0\n big\t1\n dog\t8\n run\t0\n\n"
        "Neuron 2 is active at: cats\n"
        " the\tunknown\n cat\tunknown\n\\n\t"
    )


def test_the_windows_shown_are_the_strongest_and_one_a_document():
    shown = recording([[0], [1], [2], [3], [0]], [[3.0], [5.0], [4.0], [0.0], [5.0]], PIECES, [0, 1, 1, 2, 3])
    assert shown.strongest(5).tolist() == [1, 4, 0, 3]
    assert shown.strongest(2).tolist() == [1, 4]


def test_activations_are_scaled_to_digits():
    assert scaled_to_digits(np.array([[0.0, 2.0, 1.0, -7.0, 0.1]])).tolist() == [[0, 9, 4, 0, 0]]
    assert scaled_to_digits(np.zeros((1, 2))).tolist() == [[0, 0]]
    assert scaled_to_digits(-np.ones((1, 2))).tolist() == [[0, 0]]


def test_the_simulation_is_the_expectation_of_digits_one_placeholder_at_a_time(folder):
    rows = windows([[0, 1, 2, 3], [3, 1, 1, 0]], PIECES)
    found = Explanation("cats", 32.0, str(folder)).simulate(rows)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    digits = [tokenizer(f"\t{digit}", add_special_tokens=False)["input_ids"][-1] for digit in range(10)]
    assert len(set(digits)) == 10
    for row, ids in zip(found, rows.ids, strict=True):
        read = []
        parts = simulation_prompt("cats", [PIECES[token].replace("\n", "\\n") for token in ids])
        for place, part in enumerate(parts):
            own = tokenizer(part, add_special_tokens=False)["input_ids"]
            read += [tokenizer.bos_token_id, *own] if place == 0 and folder.name.startswith("pieces") else own
            with torch.no_grad():
                logits = network(torch.tensor([read])).logits[0, -1].double().numpy()
            weights = np.exp(logits[digits] - logits[digits].max())
            expected = sum(digit * weight for digit, weight in enumerate(weights)) / weights.sum()
            assert row[place] == pytest.approx(expected, abs=1e-4)
    assert np.ptp(found) > 0.1


def test_a_language_model_keeps_the_contract(folder):
    few = dict(list(recordings().items())[2:5:2])
    trial = DescriberTrial(LLM(str(folder), windows=2), few)
    for clause in DESCRIBER_CLAUSES:
        clause(trial)


def test_a_description_is_greedy_and_counts_its_characters(folder):
    shown = recording([[0, 1, 1], [1, 1, 0]], [[0.0, 1.0, 1.0], [0.5, 1.0, 0.0]], PIECES)
    described = LLM(str(folder))(shown, shown)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(explanation_prompt(shown, 5))["input_ids"]
    ids = ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids
    start = len(ids)
    for _ in range(40):
        with torch.no_grad():
            ids.append(int(network(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    assert described.text == one_line(tokenizer.decode(ids[start:], skip_special_tokens=True))
    assert described.bits == 8 * len(described.text)
    assert described == LLM(str(folder))(shown, shown)


def test_a_model_is_loaded_once_and_not_before_it_is_needed(tmp_path):
    missing = spec.build("describer", f"llm({tmp_path}/nothing)").object
    with pytest.raises(UserError, match="no such folder"):
        missing.resolve()
    there = str(writer_folder(tmp_path / "there"))
    LLM(there).resolve()
    assert local_model(there, "float32") is local_model(there, "float32")
    assert local_model.cache_info().misses == 2


def test_a_prompt_that_is_too_long_is_a_sentence(tmp_path):
    shown = recording([[0, 1]], [[0.0, 1.0]], PIECES)
    describer = LLM(str(writer_folder(tmp_path / "short", context=64)))
    with pytest.raises(ValueError, match=r"the prompt has \d+ tokens and .* reads 64 less 40 for its answer; take"):
        describer(shown, shown)
    with pytest.raises(ValueError, match=r"the prompt has \d+ tokens and .* reads 64; take a model"):
        Explanation("cats", 32.0, describer.model).simulate(shown.windows)


def test_digits_that_are_no_single_tokens_are_a_sentence(tmp_path):
    describer = LLM(str(writer_folder(tmp_path / "letters", "letters")))
    with pytest.raises(UserError, match="has no single token for each digit; take another model") as caught:
        describer.resolve()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("model", ["conv-tiny", "conv-gpt2-tiny", "conv-gpt2-tiny(data=planted-grammar)"])
def test_named_models_that_will_not_do_are_a_sentence(model, tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    said = {"conv-tiny": "no causal language model", "conv-gpt2-tiny": "add data="}.get(model, "has not been trained")
    with pytest.raises(UserError, match=said):
        LLM(model).resolve()


def test_a_precision_that_is_not_known_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"dtype='float8' is not allowed; use float32"):
        LLM(str(writer_folder(tmp_path / "there")), dtype="float8").resolve()
