"""How far next-token distributions move when a neuron is overwritten: against a slow computation, window by window."""

import numpy as np
import pytest
import torch
from documents import documents, white_box
from language_models import shared_language_model
from networks import shared_generic
from scipy.spatial.distance import jensenshannon

from faithbench.activations import Overwritten, Windows
from faithbench.errors import QuestionError
from faithbench.neurons.answering import answer
from faithbench.neurons.corpus import read_corpus
from faithbench.neurons.recording import choose_units, record

TEXTS = documents(50, 8, 14)
MODELS = {
    "crate": lambda: white_box("crate"),
    "GPT2": lambda: shared_language_model("GPT2"),
    "Llama": lambda: shared_language_model("Llama"),
}


def slowly(model, unit, ids, start, values):
    """Divergences at the tokens of one window, where the whole piece is read."""
    module, tokens = model.model.get_submodule(unit.site.module), slice(start, start + len(values))

    def change(units):
        units = units.clone()
        units[0, tokens, unit.number] = torch.tensor(values)
        return units

    def chances():
        with torch.inference_mode():
            return model.model(input_ids=torch.tensor(ids.astype(int))[None]).logits[0, tokens].softmax(-1).numpy()

    own = chances()
    if unit.site.reads:
        handle = module.register_forward_pre_hook(lambda module, args: (change(args[0]),))
    else:
        handle = module.register_forward_hook(lambda module, args, output: change(output))
    moved = chances()
    handle.remove()
    return np.array([jensenshannon(one, other) ** 2 for one, other in zip(own, moved, strict=True)])


@pytest.mark.parametrize("kind", MODELS)
def test_the_answer_is_that_of_a_slow_computation(kind):
    model = MODELS[kind]()
    corpus, units = read_corpus(TEXTS, model.tokenizer, model.max_length, 4), choose_units(model.model, per_layer=2)
    with record(model, corpus, units) as activations:
        for place in (0, 3):
            scored = activations.neuron(place).evaluate.take(np.array([0, 5, 3, 1]))
            values = np.random.default_rng(place).normal(size=scored.activations.shape) * 3
            told = answer(activations, place, Overwritten(scored.windows, values))
            for row, (piece, start) in enumerate(scored.windows.places):
                expected = slowly(model, units[place], corpus.piece(piece), start, values[row])
                np.testing.assert_allclose(told[row], expected, rtol=1e-6, atol=1e-12)
            assert told.max() > 1e-6
            short = scored.cut(np.array([2, 0]), np.array([1, 2]), 2)
            told = answer(activations, place, Overwritten(short.windows, values[:2, :2]))
            for row, (piece, start) in enumerate(short.windows.places):
                expected = slowly(model, units[place], corpus.piece(piece), start, values[row, :2])
                np.testing.assert_allclose(told[row], expected, rtol=1e-6, atol=1e-12)


def test_its_own_values_move_nothing_and_no_window_depends_on_others():
    model = white_box("crate")
    corpus, units = read_corpus(TEXTS, model.tokenizer, model.max_length, 4), choose_units(model.model, per_layer=2)
    with record(model, corpus, units) as activations:
        scored = activations.neuron(1).evaluate
        own = answer(activations, 1, Overwritten(scored.windows, scored.activations))
        assert own.max() < 1e-8  # activations were rounded
        values = np.full(scored.activations.shape, 2.0)
        whole = answer(activations, 1, Overwritten(scored.windows, values))
        assert 1e-6 < whole.max() < np.log(2)
        for window in (0, 4, 7):
            only = np.array([window])
            alone = answer(activations, 1, Overwritten(scored.windows.take(only), values[only]))
            np.testing.assert_allclose(alone, whole[only], rtol=1e-9)
        twice = np.array([4, 4])
        again = answer(activations, 1, Overwritten(scored.windows.take(twice), values[twice]))
        np.testing.assert_allclose(again, whole[twice], rtol=1e-9)


def test_states_that_are_kept_are_few(monkeypatch):
    model = white_box("crate")
    corpus, units = read_corpus(TEXTS, model.tokenizer, model.max_length, 4), choose_units(model.model, per_layer=2)
    monkeypatch.setattr("faithbench.neurons.answering.KEPT", 10_000)
    monkeypatch.setattr(model, "batch_tokens", 40)
    with record(model, corpus, units) as activations:
        scored = activations.neuron(0).evaluate
        question = Overwritten(scored.windows, scored.activations + 1)
        first, second = answer(activations, 0, question), answer(activations, 0, question)
        assert sum(each.nbytes for each in activations.kept.values()) < 20_000
    np.testing.assert_array_equal(first, second)


def test_questions_that_cannot_be_answered_are_refused():
    model = shared_generic("Bert")
    corpus, units = read_corpus(TEXTS, model.tokenizer, model.max_length, 4), choose_units(model.model, per_layer=1)
    with record(model, corpus, units) as activations:
        scored = activations.neuron(0).evaluate
        with pytest.raises(QuestionError, match="BertForSequenceClassification says no next tokens"):
            answer(activations, 0, Overwritten(scored.windows, scored.activations))
    model = white_box("crate")
    corpus, units = read_corpus(TEXTS, model.tokenizer, model.max_length, 4), choose_units(model.model, per_layer=1)
    with record(model, corpus, units) as activations:
        scored = activations.neuron(0).evaluate
        with pytest.raises(QuestionError, match="do not fit windows"):
            answer(activations, 0, Overwritten(scored.windows, scored.activations[:, :2]))
        with pytest.raises(QuestionError, match="no finite numbers"):
            answer(activations, 0, Overwritten(scored.windows, scored.activations * np.nan))
        lost = Windows(scored.windows.ids, scored.windows.documents, scored.windows.following, scored.windows.pieces)
        with pytest.raises(QuestionError, match="they have no places"):
            answer(activations, 0, Overwritten(lost, scored.activations))
