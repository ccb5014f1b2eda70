"""Controls of studies of neurons: what is expected, whether it held, and which are missing."""

import json

import numpy as np
import pytest
from neuron_records import CRATE, DATA, GPT, SCORE, neuron, neurons, run_of_neurons, unit
from records import record, run_of
from scipy import stats

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import label
from faithbench.tables.comparing_neurons import bare, gap_of, neurons_of, role_of
from faithbench.tables.controls import _inside, controls
from faithbench.tables.equal_density import density_frame
from faithbench.tables.markdown import markdown
from faithbench.tables.table import contents, render, table

PERMUTED, FITTED = f"permuted(score={SCORE!r}, seed=0)", f"fitted(score={SCORE!r})"
UNTRAINED, TOPK = f"untrained(model={CRATE!r}, seed=0)", f"topk(model={GPT!r}, k=8, site='')"


def drawn(mean, seed, n=60, **changes):
    values = mean + np.random.default_rng(seed).normal(0, 2, n)
    return neurons([list(map(float, values))], **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    records = [
        *drawn(60, 0),
        *drawn(0, 1, metric=PERMUTED),
        *drawn(63, 0, metric=FITTED),
        *drawn(20, 2, model=UNTRAINED),
        *drawn(40, 3, model=GPT),
        *drawn(5, 4, model=GPT, metric=PERMUTED),
        *drawn(41, 5, model=TOPK),
    ]
    density = {(r.model, r.unit): 0.1 + 0.001 * i for i, r in enumerate(drawn(0, 0))}
    density |= {(GPT, name): share for (_, name), share in density.items()}
    return run_of_neurons(tmp_path_factory.mktemp("runs") / "run", records, density)


def said(run):
    return markdown(controls([run]))


def test_models_are_known_by_what_they_are_made_of():
    assert role_of(UNTRAINED).base == role_of("untrained(crate-tiny(seed=7))").base == bare(CRATE)
    assert role_of(TOPK).control == "topk"
    assert role_of("runs/model").base == "runs/model"


def test_random_weights_are_compared_with_the_trained_model(run):
    told = said(run)
    assert "Random weights:" in told
    assert "this is shown in 1 of 1" in told
    assert "| 40." in told or "| 39." in told


def test_scores_of_permuted_activations_are_held_to_two_percent(run):
    told = said(run)
    assert "within ±2; it is in 1 of 2 (not in gpt-relu-tiny" in told


def test_the_leak_is_the_difference_of_the_same_neurons(run):
    dataset, found = next(neurons_of([run]))
    leak = found.more(bare(CRATE), FITTED, SCORE, "token_topk(k=20)")
    assert (leak.mean, leak.low, leak.high) == pytest.approx((3, 3, 3))
    assert dataset == DATA
    assert "It is shown to be above 0 in 1 of 1" in said(run)


def test_what_the_largest_activations_alone_make_is_said(run):
    assert "The k largest activations alone" in said(run)
    assert "topk(gpt-relu-tiny, k=8)" in said(run)


def test_a_control_is_compared_with_its_own_training_in_its_own_layers(tmp_path):
    other, latents = GPT.replace("seed=42", "seed=43"), f"sae(model={GPT!r}, layer=1)"
    records = [
        *neurons([[90, 91, 92], [40, 41, 42]], model=GPT),
        *neurons([[10, 11, 12], [20, 21, 22]], model=other),
        *(neuron(value, 1, number, model=latents) for number, value in enumerate((50, 51, 52))),
    ]
    _, found = next(neurons_of([run_of_neurons(tmp_path / "run", records)]))
    mine, theirs = found.beside_base(bare(latents), bare(GPT), SCORE, "token_topk(k=20)")
    assert mine["value"].tolist() == [50, 51, 52]
    assert theirs["value"].tolist() == [40, 41, 42]
    gap = gap_of(mine, theirs)
    assert (gap.mean, gap.n) == (10, 3)
    expected = stats.ttest_ind([50, 51, 52], [40, 41, 42], equal_var=False).confidence_interval()
    assert (gap.low, gap.high) == pytest.approx(tuple(expected))
    without = [each for each in records if each.model != GPT]  # the training that it is made of was not measured
    _, found = next(neurons_of([run_of_neurons(tmp_path / "less", without)]))
    assert found.beside_base(bare(latents), bare(GPT), SCORE, "token_topk(k=20)")[1]["value"].tolist() == [20, 21, 22]


def test_models_of_one_size_are_matched_by_density(run):
    _, found = next(neurons_of([run]))
    assert found.pairs() == [(bare(CRATE), bare(GPT))]
    gap = found.matched_gap(bare(CRATE), bare(GPT), SCORE, "token_topk(k=20)")
    assert gap.n == 60
    assert gap.low < 20 < gap.high
    told = said(run)
    assert "of 1 difference shown of all neurons, 1 shown in pairs" in told
    assert "by decile of density" in told


def test_controls_that_are_missing_are_named_with_the_cure(run, tmp_path):
    assert """do not have: sparse autoencoder (--model 'sae(crate-tiny)')""" in said(run)
    bare_run = run_of_neurons(tmp_path / "run", neurons([(1, 2, 3)]))
    told = said(bare_run)
    assert f"--metric 'permuted({label('metric', SCORE)})'" in told
    assert "--model 'untrained(crate-tiny)'" in told


@pytest.mark.parametrize("model", ["crate-2l(data='corpus(of=a + b)')", "./folder", "a 'folder', with (signs"])
def test_a_model_within_another_is_read_as_it_stands(model):
    name, args, parameters = spec.parse(f"untrained({_inside(model)})")
    assert (name, args, parameters) == ("untrained", [model], {})


def test_without_densities_it_is_said_what_is_not_known(tmp_path):
    folder = run_of_neurons(tmp_path / "run", neurons([(1, 2, 3)]))
    (folder / "neurons" / "1.parquet").unlink()
    assert "do not say how often each neuron fires" in said(folder)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Two models, two scores and three describers, by which each neuron has the same value."""
    records = [
        record
        for model, mean in ((CRATE, 60), (GPT, 40))
        for metric in (SCORE, "full(form=pearson)")
        for describer in ("ngram(most=4)", "token_table()", "token_topk(k=20)")
        for record in drawn(mean, 0, model=model, metric=metric, explainer=describer)
    ]
    density = {(r.model, r.unit): 0.1 + 0.001 * int(r.unit.split(":")[1]) for r in records}
    return run_of_neurons(tmp_path_factory.mktemp("runs") / "run", records, density)


def test_density_is_told_by_the_leading_score_alone_and_in_deciles_of_one_describer(several):
    told = said(several)
    assert [line for line in told.splitlines() if "by decile" in line] == [
        f"*by decile of density: {label('metric', SCORE)}, token_topk*"
    ]
    assert told.count("20.0 ± ") == 2 * 3  # of all neurons and of pairs, by describer
    assert "add --by density" in told
    assert f"permuted({label('metric', SCORE)})" in told


def test_by_density_all_scores_and_describers_are_told(several):
    told = render([several], by_density=True)
    assert told.count("by decile of density") == 2 * 3
    assert told.count("20.0 ± ") == 2 * 2 * 3
    assert "crate-tiny − gpt-relu-tiny, of all neurons" in told


def test_deciles_as_numbers_are_means_of_the_neurons_between_two_densities(several):
    frame = density_frame([several])
    assert len(frame) == 10 * 2 * 2 * 3
    assert frame.groupby(["model", "metric", "explainer"])["n"].sum().unique().tolist() == [60]
    values = np.array([r.value for r in drawn(60, 0)])
    density = 0.1 + 0.001 * np.arange(60)
    for _, row in frame[frame["model"] == bare(CRATE)].iterrows():
        inside = (density > row["above"]) & (density <= row["up_to"])
        assert row["n"] == inside.sum()
        assert row["mean"] == pytest.approx(values[inside].mean())
    assert render([several], "csv", by_density=True).startswith("dataset,model,metric,explainer,decile,above,up_to")


def test_there_is_no_density_of_texts(tmp_path):
    texts = run_of(tmp_path / "texts", [record(float(i), i) for i in range(4)])
    with pytest.raises(UserError, match="hold no neurons, so there is no density to show"):
        render([texts], by_density=True)


def test_the_table_of_a_run_has_its_controls(run):
    assert "**Controls**" in render([run])
    assert "**Controls**" in render([run], by_layer=True)
    assert contents([run]).controls


def test_neurons_are_those_of_their_model(run):
    _, found = next(neurons_of([run]))
    own = found.of(bare(GPT), SCORE, "token_topk(k=20)")
    assert set(own["unit"]) == {unit(0, number) for number in range(60)}
    assert found.bases == [bare(CRATE), bare(GPT)]


ABLATION = "ablation(windows=40, seed=0)"
WEIGHED = {CRATE: [(90.0, 3.0), (-900.0, 0.1), (60.0, 1.0)], GPT: [(10.0, 1.0), (-30.0, 3.0), (20.0, 1.0)]}


def test_scores_that_have_weights_are_compared_by_the_means_of_the_table(tmp_path):
    records = [
        neuron(value, 0, number, model=model, metric=ABLATION, weight=weight)
        for model, own in WEIGHED.items()
        for number, (value, weight) in enumerate(own)
    ]
    folder = run_of_neurons(tmp_path / "run", records)
    means = {
        model: sum(value * weight for value, weight in own) / sum(weight for _, weight in own)
        for model, own in WEIGHED.items()
    }
    frame = table([folder]).set_index("model")["mean"]
    assert dict(frame) == pytest.approx(means)
    _, found = next(neurons_of([folder]))
    place = ABLATION, "token_topk(k=20)"
    for gap in (found.gap, found.matched_gap):
        assert gap(bare(CRATE), bare(GPT), *place).mean == pytest.approx(means[CRATE] - means[GPT])
    assert found.mean(bare(CRATE), *place).mean == pytest.approx(means[CRATE])


def test_the_loss_that_a_sparse_autoencoder_recovers_stands_beside_its_scores(tmp_path):
    sae = f"sae(model={GPT!r}, layer=1)"
    folder = run_of_neurons(tmp_path / "run", [*drawn(40, 3, model=GPT), *drawn(41, 5, model=sae)])
    manifest = json.loads((folder / "manifest.json").read_text())
    name = next(name for name in manifest["models"] if name.startswith("sae("))
    manifest["models"][name]["training"] = {"validation": {"loss_recovered": 98.69, "l0": 74.93}}  # as trainings say it
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "98.7 %, L0 74.9." in said(folder)
