"""A study of neurons as a whole run: what is written, that it goes on where it was stopped, and writes the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures_run import DATA as PLANTED
from fixtures_run import TRAINING, trained_cache, use_cache
from language_models import tokenizer
from scipy import stats
from white_box import crate

import faithbench
from faithbench.activations import reason
from faithbench.models.crate import CrateForCausalLM
from faithbench.neurons.corpus import EVALUATE, part_of
from faithbench.plugins.naming import build_dataset
from faithbench.records.neuron_parts import read_neurons
from faithbench.running.neuron_cost import extrapolated

TEXTS = "planted-grammar(train=150, validation=5, test=5)"
DATA = f"neurons({TEXTS}, window=4, per_layer=3)"
SCORES = ("full", "random_only(windows=20)", "permuted(full)", "fitted(full)", "ablation(windows=2)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A CRATE with random weights in a folder, of a vocabulary of its own."""
    folder, words = tmp_path_factory.mktemp("models") / "crate", tokenizer("GPT2")
    torch.manual_seed(0)
    crate(vocab_size=len(words), max_position_embeddings=128).float().save_pretrained(folder)
    words.save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, tmp_path_factory.mktemp("cache"))
        yield f"lm({folder})"


def plan_of(model: str, **options: object) -> faithbench.Plan:
    return faithbench.Plan(**{"datasets": (DATA,), "models": (model,), **OWN, **options})


OWN = {"explainers": ("token_table", "constant"), "metrics": SCORES}


@pytest.fixture(scope="module")
def run(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faithbench.run(plan_of(model), tmp_path_factory.mktemp("runs") / "run", device="cpu").folder


def kept(folder: Path, kind: str) -> pd.DataFrame:
    """What a folder holds of a kind, without what depends on the clock, in an order of its own."""
    found = pd.concat([pd.read_parquet(part) for part in sorted((folder / kind).glob("*.parquet"))]).rename(
        columns={"text_id": "unit"}
    )
    order = [name for name in ("model", "explainer", "metric", "unit") if name in found]
    return found.drop(columns="seconds", errors="ignore").sort_values(order, ignore_index=True)


def test_each_neuron_has_a_record_of_each_describer_and_score(run: Path):
    found = kept(run, "records")
    assert len(found) == 2 * 3 * 2 * len(SCORES)
    assert found["error"].isna().all()
    assert set(found["target"]) == {0, 1}
    assert {unit.partition(":")[0] for unit in found["unit"]} == {f"model.layers.{i}.mlp.act" for i in (0, 1)}
    constant = found[found["explainer"].str.startswith("constant") & ~found["metric"].str.startswith("ablation")]
    assert constant["value"].isna().all()
    assert {reason(parts) for parts in constant["parts"]} <= {"simulation constant", "activations constant"}


def test_the_score_of_a_table_is_that_of_a_loop_over_the_documents_that_are_scored(run: Path, model: str):
    """From the model in the folder on, with nothing of the run but which neurons it drew."""
    network, words = CrateForCausalLM.from_pretrained(model[3:-1]).eval(), tokenizer("GPT2")
    sums: dict[str, dict[int, list[float]]] = {}
    scored: dict[str, list[tuple[int, float]]] = {}
    caught: dict[int, torch.Tensor] = {}
    for layer, block in enumerate(network.model.layers):
        block.mlp.act.register_forward_hook(lambda module, inputs, given, layer=layer: caught.update({layer: given[0]}))
    found = kept(run, "records")
    units = sorted(set(found["unit"]))
    for example in build_dataset(TEXTS).object.load("train"):
        ids = words(example.text)["input_ids"]
        with torch.no_grad():
            network(input_ids=torch.tensor([ids]))
        seen = len(ids) // 4 * 4
        for unit in units:
            layer, number = int(unit.split(".")[2]), int(unit.rpartition(":")[2])
            values = caught[layer][:seen, number].half().double().tolist()
            part = part_of(example.text)
            for token, value in zip(ids[:seen], values, strict=True):
                if part == 0:
                    sums.setdefault(unit, {}).setdefault(token, []).append(value)
                elif part == EVALUATE:
                    scored.setdefault(unit, []).append((token, value))
    one = found[found["explainer"].str.startswith("token_table") & found["metric"].str.startswith("full(")]
    for unit, value in zip(one["unit"], one["value"], strict=True):
        every = [each for values in sums[unit].values() for each in values]
        mean = float(np.mean(every))
        table = {token: (sum(values) + mean) / (len(values) + 1) for token, values in sums[unit].items()}
        simulated = [table.get(token, mean) for token, _ in scored[unit]]
        actual = [each for _, each in scored[unit]]
        if len(set(actual)) > 1:
            assert value == pytest.approx(100 * stats.pearsonr(actual, simulated).statistic, abs=1e-9)
        else:
            assert np.isnan(value)


def test_two_runs_have_the_same_bits(run: Path, model: str, tmp_path: Path):
    other = faithbench.run(plan_of(model), tmp_path / "other", device="cpu").folder
    for kind in ("records", "neurons", "descriptions"):
        one, two = kept(run, kind), kept(other, kind)
        assert len(one)
        assert one.to_json(double_precision=15) == two.to_json(double_precision=15)
        for name in one.select_dtypes("number"):
            assert one[name].to_numpy().tobytes() == two[name].to_numpy().tobytes()


def test_what_was_stopped_goes_on_and_ends_the_same(run: Path, model: str, tmp_path: Path):
    out = tmp_path / "parts"
    first = faithbench.run(plan_of(model, explainers=("constant",), limit=2), out, device="cpu")
    rest = faithbench.run(plan_of(model), out, device="cpu")
    assert first.done == 2 * len(SCORES)
    assert rest.done == 2 * 3 * 2 * len(SCORES) - first.done
    assert faithbench.run(plan_of(model), out, device="cpu").done == 0
    for kind in ("records", "neurons", "descriptions"):
        pd.testing.assert_frame_equal(kept(run, kind), kept(out, kind), check_exact=True)


def test_descriptions_and_windows_are_kept_and_the_manifest_says_what_was_read(run: Path):
    manifest = json.loads((run / "manifest.json").read_text())
    (entry,) = manifest["models"].values()
    units = entry["units"]
    assert [site["chosen"] for site in units["sites"]] == [3, 3]
    assert all(0 <= site["alive"] <= 3 for site in units["sites"])
    assert all(site["density"] == pytest.approx(site["l0"] / site["units"]) for site in units["sites"])
    assert units["loss"] > 0
    found = kept(run, "records").iloc[0]
    key = {name: found[name] for name in ("dataset", "dataset_fingerprint", "model", "model_fingerprint")}
    neurons = read_neurons([run]).of(key)
    assert len(neurons) == 6
    texts = {example.id: example.text for example in build_dataset(TEXTS).object.load("train")}
    for neuron in neurons.values():
        for window in neuron.windows:
            assert part_of(texts[window.document]) == EVALUATE
            assert "".join(window.tokens).strip() in texts[window.document]


def test_neurons_of_a_classifier_are_studied_too_but_not_asked_for_next_words(tmp_path: Path, monkeypatch):
    use_cache(monkeypatch, trained_cache())
    plan = faithbench.Plan(
        (f"neurons({PLANTED}, window=4, per_layer=2)",),
        ("conv-tiny", "bcos-tiny"),
        ("token_topk",),
        ("full", "ablation(windows=2)"),
        training=TRAINING,
    )
    found = kept(faithbench.run(plan, tmp_path / "run", device="cpu").folder, "records")
    asked = found["metric"].str.startswith("ablation")
    assert found[~asked]["error"].isna().all()
    assert found[asked]["error"].str.contains("says no next tokens").all()
    assert found["model"].nunique() == 2


def test_the_cost_of_a_study_is_told_before_and_nothing_is_left_after(run: Path, model: str, tmp_path: Path):
    found = faithbench.cost(plan_of(model), tmp_path / "none", device="cpu")
    (block,) = found.blocks
    assert (block.texts, block.todo, block.before, block.unit) == (6, 6 * 2 * len(SCORES), 0, "neuron")
    assert block.seconds > 0
    assert set(block.calibration.explainers) == {"token_table", "constant"}
    whole = json.loads((run / "manifest.json").read_text())["models"]
    (units,) = (entry["units"] for entry in whole.values())
    assert f"{units['documents']:,} of 150 documents" in block.said[0]
    assert f"{units['tokens']:,} tokens in windows of 4" in block.said[0]
    assert f"{6 * units['tokens'] * 2 / 1e6:,.1f} MB" in block.said[0]
    assert not (tmp_path / "none").exists()
    (done,) = faithbench.cost(plan_of(model), run, device="cpu").blocks
    assert (done.todo, done.before, done.seconds) == (0, 6 * 2 * len(SCORES), None)


@pytest.mark.parametrize(
    ("seconds", "fewer", "half", "found"),
    [
        (2.0, 2.0, 10, 2.0),  # costs as much whatever there is to read
        (2.0, 1.0, 10, 20.0),  # in proportion
        (2.0, 1.5, 10, 11.0),  # half of it in proportion
        (2.0, 2.5, 10, 2.0),  # a trial that was held up
        (2.0, 0.1, 10, 20.0),  # the other one
        (2.0, 2.0, 20, 20.0),  # one trial alone
    ],
)
def test_what_all_documents_cost_is_told_from_two_trials(seconds, fewer, half, found):
    assert extrapolated(seconds, fewer, 200, 20, half) == pytest.approx(found)
