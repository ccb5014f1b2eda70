"""Comparisons over trainings that differ in their seed: the interval over trainings is that of other libraries."""

import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from records import column, record, run_of
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

import faithbench
from faithbench.comparing.trainings import apart, paired
from faithbench.errors import UserError
from faithbench.records.seeds import without_seed

N, SEEDS = 40, (0, 1, 2)
GENERATOR = np.random.default_rng(0)
TEXTS = GENERATOR.normal(50, 10, N)
VALUES = {  # of each model, training and explainer
    (model, seed, explainer): TEXTS + shift + GENERATOR.normal(0, 3) + GENERATOR.normal(0, 1, N)
    for model, shift in (("bcos-tiny", 4), ("conv-tiny", 0))
    for seed in SEEDS
    for explainer in ("lime", "occlusion")
}
LAST = ("conv-tiny", 2, "lime")  # measured on half of the texts


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = []
    for (model, seed, explainer), values in VALUES.items():
        kept = values[: N // 2] if (model, seed, explainer) == LAST else values
        names = {"model": f"{model}(seed={seed})", "model_fingerprint": f"{model}{seed}", "explainer": explainer}
        records += column(kept, **names)
    return run_of(tmp_path / "run", records)


def means(model: str, explainer: str) -> list[float]:
    return [float(VALUES[model, seed, explainer].mean()) for seed in SEEDS]


def test_two_models_have_welchs_interval_of_their_trainings_means(run: Path):
    found = faithbench.comparison("bcos-tiny", "conv-tiny", [run], over_seeds=True).table().set_index("explainer")
    a, b = (DescrStatsW(means(model, "occlusion")) for model in ("bcos-tiny", "conv-tiny"))
    row = found.loc["occlusion"]
    assert (row["seed_low"], row["seed_high"]) == pytest.approx(CompareMeans(a, b).tconfint_diff(usevar="unequal"))
    assert row["difference"] == pytest.approx(a.mean - b.mean)
    assert (row["trainings"], row["n"]) == ("3 and 3", N)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("conv-tiny(seed=1, masking=half)", "conv-tiny(masking=half)"),
        (
            "calibrated(model='conv-tiny(seed=1, masking=half)', temperature=0.0)",
            "calibrated(model='conv-tiny(masking=half)', temperature=0.0)",
        ),
        ("sae(model='crate-1l(seed=2)', latents=64, seed=3)", "sae(model='crate-1l', latents=64)"),
    ],
)
def test_a_model_that_is_made_of_another_is_without_the_seed_of_that(given: str, expected: str):
    assert without_seed(given) == expected


@pytest.mark.parametrize("name", ["./conv-tiny(seed=1)", "someone/conv-tiny"])
def test_a_folder_or_hub_id_stays_as_it_is_also_where_another_is_made_of_it(name: str):
    assert without_seed(name) == name
    assert (
        without_seed(f"calibrated(model={name!r}, temperature=0.0)") == f"calibrated(model={name!r}, temperature=0.0)"
    )


def test_calibrated_models_are_trainings_of_one(tmp_path: Path):
    records = []
    for (model, seed, explainer), values in VALUES.items():
        of = f"calibrated(model='{model}(seed={seed})', temperature=0.0)"
        names = {"model": of, "model_fingerprint": f"{model}{seed}", "explainer": explainer}
        records += column(values, **names)
    run = run_of(tmp_path / "run", records)
    found = faithbench.comparison("calibrated(bcos-tiny)", "calibrated(conv-tiny)", [run], over_seeds=True)
    row = found.table().set_index("explainer").loc["occlusion"]
    a, b = (DescrStatsW(means(model, "occlusion")) for model in ("bcos-tiny", "conv-tiny"))
    assert (row["seed_low"], row["seed_high"]) == pytest.approx(CompareMeans(a, b).tconfint_diff(usevar="unequal"))
    assert (row["trainings"], row["n"]) == ("3 and 3", N)


def test_two_models_are_compared_on_the_texts_that_both_have_a_value_for(run: Path):
    """Of `lime` a training of one lacks half of the texts: its other trainings have them, so that they count for it."""
    found = faithbench.comparison("bcos-tiny", "conv-tiny", [run], over_seeds=True).table().set_index("explainer")
    row, halved = found.loc["lime"], VALUES[LAST][: N // 2].mean()
    others = [*means("conv-tiny", "lime")[: LAST[1]], float(halved)]
    a, b = DescrStatsW(means("bcos-tiny", "lime")), DescrStatsW(others)
    assert (row["seed_low"], row["seed_high"]) == pytest.approx(CompareMeans(a, b).tconfint_diff(usevar="unequal"))


def undefined(tmp_path: Path, predicted: bool = False) -> Path:
    """Two models of equal values, of which one has none on the high half of the texts, or says a class less often."""
    values = np.where(np.arange(N) < N // 2, 10.0, 90.0)
    records = []
    for name, seed in product(("bcos-tiny", "conv-tiny"), SEEDS):
        own = values if name == "bcos-tiny" or predicted else np.where(values > 50, np.nan, values)
        own = own + 0.01 * seed
        model = {"model": f"{name}(seed={seed})", "model_fingerprint": f"{name}{seed}", "explainer": "lime"}
        records += [record(float(v), i, target=int(i >= N // 2), **model) for i, v in enumerate(own)]
    run = run_of(tmp_path / "run", records)
    if predicted:
        manifest = json.loads((run / "manifest.json").read_text())
        for name, entry in manifest["models"].items():
            often = 900 if name.startswith("bcos") else 500
            entry["predicted"] = {"classes": {"0": often, "1": 1000 - often}, "texts": 1000, "of": 1000, "seconds": 1.0}
        (run / "manifest.json").write_text(json.dumps(manifest))
    return run


@pytest.mark.parametrize("predicted", [False, True], ids=["undefined on half", "other classes predicted"])
def test_the_interval_over_trainings_is_of_the_difference_beside_it(predicted: bool, tmp_path: Path):
    (row,) = (
        faithbench.comparison("bcos-tiny", "conv-tiny", [undefined(tmp_path, predicted)], over_seeds=True)
        .table()
        .to_dict("records")
    )
    assert row["difference"] == pytest.approx(0, abs=1e-9)
    assert row["seed_low"] == pytest.approx(-row["seed_high"], abs=1e-9)
    assert abs(row["seed_low"]) < 0.1


def test_two_states_of_one_seed_are_no_two_trainings(tmp_path: Path):
    records = [*column(TEXTS), *column(TEXTS, explainer="lime")]
    records += [
        *column(TEXTS + 1, model_fingerprint="old"),
        *column(TEXTS + 2, explainer="lime", model_fingerprint="old"),
    ]
    with pytest.raises(UserError, match=r"two trainings of conv-tiny\(seed=42\) on planted, weights m and old"):
        faithbench.comparison("occlusion", "lime", [run_of(tmp_path / "run", records)], over_seeds=True)


def test_trainings_that_agree_wholly_have_an_interval_of_no_width():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired([1.0, 1.0, 1.0]), apart([3.0, 3.0], [1.0, 1.0])
    assert [(each.low, each.high) for each in found] == [(1.0, 1.0), (2.0, 2.0)]


def test_two_explainers_have_students_interval_of_the_trainings_differences(run: Path):
    found = faithbench.comparison("occlusion", "lime", [run], model="conv-tiny", over_seeds=True).table()
    (row,) = found.to_dict("records")
    gaps = []
    for seed in SEEDS:
        n = N // 2 if seed == LAST[1] else N  # the texts that both have
        gaps.append(float((VALUES["conv-tiny", seed, "occlusion"] - VALUES["conv-tiny", seed, "lime"])[:n].mean()))
    assert (row["seed_low"], row["seed_high"]) == pytest.approx(DescrStatsW(gaps).tconfint_mean())
    assert row["trainings"] == "3"


def test_an_explainer_of_fewer_trainings_is_compared_on_those_and_not_ranked(tmp_path: Path):
    """Of one training `lime` is better; against the mean over all trainings of the other it would be far behind."""
    records = []
    for seed, shift in ((0, 0.0), (1, 30.0)):
        model = {"model": f"conv-tiny(seed={seed})", "model_fingerprint": f"m{seed}"}
        records += column(TEXTS + shift, **model)
        records += column(TEXTS + 2, explainer="lime", **model) if seed == 0 else []
        records += column(TEXTS + shift - 1, explainer="saliency", **model)
    run = run_of(tmp_path / "run", records)
    (row,) = faithbench.comparison("lime", "occlusion", [run], over_seeds=True).table().to_dict("records")
    assert (row["difference"], row["trainings"], row["tests"]) == (pytest.approx(2), "1", 1)
    assert row["better"] == "lime"
    ranks = faithbench.table([run], over_seeds=True).set_index("explainer")["rank_group"]
    assert ranks.isna()["lime"]
    assert ranks.drop("lime").to_dict() == {"occlusion": 1, "saliency": 2}


def test_the_sentence_keeps_texts_and_trainings_apart(run: Path):
    text = faithbench.comparison("bcos-tiny", "conv-tiny", [run], over_seeds=True).render()
    assert "; over 3 and 3 trainings " in text
    assert "over trainings: Welch's 95 % interval of the trainings' means." in text
    assert "trainings" not in faithbench.comparison("bcos-tiny(seed=0)", "conv-tiny(seed=0)", [run]).render()


def test_without_the_option_a_training_is_a_model_of_its_own(run: Path):
    with pytest.raises(UserError, match=r"may be bcos-tiny\("):
        faithbench.comparison("bcos-tiny", "conv-tiny", [run])


@pytest.mark.parametrize(("gaps", "count"), [([3.0], 1), ([], 0), ([3.0, np.nan], 1)])
def test_one_training_has_no_interval(gaps: list[float], count: int):
    found = paired(gaps)
    assert found.counts == (count,)
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(apart(gaps, [1.0, 2.0]).low)


def test_one_training_says_so_in_the_sentence(tmp_path: Path):
    records = [*column(TEXTS, explainer="lime"), *column(TEXTS + 1, explainer="occlusion")]
    text = faithbench.comparison("occlusion", "lime", [run_of(tmp_path / "one", records)], over_seeds=True).render()
    assert "over 1 training: too few for an interval" in text


def test_the_command_has_it_for_two_names(run: Path, capsys: pytest.CaptureFixture[str]):
    shown = call(capsys, "compare", "bcos-tiny", "conv-tiny", run, "--over-seeds", "--format", "csv")
    assert "seed_low,seed_high" in shown.out
    refused = call(capsys, "compare", "lime", "all", run, "--over-seeds")
    assert refused.status == 2
    assert "--over-seeds goes with two names" in " ".join(refused.err.split())
