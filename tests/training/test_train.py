"""Training: the loss is the one said, the best state is kept, a kill costs little, and nothing is trained twice."""

import io
import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import LENGTH, tiny_network, tiny_tokenizer
from checkpoints import assert_equal_weights, report, weights
from fixtures_run import DATA, MODELS, TRAINING, checkpoint, trained_cache, use_cache
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score
from transformers import DataCollatorWithPadding, EvalPrediction
from transformers.modeling_outputs import SequenceClassifierOutput

import faithbench
from faithbench.bcos.convert import is_bcos
from faithbench.bcos.modules import BcosLinear
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset
from faithbench.questions import Row
from faithbench.training.accumulation import Accumulation
from faithbench.training.fine_tuning import accuracies, arguments, bcos_loss, cross_entropy
from faithbench.training.keeping import work_place
from faithbench.training.prepare import load_model
from faithbench.training.setup import Setup
from faithbench.training.trainer import LengthGroupedTrainer

STEEP = faithbench.Training(epochs=2, lr=2e-2)  # so steep that the accuracy comes and goes
LONG = "planted(train=480, validation=40, test=40)"
TRAIN = """
import sys

import torch

import faithbench

torch.set_num_threads(1)
faithbench.train(sys.argv[1], sys.argv[2], faithbench.Training(epochs=2), device="cpu")
"""


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """`MODELS`, trained on `DATA`."""
    use_cache(monkeypatch, trained_cache())


@pytest.fixture(scope="module", params=["conv-tiny(seed=0, masking=none)", "bcos-tiny(seed=1, masking=none)"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training, with all states that it went through."""
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, tmp_path_factory.mktemp("kept"))
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        return faithbench.train(request.param, DATA, STEEP, device="cpu")[0]


def states(folder: Path) -> list[Path]:
    """The states of a training that is under way or was kept, in order."""
    return sorted(work_place(folder).glob("trainer-*/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def history(state: Path) -> list[dict]:
    """What the trainer has noted up to a state: each evaluation."""
    return [e for e in json.loads((state / "trainer_state.json").read_text())["log_history"] if "eval_accuracy" in e]


def logits_and_labels(folder: Path, split: str, dataset: str = DATA) -> tuple[np.ndarray, np.ndarray]:
    """What a checkpoint says of a split, text by text."""
    classifier = load_model(str(folder), Setup()).classifier
    examples = build_dataset(dataset).object.load(split)
    logits = [classifier.logits([Row(classifier.encode(example).ids)])[0] for example in examples]
    return np.stack(logits), np.array([example.label for example in examples])


def slow_bce(logits: np.ndarray, labels: np.ndarray) -> float:
    """−[y log σ(z) + (1 − y) log(1 − σ(z))], one number after the other, y = 1 for the right class."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        for c, z in enumerate(row):
            p = 1 / (1 + math.exp(-float(z)))
            losses.append(-math.log(p) if c == label else -math.log(1 - p))
    return sum(losses) / len(losses)


def slow_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """−log softmax(z)_y, one text after the other."""
    pairs = zip(logits, labels, strict=True)
    losses = [-math.log(math.exp(row[label]) / sum(math.exp(z) for z in row)) for row, label in pairs]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("fast", "slow"), [(bcos_loss, slow_bce), (cross_entropy, slow_cross_entropy)])
def test_losses_equal_slow_versions(fast, slow, classes):
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(7, classes, generator=generator)
    labels = torch.randint(classes, (7,), generator=generator)
    expected = slow(logits.double().numpy(), labels.numpy())
    assert float(fast(SequenceClassifierOutput(logits=logits), labels)) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_large_logits_is_finite():
    logits, labels = torch.tensor([[500.0, -500.0]]), torch.tensor([1])
    assert float(bcos_loss(SequenceClassifierOutput(logits=logits), labels)) == pytest.approx(500)


def test_accuracies_equal_those_of_another_library():
    generator = np.random.default_rng(0)
    labels = generator.choice(4, 60, p=[0.6, 0.3, 0.1, 0.0])  # the last class does not occur
    logits = generator.normal(size=(60, 4)) + 2 * np.eye(4)[labels]
    logits[:, 3] = -9
    found = accuracies(EvalPrediction(predictions=logits, label_ids=labels))
    assert found["accuracy"] == pytest.approx(100 * np.mean(logits.argmax(1) == labels))
    assert found["balanced_accuracy"] == pytest.approx(100 * balanced_accuracy_score(labels, logits.argmax(1)))


def test_batches_hold_every_text_once_beside_texts_of_similar_length(tmp_path):
    lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(1, LENGTH + 1), 5))
    trainer = LengthGroupedTrainer(
        Accumulation(4, 1, print),
        model=tiny_network("bert"),
        args=arguments(tmp_path, faithbench.Training(1, lr=1e-3, batch_size=4), 0, len(lengths), "cpu"),
        train_dataset=[{"input_ids": [1] * int(length), "label": 0} for length in lengths],
        data_collator=DataCollatorWithPadding(tiny_tokenizer()),
    )
    batches = [batch["attention_mask"].sum(1).tolist() for batch in trainer.get_train_dataloader()]
    assert sorted(np.concatenate(batches)) == sorted(lengths)
    assert len({tuple(batch) for batch in batches}) > LENGTH / 2  # of several lengths, not in the order given
    assert np.mean([max(batch) - min(batch) for batch in batches]) < LENGTH / 8  # in random batches, 3/5 of it


@pytest.mark.parametrize("model", MODELS)
def test_the_report_says_what_was_trained_and_how_well(model):
    told = report(checkpoint(model))
    assert told["model"].startswith(f"{model}(")
    assert told["dataset"] == build_dataset(DATA).identity
    assert told["training"] == {
        "epochs": 4,
        "limit": None,
        "lr": 5e-3,
        "batch_size": 16,
        "max_length": 512,
        "eval_limit": None,
        "precision": "float32",
        "gradient_accumulation_steps": 1,
        "dataloader_num_workers": 0,
    }
    assert told["texts"] == {"train": 400, "validation": 100, "test": 40}
    assert told["steps"] == 100
    assert 0 < told["best_step"] <= 100
    for split in ("validation", "test"):
        assert 50 <= told[split]["accuracy"] <= 100
        assert told[split]["balanced_accuracy"] == pytest.approx(told[split]["accuracy"])  # labels alternate
    assert "CPU" in told["hardware"]
    assert told["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("model", MODELS)
def test_a_finished_checkpoint_holds_a_model_and_nothing_of_its_making(model):
    folder = checkpoint(model)
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= names
    assert not [name for name in names if name.startswith(("trainer", ".")) or name.endswith(".tmp")]
    network = load_model(str(folder), Setup()).classifier.model
    assert is_bcos(network) == any(isinstance(module, BcosLinear) for module in network.modules())
    assert is_bcos(network) == (model == "bcos-tiny")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_accuracy_of_the_loaded_checkpoint_is_that_of_the_report(model, split):
    logits, labels = logits_and_labels(checkpoint(model), split)
    assert report(checkpoint(model))[split]["accuracy"] == pytest.approx(100 * np.mean(logits.argmax(1) == labels))


@pytest.mark.slow
def test_the_state_of_best_validation_accuracy_is_kept(kept):
    evaluations = history(states(kept)[-1])
    measured = [entry["eval_accuracy"] for entry in evaluations]
    assert len(evaluations) == 4  # two an epoch
    best = max(evaluations, key=lambda entry: entry["eval_accuracy"])  # the first of equals
    assert report(kept)["validation"]["accuracy"] == best["eval_accuracy"] == max(measured)
    assert report(kept)["best_step"] == best["step"]
    assert_equal_weights(kept, next(state for state in states(kept) if state.name == f"checkpoint-{best['step']}"))
    logits, labels = logits_and_labels(kept, "validation")
    assert 100 * np.mean(logits.argmax(1) == labels) == pytest.approx(max(measured))


@pytest.mark.slow
def test_the_last_state_is_not_kept_where_an_earlier_was_better(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
    for seed in range(4):  # one of them will fall back
        folder, told = faithbench.train(f"conv-tiny(seed={seed}, masking=none)", DATA, STEEP, device="cpu")
        measured = [entry["eval_accuracy"] for entry in history(states(folder)[-1])]
        if measured[-1] < max(measured):
            break
    assert measured[-1] < max(measured) == told["validation"]["accuracy"]
    assert told["best_step"] < told["steps"]
    last, final = weights(states(folder)[-1]), weights(folder)
    assert any(not torch.equal(last[name], final[name]) for name in final)


@pytest.mark.slow
def test_the_loss_that_is_trained_is_the_one_of_the_kind_of_model(kept):
    slow = slow_bce if is_bcos(load_model(str(kept), Setup()).classifier.model) else slow_cross_entropy
    (entry,) = (e for e in history(states(kept)[-1]) if e["step"] == report(kept)["best_step"])
    assert entry["eval_loss"] == pytest.approx(slow(*logits_and_labels(kept, "validation")), rel=1e-4)


def test_a_finished_checkpoint_is_not_trained_again():
    path = checkpoint() / "model.safetensors"
    before = path.stat().st_mtime_ns
    folder, told = faithbench.train("conv-tiny", DATA, TRAINING, device="cpu")
    assert (folder, told) == (checkpoint(), report(checkpoint()))
    assert faithbench.train("conv-tiny", DATA, device="cpu")[1] == told
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["epochs", "limit", "lr", "batch_size", "max_length", "eval_limit"])
def test_if_one_setting_is_asked_for_all_must_be_those_of_the_checkpoint(name):
    had = report(checkpoint())["training"]
    faithbench.train("conv-tiny", DATA, faithbench.Training(**had), device="cpu")
    with pytest.raises(UserError, match=f"was trained with {name}={had[name]}, not 7; delete"):
        faithbench.train("conv-tiny", DATA, faithbench.Training(**{**had, name: 7}), device="cpu")


@pytest.mark.parametrize(
    ("made", "asked", "words"),
    [
        ({}, {"epochs": 4}, "lr=0.005, not 0.002"),
        ({"limit": 32}, {"epochs": 4, "lr": 5e-3}, "limit=32, not None"),
    ],
)
def test_settings_that_are_left_open_are_the_usual_ones(made, asked, words, tmp_path, monkeypatch):
    """Of which a checkpoint that was trained with others is none."""
    shutil.copytree(trained_cache(), tmp_path / "cache")
    use_cache(monkeypatch, tmp_path / "cache")
    told = report(checkpoint())
    told["training"] |= made
    (checkpoint() / "training.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=f"was trained with {words}"):
        faithbench.train("conv-tiny", DATA, faithbench.Training(**asked), device="cpu")
    said = Console(file=io.StringIO(), width=500)
    faithbench.train("conv-tiny", DATA, device="cpu", console=said)
    told = ", ".join([*(f"{name}={value}" for name, value in made.items()), "lr=0.005"])
    assert f"conv-tiny was trained on {DATA} with {told}.\n" in said.file.getvalue()


@pytest.mark.parametrize("name", ["epochs", "limit", "lr", "batch_size", "max_length"])
@pytest.mark.parametrize("value", [0, -1])
def test_settings_must_be_positive(name, value):
    with pytest.raises(UserError, match=f"{name}={value} is not allowed; it must be positive"):
        faithbench.Training(**{name: value})


@pytest.mark.slow
def test_fewer_texts_and_another_seed_make_another_model(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    folder, told = faithbench.train("conv-tiny", DATA, faithbench.Training(epochs=1, limit=32), device="cpu", seed=3)
    assert told["texts"]["train"] == 32
    assert told["steps"] == 2
    assert told["model"] == "conv-tiny(seed=3, masking=half)"
    assert folder == checkpoint("conv-tiny(seed=3)") != checkpoint("conv-tiny")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_weights(model, tmp_path, monkeypatch):
    first = checkpoint(model)
    use_cache(monkeypatch, tmp_path)
    again, told = faithbench.train(model, DATA, TRAINING, device="cpu")
    assert again != first
    assert_equal_weights(again, first)
    assert told["test"] == report(first)["test"]


@pytest.mark.slow
def test_another_seed_gives_other_weights_beside_the_first(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    short = faithbench.Training(epochs=1, limit=32)
    one, two = (faithbench.train("conv-tiny", DATA, short, seed=seed, device="cpu")[0] for seed in (1, 2))
    assert not torch.equal(weights(one)["classifier.weight"], weights(two)["classifier.weight"])


@pytest.mark.slow
def test_a_training_killed_before_its_report_is_finished_by_the_next_start(tmp_path, monkeypatch):
    shutil.copytree(trained_cache(), tmp_path / "cache")
    use_cache(monkeypatch, tmp_path / "cache")
    told = report(checkpoint())
    (checkpoint() / "training.json").unlink()
    with pytest.raises(UserError, match="has not been trained"):
        faithbench.run(faithbench.Plan((DATA,), ("conv-tiny",)), tmp_path / "run", device="cpu", train=False)
    assert faithbench.train("conv-tiny", DATA, TRAINING, device="cpu")[1]["test"] == told["test"]


def cued(texts: int, flipped: bool) -> str:
    """A CSV file of texts whose one cue word tells the class, the wrong one if flipped."""
    rows = (f"the {('awful', 'superb')[i % 2 != flipped]} film {i},{i % 2}" for i in range(texts))
    return "text,label\n" + "\n".join(rows) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("change", ["other texts", "other place"])
def test_a_checkpoint_is_not_taken_for_one_of_other_data_under_the_same_path(change, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    told = []
    for flipped in (False, True):
        place = tmp_path / (f"place-{flipped}" if change == "other place" else "place")
        (place / "data").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(place)
        for split in ("train", "validation", "test"):
            (place / "data" / f"{split}.csv").write_text(cued(32 + flipped, flipped))
        told.append(faithbench.train("conv-tiny", "./data", faithbench.Training(epochs=1), device="cpu")[1])
    assert [each["texts"]["train"] for each in told] == [32, 33]


def is_json(state: Path) -> bool:
    """Whether what the trainer writes last of a state is there to its end."""
    try:
        json.loads((state / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return True


def killed_training(model: str, folder: Path) -> Path:
    """Starts a training in a process of its own and kills it once a whole state is on disk. Returns that state."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, model, LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not any(map(is_json, states(folder))):
        time.sleep(0.002)
    process.kill()
    _, said = process.communicate()
    assert process.returncode < 0, said
    return states(folder)[0]


@pytest.fixture(scope="module", params=["bcos-tiny"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A model, the cache in which its training was killed, and one in which it was not."""
    caches = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, caches[0])
        killed_training(request.param, checkpoint(request.param, LONG))
        use_cache(patch, caches[1])
        faithbench.train(request.param, LONG, faithbench.Training(epochs=2), device="cpu")
    return request.param, *caches


@pytest.mark.slow
def test_a_killed_training_continues_and_ends_as_if_it_had_not_been_killed(killed, tmp_path, monkeypatch):
    model, cache, undisturbed = killed
    shutil.copytree(cache, tmp_path / "cache")
    use_cache(monkeypatch, tmp_path / "cache")
    folder = checkpoint(model, LONG)
    assert not (folder / "training.json").exists()
    before = history(states(folder)[0])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        _, told = faithbench.train(model, LONG, faithbench.Training(epochs=2), device="cpu")
    after = history(states(folder)[-1])
    assert after[: len(before)] == before  # seconds included: these evaluations were not made again
    assert len(after) == 4
    assert told["steps"] == 60
    use_cache(monkeypatch, undisturbed)
    assert_equal_weights(folder, checkpoint(model, LONG))
    assert told["test"] == report(checkpoint(model, LONG))["test"]


@pytest.mark.slow
@pytest.mark.parametrize("left", [[], ["config.json"], ["config.json", "model.safetensors"]])
def test_a_training_killed_while_it_wrote_a_state_continues_from_the_one_before(killed, left, tmp_path, monkeypatch):
    model, cache, undisturbed = killed
    shutil.copytree(cache, tmp_path / "cache")
    use_cache(monkeypatch, tmp_path / "cache")
    folder = checkpoint(model, LONG)
    torn = states(folder)[0].with_name("checkpoint-99")
    shutil.rmtree(torn, ignore_errors=True)
    torn.mkdir()
    for name in left:
        shutil.copy(states(folder)[0] / name, torn)
    faithbench.train(model, LONG, faithbench.Training(epochs=2), device="cpu")
    use_cache(monkeypatch, undisturbed)
    assert_equal_weights(folder, checkpoint(model, LONG))
