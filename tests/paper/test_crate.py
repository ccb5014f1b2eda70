"""Table 2 of arXiv 2410.16443: the published one recomputed from its layers, and ours from records by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from records import record, run_of

from faithbench.errors import UserError
from faithbench.paper.crate import crate_table, over_layers, published_layers, published_losses, published_table
from faithbench.paper.fill_table import paper_table
from faithbench.paper.published import number

DATA = "neurons(dataset=planted-grammar)"
READ = {"documents": 10, "tokens": 640, "sites": []}
OTHER = "neurons(dataset=standard_ebooks)"
SCORE = "random_only(windows=200, seed=0)"
LAYERS = {"crate-6l(seed=42)": (1, 2, 3, 4, 5, 60), "gpt-relu-6l(seed=42)": (9, 1, 1, 1, 3, 0)}


def of_layers(model, scores, **changes):
    """Four neurons a layer, whose mean is the layer's score."""
    names = {"dataset": DATA, "model": model, "explainer": "token_topk(k=20)", "metric": SCORE, **changes}
    return [
        record(score + off, 0, unit=f"l.{layer}:{place}", target=layer, **names)
        for layer, score in enumerate(scores)
        for place, off in enumerate((-1.0, 1.0, -2.0, 2.0))
    ]


@pytest.fixture
def run(tmp_path):
    return run_of(tmp_path / "run", [one for pair in LAYERS.items() for one in of_layers(*pair)])


def scores_of(family, layers, metric):
    every = published_layers()
    names = zip(("model", "layers", "metric"), (family, layers, metric), strict=True)
    for name, value in names:
        every = every[every[name] == value]
    return every.sort_values("layer")["score"].to_numpy()


def test_the_published_table_is_that_of_its_layers_without_the_last_of_six_or_more():
    """All 30 means and 30 variances come out within rounding: to two decimals, variances divided by the layers."""
    cells = published_table()
    assert len(cells) == 30
    for row in cells.to_dict("records"):
        found = over_layers(scores_of(row["family"], row["layers"], row["metric"]))
        assert found.mean == pytest.approx(number(row["mean"]), abs=0.0051), row
        assert found.variance == pytest.approx(number(row["variance"]), abs=0.0051), row


def test_with_the_last_layer_the_comparison_of_quantile_at_twelve_layers_flips():
    crate, gpt = (over_layers(scores_of(family, 12, "quantile"), drop_last=False) for family in ("crate", "gpt2"))
    assert (round(crate.mean, 2), round(gpt.mean, 2)) == (8.19, 8.38)
    left_out = [over_layers(scores_of(family, 12, "quantile")).mean for family in ("crate", "gpt2")]
    assert left_out[0] > left_out[1]


def test_gpt_is_ahead_in_the_first_layer_and_where_there_is_but_one():
    for metric in ("top_and_random", "random_only", "quantile"):
        for layers in (1, 6, 12):
            assert scores_of("gpt2", layers, metric)[0] > scores_of("crate", layers, metric)[0]


def test_losses_are_those_that_are_printed():
    assert published_losses()["crate", 1] == "4.06"
    assert published_losses()["gpt2", 12] == "2.13"


@pytest.mark.parametrize(("drop_last", "mean", "variance"), [(True, 3.0, 2.0), (False, 12.5, 452.92)])
def test_means_and_variances_over_layers_with_the_last_and_without(run, drop_last, mean, variance):
    found = crate_table([run], drop_last).frame(beside_paper=True).set_index("family")
    crate = found.loc["crate"]
    assert (crate["mean"], crate["last"], crate["layers"]) == (pytest.approx(mean), 60.0, 6)
    assert crate["variance"] == pytest.approx(variance, abs=0.01)
    assert crate["n"] == (20 if drop_last else 24)
    assert crate["low"] < mean < crate["high"]
    assert found.loc["gpt2", "published_mean"] == 3.14


def test_the_interval_is_that_of_neurons_drawn_within_layers(run):
    crate = crate_table([run]).frame().set_index("family").loc["crate"]
    error = np.sqrt((10 / 3) / 4 / 5)  # of a layer's mean s²/4, of five layers' mean a fifth of that
    assert (crate["high"] - crate["low"]) / 2 == pytest.approx(1.96 * error, rel=0.25)


def test_trainings_count_alike_and_undefined_neurons_are_counted(tmp_path):
    records = [
        *of_layers("crate-2l(seed=1)", (10, 20)),
        *of_layers("crate-2l(seed=2)", (30, 40)),
        record(np.nan, 0, dataset=DATA, model="crate-2l(seed=1)", explainer="token_topk(k=20)", metric=SCORE, target=0),
    ]
    only = crate_table([run_of(tmp_path / "run", records)]).frame().iloc[0]
    assert (only["mean"], only["variance"], only["last"]) == (25.0, 25.0, 30.0)
    assert (only["n"], only["undefined"], only["seeds"], only["size"]) == (16, 1, 2, "2l")
    assert only["mean_with_zeros"] == pytest.approx(((10 * 4 / 5 + 30) / 2 + (20 + 40) / 2) / 2)
    told = crate_table([tmp_path / "run"]).render("markdown")
    assert "16 neurons, 1 undefined, with which as 0 it is 24.5" in told.replace("24.50", "24.5")


def test_the_table_has_the_controls_that_there_are_and_names_the_others(tmp_path):
    permuted = f"permuted(score='{SCORE}')"
    records = [*of_layers("crate-2l(seed=1)", (10, 20)), *of_layers("crate-2l(seed=1)", (0, 1), metric=permuted)]
    told = crate_table([run_of(tmp_path / "run", records)]).render("markdown")
    assert "Permuted activations: without any relation to the text a mean score is expected within ±2" in told
    assert "Controls that these runs do not have: random weights" in told


def test_published_numbers_are_labelled_and_stand_apart(run):
    told = crate_table([run]).render("markdown", beside_paper=True)
    assert "published (Mistral-7B explains, Llama-2-7B simulates, Pile)" in told
    assert "not comparable with ours" in told
    assert "Mistral" not in crate_table([run]).render("markdown")
    assert "left out" in told
    assert "counts as others" in crate_table([run], drop_last=False).render("markdown")


def test_controls_and_other_forms_are_no_rows_of_the_table(tmp_path):
    own = of_layers("crate-2l(seed=1)", (10, 20))
    more = [
        *of_layers("crate-2l(seed=1)", (1, 2), metric="permuted(score='random_only(windows=200, seed=0)')"),
        *of_layers("untrained(model='crate-2l(seed=1)')", (1, 2)),
    ]
    found = crate_table([run_of(tmp_path / "run", [*own, *more])]).frame()
    assert list(found["mean"]) == [15.0]


def test_what_the_table_cannot_show_is_said(run, tmp_path):
    with pytest.raises(UserError, match="hold nothing of what crate shows"):
        crate_table([run_of(tmp_path / "texts", [record(1.0, 0)])])
    with pytest.raises(UserError, match="backbone does not go with crate"):
        paper_table([run], "crate", "2l")


def test_losses_are_means_over_trainings_of_one_data_set(tmp_path):
    losses = {(DATA, 42): 2.0, (DATA, 43): 3.0, (OTHER, 42): 7.0}
    records = [
        one
        for dataset, seed in losses
        for one in of_layers(f"crate-6l(seed={seed})", LAYERS["crate-6l(seed=42)"], dataset=dataset)
    ]
    records = [replace(one, model_fingerprint=one.model) for one in records]
    run = run_of(tmp_path / "run", records)
    manifest = json.loads((run / "manifest.json").read_text())
    for (dataset, seed), loss in losses.items():
        manifest["models"][f"crate-6l(seed={seed}) on {dataset}"]["units"] = {**READ, "loss": loss}
    (run / "manifest.json").write_text(json.dumps(manifest))
    for folders in ([run], [run, run]):
        found = crate_table(folders)
        assert dict(zip(found.losses["dataset"], found.losses["loss"], strict=True)) == {DATA: 2.5, OTHER: 7.0}
    told = found.render("markdown")
    assert "loss, nats per token on neurons(standard_ebooks)" in told
    assert "2.500" in told
    assert "7.000" in told
