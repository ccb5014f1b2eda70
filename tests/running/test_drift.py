"""What a precision does to scores: measured by hand once more, decided once, kept, and told."""

import io
import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import LinearModel, answers, random_texts, randomise, tiny_classifier, tiny_network, tiny_tokenizer
from fixtures_run import DATA, TRAINING, add_distribution, call, checkpoint, trained_cache, use_cache
from rich.console import Console
from transformers import AutoTokenizer

import faithbench
from faithbench.boards.checking import check
from faithbench.boards.publishing import publish
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import build
from faithbench.records.results import read
from faithbench.records.store import Store
from faithbench.running import drift
from faithbench.running.drift import few_shapley, spread
from faithbench.running.grid import DatasetPlan, load_examples, select_components
from faithbench.tables.cautions import is_above, precision_said
from faithbench.training.checkpoint import load
from faithbench.training.prepare import Prepared
from faithbench.types import Example, Target

MIXED = "bf16-mixed"
LOOSE = 1000.0  # points: whatever is measured will do


@pytest.fixture
def cache(monkeypatch):
    use_cache(monkeypatch, trained_cache())


@pytest.fixture
def gpu(monkeypatch):
    """What `auto` would try on a GPU is tried on the CPU, but for TF32."""
    monkeypatch.setattr(drift, "candidates", lambda asked, device: (MIXED,) if asked == "auto" else (asked,))


def plan(**changes) -> faithbench.Plan:
    usual = {"datasets": (DATA,), "models": ("conv-tiny",), "explainers": ("occlusion",), "limit": 4}
    return faithbench.Plan(**{**usual, "metrics": ("comprehensiveness",), **changes})


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def decision(folder: Path, asked: str) -> dict:
    (found,) = manifest(folder)["precision"].values()
    return found[asked]


def attributions(folder: Path, explainer: str) -> dict[str, np.ndarray]:
    frame = Store(folder).read("attributions")
    own = frame[frame["explainer"].str.startswith(explainer)]
    return {row.text_id: np.asarray(row.scores) for row in own.itertuples()}


def test_a_few_shapley_values_are_those_of_shap_sampl_where_it_is_asked_for_as_many_orders():
    classifier = tiny_classifier("bert", classes=3)
    explainer = build("explainer", f"shap_sampl(n_permutations={drift.ORDERS})").object
    for text in random_texts(classifier, [1, 5, 12, 20]):
        few, every = (answers(classifier, each(text, Target(2))).scores for each in (few_shapley, explainer))
        asked = text.content[spread(len(text.content), drift.TOKENS)]
        np.testing.assert_allclose(few[asked], every[asked], atol=1e-6)
        assert not np.delete(few, asked).any()
        assert len(asked) == min(len(text.content), drift.TOKENS)


WEIGHTS, BIAS, BY = [0.0, 0.0, 1.5, -0.5, 0.25, 0.75], 3.0, 0.25


def examples() -> tuple[Example, ...]:
    """Texts of one to four tokens of a linear model."""
    return tuple(Example(str(n), " ".join("2345"[: n % 4 + 1]), 1) for n in range(8))


def on(texts: tuple[Example, ...]) -> DatasetPlan:
    """A data set whose sample are these texts."""
    return replace(load_examples(build_dataset(DATA), select_components(plan()), "test", None), sample=texts)


def removed(weights: list[float], tokens: np.ndarray, scores: np.ndarray) -> float:
    """Comprehensiveness of a linear model with a softmax over itself and 0."""
    order = sorted(range(len(tokens)), key=lambda place: -scores[place])
    counts = [max(1, len(tokens) * tenth // 10) for tenth in range(1, 10)]
    rest = [sum(weights[tokens[place]] for place in order[count:]) for count in counts]
    chances = [1 / (1 + math.exp(-BIAS - each)) for each in (sum(weights[token] for token in tokens), *rest)]
    return 100 * float(np.mean([chances[0] - each for each in chances[1:]]))


def summary(differences: list[float]) -> dict[str, float]:
    found = np.array(differences)
    return {"mean": found.mean(), "absolute": np.abs(found).mean(), "largest": np.abs(found).max()}


def test_drift_by_hand_on_a_linear_model():
    """One token weighs more in the other precision; Shapley values are weights, and the rest is said once more."""
    other_weights = [*WEIGHTS[:2], WEIGHTS[2] + BY, *WEIGHTS[3:]]
    model, other = LinearModel.binary(WEIGHTS, BIAS), LinearModel.binary(other_weights, BIAS)
    texts, found = drift.drift(Prepared(model, "linear", "linear", {}), other, on(examples()))
    shapley, drops = [], []
    for example in examples():
        text = model.encode(example)
        tokens = text.ids[text.content]
        shapley += [100 * BY / WEIGHTS[2] if token == 2 else 0.0 for token in tokens]
        noise = build("explainer", "random").object(text, Target(1)).scores[text.content]
        for scores in (np.array(WEIGHTS)[tokens], noise):
            drops.append(removed(other_weights, tokens, scores) - removed(WEIGHTS, tokens, scores))
    assert (texts, set(found)) == (8, {"comprehensiveness", "sufficiency", "shapley"})
    assert found["shapley"] == pytest.approx(summary(shapley))
    assert found["comprehensiveness"] == pytest.approx(summary(drops))
    assert found["comprehensiveness"]["mean"] != pytest.approx(found["comprehensiveness"]["absolute"])


def test_of_documents_seqpg_is_measured_too():
    both = [
        HuggingFaceClassifier(tiny_network("bert", 2), tiny_tokenizer(), dtype=each) for each in ("float32", "bfloat16")
    ]
    documents = tuple(
        Example(str(n), "a tale told in toil said an old lion", 0, segments=((0, 19, 0), (20, 36, 1))) for n in range(2)
    )
    texts, found = drift.drift(Prepared(both[0], "bert", "bert", {}), both[1], on(documents))
    assert texts == 2
    assert 0 < found["seqpg"]["absolute"] <= found["seqpg"]["largest"] < 100


def test_what_fails_in_the_other_precision_moves_infinitely():
    model = LinearModel.binary(WEIGHTS, BIAS)
    failing = replace(model, table=model.table + np.nan)
    _, found = drift.drift(Prepared(model, "linear", "linear", {}), failing, on(examples()))
    assert all(each["absolute"] == math.inf for each in found.values())
    assert is_above(entry(found, limit=LOOSE), MIXED)


def entry(measured: dict, limit: float = 0.5, dtype: str = MIXED, unit: str = "points") -> dict:
    about = {"dtype": dtype, "weights": "w", "data": "d", "limit": limit, "unit": unit, "texts": 16}
    return {**about, "measured": {MIXED: measured}}


def moved(absolute: float) -> dict[str, float]:
    return {"mean": -absolute / 2, "absolute": absolute, "largest": 2 * absolute}


@pytest.mark.parametrize(
    ("measure", "absolute", "unit", "above"),
    [
        ("comprehensiveness", 0.5, "points", False),
        ("comprehensiveness", 0.51, "points", True),
        ("sufficiency", 0.51, "points", True),
        ("seqpg", 0.51, "points", True),
        ("shapley", 4.9, "points", False),
        ("shapley", 5.1, "points", True),
        ("comprehensiveness", 5.0, "of the value", False),
        ("shapley", 5.1, "of the value", True),
        ("shapley", math.nan, "points", True),
    ],
)
def test_the_limit_is_one_of_mean_absolute_differences(measure, absolute, unit, above):
    assert is_above(entry({measure: moved(absolute)}, unit=unit), MIXED) is above


def test_sentences_say_what_is_moved_and_what_follows():
    small = {"comprehensiveness": moved(0.034), "seqpg": moved(0.2), "shapley": moved(0.5)}
    told = (
        "moves scores of 16 texts against float32 (mean absolute; signed; most): comprehensiveness 0.034 points "
        "(-0.02; 0.068), SeqPG 0.2 points (-0.1; 0.4), Shapley values 0.5 % (-0.2; 1)"
    )
    assert list(precision_said(MIXED, entry(small))) == [f"{MIXED} {told}."]
    assert list(precision_said("auto", entry(small))) == [f"dtype auto is {MIXED}, which {told}."]
    assert list(precision_said("auto", entry(small, 0.1, "float32"))) == [f"{MIXED} {told}: too much for dtype auto."]
    (above,) = precision_said(MIXED, entry(small, 0.1))
    assert above == f"{MIXED} {told}: above 0.1 points, so do not compare with float32."
    assert len(above) < 400


def test_auto_on_a_cpu_is_float32_with_its_identity(cache, tmp_path):
    """And so it is kept, so that a run that goes on elsewhere goes on in float32."""
    for asked in ("float32", "auto"):
        faithbench.run(plan(dtype=asked), tmp_path / asked, device="cpu")
    one, other = (read([tmp_path / asked]) for asked in ("float32", "auto"))
    same = ["model", "model_fingerprint", "dataset_fingerprint", "unit", "explainer", "value", "parts", "rows"]
    pd.testing.assert_frame_equal(one[same].sort_values(same[3:5]), other[same].sort_values(same[3:5]))
    assert decision(tmp_path / "auto", "auto")["dtype"] == "float32"
    assert "precision" not in manifest(tmp_path / "float32")


def test_auto_on_a_gpu_is_mixed_and_what_explains_by_gradients_stays_float32(cache, gpu, tmp_path, capsys):
    options = ["--dataset", DATA, "--model", "conv-tiny", "--explainer", "occlusion", "--explainer", "saliency"]
    options += ["--metric", "comprehensiveness", "--limit", "4", "--device", "cpu"]
    ended = call(capsys, "run", *options, "--dtype", "auto", "--drift", LOOSE, "--out", tmp_path / "auto")
    assert ended.status == 0
    assert ended.err.count("dtype auto is bf16-mixed, which moves scores of 16 texts against float32") == 1
    assert "dtype auto is bf16-mixed, which moves scores" in ended.out
    assert "-bf16-mixed|texts:" in ended.out  # the signature
    faithbench.run(plan(explainers=("occlusion", "saliency")), tmp_path / "single", device="cpu")
    for explainer, same in (("saliency", True), ("occlusion", False)):
        one, other = (attributions(tmp_path / each, explainer) for each in ("auto", "single"))
        assert all(np.array_equal(one[name], other[name]) for name in other) is same
    (told,) = manifest(tmp_path / "auto")["models"].values()
    assert (told["dtype"], told["fingerprint"].endswith(MIXED)) == (MIXED, True)


def test_a_decision_is_kept_and_a_block_has_one_precision(cache, gpu, tmp_path, monkeypatch):
    wanted = plan(dtype="auto", drift=LOOSE, limit=2)
    faithbench.run(wanted, tmp_path, device="cpu")
    first = decision(tmp_path, "auto")
    monkeypatch.setattr(drift, "drift", lambda *_: pytest.fail("it was measured again"))
    monkeypatch.setattr(drift, "candidates", lambda asked, device: ())  # it goes on where there is no GPU
    assert faithbench.run(replace(wanted, limit=4), tmp_path, device="cpu").before == 2
    assert decision(tmp_path, "auto") == first
    assert set(read([tmp_path])["model_fingerprint"]) == {f"{first['weights']}-{MIXED}"}


def test_auto_falls_back_where_it_moves_too_much_and_says_so(cache, gpu, tmp_path):
    """A model whose logits are huge and undecided is moved by the last digits of its states."""
    folder = checkpoint()
    network = randomise(load(folder), 0)
    with torch.no_grad():
        network.classifier.weight.mul_(1000)
    network.save_pretrained(tmp_path / "huge")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "huge")
    console = Console(file=(said := io.StringIO()), width=999)
    wanted = plan(models=(str(tmp_path / "huge"),), explainers=("random",), dtype="auto")
    faithbench.run(wanted, tmp_path / "run", device="cpu", console=console)
    found = decision(tmp_path / "run", "auto")
    assert found["dtype"] == "float32"
    assert found["measured"][MIXED]["comprehensiveness"]["absolute"] > 0.5
    assert said.getvalue().count(": too much for dtype auto.") == 1
    assert set(read([tmp_path / "run"])["model_fingerprint"]) == {found["weights"]}


def test_two_precisions_in_one_folder_are_two_models_and_what_is_asked_for_goes_on_above_the_limit(cache, tmp_path):
    said = {}
    for asked in ("float32", MIXED, MIXED):
        console = Console(file=io.StringIO(), width=1000)
        faithbench.run(plan(dtype=asked, explainers=("random",), drift=1e-9), tmp_path, device="cpu", console=console)
        said.setdefault(asked, []).append("was run in float32 here before" in console.file.getvalue())
    assert said == {"float32": [False], MIXED: [True, False]}
    single, mixed = sorted(set(read([tmp_path])["model_fingerprint"]))
    assert mixed == f"{single}-{MIXED}"
    table = faithbench.render([tmp_path])
    assert f"(weights {single})" in table
    assert f"(weights {mixed})" in table
    assert "above 1e-09 points, so do not compare with float32." in table
    frame = faithbench.table([tmp_path])
    assert len(faithbench.table([tmp_path], over_seeds=True)) == len(frame) == 2
    assert frame["post_stratified"].all()  # what was counted in float32 is still known


def test_a_board_in_a_precision_that_was_chosen_is_what_its_plan_says(cache, gpu, tmp_path):
    wanted = plan(dtype="auto", drift=LOOSE, explainers=("random",), training=TRAINING)
    faithbench.run(wanted, tmp_path / "run", device="cpu")
    publish(tmp_path / "run", tmp_path / "board")
    (checked,) = check([tmp_path / "board"])
    assert (checked.problems, checked.refused) == ((), False)
    assert "dtype auto is bf16-mixed" in (tmp_path / "board" / "table.md").read_text()


def test_rounding_of_other_batches_is_no_contradiction_in_mixed_precision(cache, tmp_path):
    faithbench.run(plan(dtype=MIXED, explainers=("random",)), tmp_path / "one", device="cpu")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    (part,) = (tmp_path / "other" / "records").iterdir()
    frame = pd.read_parquet(part)
    for by, ending in ((0.1, nullcontext()), (1.0, pytest.raises(UserError, match="two different records"))):
        frame.assign(value=frame["value"] + by).to_parquet(part)
        with ending:
            assert len(read([tmp_path / "one", tmp_path / "other"])) == len(frame)


def test_a_plugins_model_stays_in_float32_and_has_no_mixed_precision(cache, tmp_path, monkeypatch):
    source = """
from builders import tiny_classifier
class Own:
    def prepare(self, dataset, device, dtype):
        assert dtype == "float32"
        return tiny_classifier("bert")
"""
    add_distribution(tmp_path / "site", "own", {"models": {"own": "own_model:Own"}}, {"own_model": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    said = io.StringIO()
    console = Console(file=said, width=999)
    faithbench.run(plan(models=("own",), dtype="auto"), tmp_path / "run", device="cpu", console=console)
    assert "own is prepared by a plugin, which has no mixed precision: dtype auto is float32." in said.getvalue()
    with pytest.raises(UserError, match="dtype='bf16-mixed' is not to be had of model 'own', which a plugin prepares"):
        faithbench.run(plan(models=("own",), dtype=MIXED), tmp_path / "run", device="cpu")


def test_a_notebook_has_the_precisions_but_decides_nothing():
    at_hand = {"tokenizer": tiny_tokenizer(), "device": "cpu"}
    one, other = (
        faithbench.attribute(tiny_network("bert"), ["a dull tale"], "occlusion", dtype=each, **at_hand)[0].scores
        for each in ("float32", MIXED)
    )
    assert 0 < np.abs(one - other).max() < 0.01
    with pytest.raises(UserError, match=r"dtype='auto' is decided by runs, .*; use bf16-mixed here"):
        faithbench.attribute(tiny_network("bert"), ["noon"], "occlusion", dtype="auto", **at_hand)
    with pytest.raises(UserError, match="not allowed with a classifier that is ready, which computes in float32"):
        faithbench.attribute(tiny_classifier("bert"), ["noon"], "occlusion", dtype=MIXED)


@pytest.mark.parametrize("changes", [{"dtype": "bf17"}, {"drift": 0}, {"drift": True}, {"drift": math.nan}])
def test_what_is_no_precision_and_no_limit_is_one_sentence(changes):
    (name,) = changes
    with pytest.raises(UserError, match=rf"^{name}=.* is not allowed; (use float32 or .* or bf16-mixed or|it must be)"):
        plan(**changes)


def test_attributions_are_imported_into_what_a_run_has_decided(cache, gpu, tmp_path):
    file = tmp_path / "scores.jsonl"
    first = build_dataset(DATA).object.load("test")[0]
    words = first.text.split()
    file.write_text(json.dumps({"id": first.id, "tokens": words, "scores": [1.0] * len(words)}) + "\n")
    told = {"name": "own", "out": tmp_path / "run", "dtype": "auto", "device": "cpu"}
    with pytest.raises(UserError, match="has not decided what dtype 'auto' is for conv-tiny on planted"):
        faithbench.import_attributions(file, "conv-tiny", DATA, **told)
    faithbench.run(plan(dtype="auto", drift=LOOSE), tmp_path / "run", device="cpu")
    faithbench.import_attributions(file, "conv-tiny", DATA, **told)
    assert set(Store(tmp_path / "run").read("attributions")["model_fingerprint"]) == {
        f"{decision(tmp_path / 'run', 'auto')['weights']}-{MIXED}"
    }
