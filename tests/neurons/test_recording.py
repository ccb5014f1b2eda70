"""Activations of neurons in windows: as computed by hand, one document at a time; in bounded memory and batches."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from documents import documents, white_box
from language_models import language_model, shared_language_model
from networks import shared_generic
from torch.nn.functional import linear, relu

from faithbench.errors import UserError
from faithbench.neurons.corpus import EVALUATE, PARTS, read_corpus
from faithbench.neurons.disk import Shelf, shelf
from faithbench.neurons.reader import Reader
from faithbench.neurons.recording import choose_units, record
from faithbench.neurons.showing import shown_windows

TEXTS = documents(60)
HALF = {"rtol": 2**-11, "atol": 1e-7}  # what rounding to half precision may do


def read(model, window=4, texts=TEXTS):
    return read_corpus(texts, model.tokenizer, model.max_length, window)


def by_hand(model, kind, ids):
    """The hidden units of all layers for one document, from its hidden states."""
    body = model.model.base_model
    with torch.inference_mode():
        if kind == "GPT2":
            inputs = [None] * 2
            states = model.model(input_ids=ids, output_hidden_states=True).hidden_states
            for layer, block in enumerate(body.h):
                middle = states[layer] + block.attn(block.ln_1(states[layer]))[0]
                inputs[layer] = block.mlp.act(block.mlp.c_fc(block.ln_2(middle)))
            return inputs
        if kind == "Bert":
            states = model.model(input_ids=ids, output_hidden_states=True).hidden_states
            return [
                torch.nn.functional.gelu(
                    linear(
                        layer.attention(states[place])[0],
                        layer.intermediate.dense.weight,
                        layer.intermediate.dense.bias,
                    )
                )
                for place, layer in enumerate(body.encoder.layer)
            ]
        states = model.model(input_ids=ids, output_hidden_states=True).hidden_states
        codes = []
        for place, layer in enumerate(body.layers):
            middle = layer.mlp_norm(states[place] + layer.attention(layer.attention_norm(states[place]), None, None)[0])
            dictionary, step, threshold = layer.mlp.dictionary, layer.mlp.step_size, layer.mlp.threshold
            first = relu(step * middle @ dictionary - threshold)
            codes.append(relu(first - step * (first @ dictionary.T - middle) @ dictionary - threshold))
        return codes


MODELS = {
    "GPT2": lambda: shared_language_model("GPT2"),
    "Bert": lambda: shared_generic("Bert"),
    "crate": lambda: white_box("crate"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_activations_are_those_computed_by_hand_one_document_at_a_time(kind):
    model = MODELS[kind]()
    corpus, units = read(model), choose_units(model.model, per_layer=7)
    with record(model, corpus, units) as activations:
        rows = np.stack([activations.values.row(place) for place in range(len(units))])
    assert activations.values.kind == np.float16
    for number, example in enumerate(TEXTS):
        ids = model.tokenizer(example.text, return_tensors="pt")["input_ids"]
        layers = by_hand(model, kind, ids)
        for window in np.flatnonzero(corpus.windows.documents == number):
            start = corpus.places[window, 1]
            expected = [layers[unit.site.layer][0, start : start + 4, unit.number].numpy() for unit in units]
            np.testing.assert_allclose(rows[:, window], expected, **HALF)


def test_a_neuron_has_the_windows_of_its_part_alone():
    model = white_box("crate")
    corpus, units = read(model), choose_units(model.model, per_layer=3)
    with record(model, corpus, units) as activations:
        neuron, row = activations.neuron(4), activations.values.row(4)
    assert neuron.unit == units[4].name == f"model.layers.1.mlp.act:{units[4].number}"
    assert (neuron.layer, neuron.number) == (1, units[4].number)
    for part, name in enumerate(PARTS):
        recording = getattr(neuron, name)
        np.testing.assert_array_equal(recording.activations, row[corpus.part == part])
        np.testing.assert_array_equal(recording.windows.ids, corpus.windows.ids[corpus.part == part])
        np.testing.assert_array_equal(recording.windows.places, corpus.places[corpus.part == part])


@pytest.mark.parametrize("kind", MODELS)
def test_the_batch_is_no_matter(kind, monkeypatch):
    model = MODELS[kind]()
    corpus, units = read(model), choose_units(model.model, per_layer=5)
    rows, activities = [], []
    for tokens in (1, 10_000):
        monkeypatch.setattr(model, "batch_tokens", tokens)
        with record(model, corpus, units) as activations:
            rows.append(np.stack([activations.values.row(place) for place in range(len(units))]))
            activities.append(activations.activity())
    np.testing.assert_allclose(rows[0], rows[1], **HALF)
    assert activities[0].sites == activities[1].sites
    assert activities[0].loss == (None if kind == "Bert" else pytest.approx(activities[1].loss, rel=1e-9))


@pytest.mark.parametrize("kind", MODELS)
def test_numbers_of_all_units_are_those_of_all_activations_at_once(kind):
    model = MODELS[kind]()
    corpus, every = read(model), choose_units(model.model)
    chosen = choose_units(model.model, per_layer=6)
    with record(model, corpus, every) as all_of_them:
        scored = np.stack([all_of_them.values.row(place)[corpus.part == EVALUATE] for place in range(len(every))])
    with record(model, corpus, chosen[:2], chosen) as activations:
        activity = activations.activity(chosen)
        told = [activations.unit(place) for place in range(2)]
    assert (activity.documents, activity.tokens) == (len(np.unique(corpus.windows.documents)), corpus.windows.ids.size)
    flat = scored.reshape(len(every), -1).astype(np.float64)
    for site in activity.sites:
        own = [place for place, unit in enumerate(every) if unit.site.name == site.name]
        mine = [every.index(unit) for unit in chosen if unit.site.name == site.name]
        assert (site.units, site.chosen) == (len(own), 6)
        assert site.l0 == pytest.approx((flat[own] > 0).sum(0).mean())
        assert site.density == pytest.approx((flat[own] > 0).mean())
        assert site.alive == (flat[mine] > 0).any(1).sum()
    for unit, numbers in zip(chosen, told, strict=False):
        row = flat[every.index(unit)]
        assert numbers.density == (row > 0).mean()
        assert (numbers.mean, numbers.deviation, numbers.largest) == pytest.approx(
            (row.mean(), row.std(), row.max()), rel=1e-3, abs=1e-6
        )


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_the_loss_is_that_of_the_tokens_behind_those_of_evaluate_windows(kind):
    model, texts = shared_language_model(kind), documents(60, 4, 8)
    corpus = read(model, texts=texts)
    with record(model, corpus, choose_units(model.model, per_layer=1)) as activations:
        loss = activations.activity().loss
    losses = []
    for number, example in enumerate(texts):
        ids = model.tokenizer(example.text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logs = model.model(input_ids=ids).logits[0].log_softmax(-1)
        windows = np.flatnonzero((corpus.windows.documents == number) & (corpus.part == EVALUATE))
        places = [place for start in corpus.places[windows, 1] for place in range(start, start + 4)]
        behind = [(place, ids[0, place + 1]) for place in places if place + 1 < ids.shape[1]]
        special = model.tokenizer.all_special_ids
        losses += [-float(logs[place, after]) for place, after in behind if int(after) not in special]
    assert loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_a_language_model_whose_head_is_not_known_is_read_too(monkeypatch):
    model = language_model("GPT2")
    corpus, units = read(model), choose_units(model.model, per_layer=1)
    with record(model, corpus, units) as usual:
        expected, row = usual.activity().loss, usual.values.row(0)
    monkeypatch.setattr(model, "head", None)
    with record(model, corpus, units) as activations:
        assert activations.activity().loss == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(activations.values.row(0), row, **HALF)


def test_full_memory_halves_the_batch_and_one_row_that_is_too_large_is_said(monkeypatch):
    model, sizes = language_model("GPT2"), []
    corpus, units = read(model), choose_units(model.model, per_layer=2)
    with record(model, corpus, units) as usual:
        expected = usual.values.row(1)
    states = model.states

    def limited(ids):
        sizes.append(len(ids))
        if len(ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return states(ids)

    monkeypatch.setattr(model, "states", limited)
    monkeypatch.setattr(model, "batch_tokens", 10_000)
    most = 1
    with record(model, corpus, units) as activations:
        np.testing.assert_allclose(activations.values.row(1), expected, **HALF)
    assert all(after <= before for before, after in pairwise(sizes) if before > most)
    most = 0
    with pytest.raises(UserError, match="memory is full with one row of"), record(model, corpus, units):
        pass


def test_values_above_what_half_precision_holds_are_kept_in_single_precision():
    model, said = language_model("GPT2"), []
    corpus, units = read(model), choose_units(model.model, r"h\.0\.mlp\.act", 4)
    with record(model, corpus, units) as activations:
        usual = activations.values.row(2)
    with torch.no_grad():
        model.model.transformer.h[0].mlp.act.register_forward_hook(lambda module, args, output: 1e7 * output)
    with record(model, corpus, units, say=said.append) as activations:
        large = activations.values.row(2)
        assert activations.neuron(2).fit.activations.dtype == np.float64
        assert activations.values.kind == np.float32
    np.testing.assert_allclose(large, 1e7 * usual, rtol=2**-11, atol=1)
    assert said == ["some activations are above 65,504, and all are kept in single precision."]


def test_what_is_no_number_is_refused():
    model = language_model("GPT2")
    model.model.transformer.h[0].mlp.act.register_forward_hook(lambda module, args, output: output * torch.nan)
    with (
        pytest.raises(UserError, match="activations that are no numbers"),
        record(model, read(model), choose_units(model.model, r"h\.0\.mlp\.act", 4)),
    ):
        pass


def test_a_module_that_documents_do_not_reach_is_named():
    model = language_model("GPT2")
    with (
        pytest.raises(UserError, match="module 'lm_head' takes no part"),
        record(model, read(model), choose_units(model.model, "lm_head", 4)),
    ):
        pass


def test_a_model_that_lets_nobody_look_inside_is_refused():
    class Closed:
        model = tokenizer = None

    with pytest.raises(UserError, match="Closed has no attribute 'device' and lets nobody see its neurons"):
        Reader(Closed())


def test_units_are_drawn_by_the_seed_and_fewer_are_of_the_same_draw():
    model = white_box("crate").model
    names = [
        [unit.name for unit in choose_units(model, per_layer=n, seed=s)] for n, s in ((5, 0), (5, 0), (3, 0), (5, 1))
    ]
    assert names[0] == names[1] != names[3]
    assert set(names[2]) < set(names[0])
    assert len(choose_units(model)) == 96


def test_a_shelf_gives_rows_of_what_was_put_there(monkeypatch, tmp_path):
    monkeypatch.setattr("faithbench.neurons.disk.BLOCK", 100)
    values = np.random.default_rng(0).normal(size=(3, 17, 4)).astype(np.float32)
    with shelf(tmp_path, 3, 17, 4, np.float32) as kept:
        for start in range(0, 17, 3):
            kept.append(values[:, start : start + 3])
        np.testing.assert_array_equal(kept.row(1, 4, 12), values[1, 4:12])
        assert list(tmp_path.iterdir()) == []  # nothing is left, however the process ends
        for unit in (2, 0, 1):
            np.testing.assert_array_equal(kept.row(unit), values[unit])
    assert isinstance(kept, Shelf)


def test_too_little_room_is_said_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match="take fewer neurons"), shelf(tmp_path, 10**6, 10**6, 64, np.float16):
        pass


def test_more_than_a_gigabyte_is_said(monkeypatch, tmp_path):
    model, said = white_box("crate"), []
    monkeypatch.setattr("faithbench.neurons.recording.SAID_BYTES", 1e3)
    with record(model, read(model), choose_units(model.model, per_layer=3), folder=tmp_path, say=said.append):
        pass
    assert said == [f"activations take 0.0 GB in {tmp_path} while this runs."]


def test_windows_that_are_shown_are_of_a_document_each():
    model = white_box("crate")
    corpus = read(model)
    with record(model, corpus, choose_units(model.model, per_layer=1)) as activations:
        neuron = activations.neuron(1)
    peaks, numbers = neuron.evaluate.activations.max(1), neuron.evaluate.windows.documents
    best = {number: peaks[numbers == number].max() for number in numbers}
    top = neuron.evaluate.strongest(5)
    assert peaks[top].tolist() == sorted(best.values(), reverse=True)[:5]
    places, kinds = shown_windows(neuron)
    assert kinds == ("top",) * 5 + ("random",) * 5
    assert places[:5].tolist() == top.tolist()
    assert len(set(numbers[places])) == 10
