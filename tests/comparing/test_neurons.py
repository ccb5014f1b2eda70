"""Comparisons of neurons: describers in pairs, on the same ones; models not in pairs, for theirs are not the same."""

import pytest
from neuron_records import CRATE, DATA, GPT, neurons, run_of_neurons
from records import record, run_of

from faithbench.comparing.against import against_all
from faithbench.comparing.compare import comparison
from faithbench.errors import UserError

SCORES = [[float(i % 7) for i in range(20)]]


@pytest.fixture
def run(tmp_path):
    table = [[value + 5 + place % 2 for place, value in enumerate(SCORES[0])]]
    records = [*neurons(SCORES), *neurons(table, explainer="token_table(smoothing=1.0)")]
    return run_of_neurons(tmp_path / "run", [*records, *neurons(SCORES, model=GPT)])


def test_neurons_of_two_models_are_not_compared_in_pairs(run):
    with pytest.raises(UserError, match="not the same ones and cannot be compared in pairs"):
        comparison("crate-tiny", "gpt-relu-tiny", [run])


def test_texts_of_two_models_are_compared_beside_neurons(run, tmp_path):
    texts = [record(float(i), i, model=model) for model in (CRATE, GPT) for i in range(20)]
    found = comparison("crate-tiny", "gpt-relu-tiny", [run, run_of(tmp_path / "texts", texts)])
    assert {cell.pair.dataset for cell in found.cells} == {"planted"}


def test_two_describers_are_compared_on_the_same_neurons(run):
    told = comparison("token_table", "token_topk", [run]).render()
    assert "of 20 neurons" in told
    assert "over neurons" in told
    assert "text" not in told
    assert DATA in {cell.pair.dataset for cell in comparison("token_table", "token_topk", [run]).cells}


def test_a_describer_against_all_others_speaks_of_neurons(run):
    told = against_all("token_table", [run]).render()
    assert "over neurons" in told
    assert "n neurons" in told
