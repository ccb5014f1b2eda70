"""Masked fine-tuning (arXiv 2310.07819): half of each batch, so many of its tokens, the same after a kill."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import tiny_network, tiny_tokenizer
from checkpoints import report
from fixtures_run import call, checkpoint, trained_cache, use_cache
from transformers import EvalPrediction

import faithbench
from faithbench.errors import UserError
from faithbench.models.zoo import conventional
from faithbench.plugins import spec
from faithbench.plugins.naming import refer
from faithbench.questions import Row
from faithbench.training.fine_tuning import _tokenised, accuracies, classifier_trainer, mean_accuracy, run_trainer
from faithbench.training.keeping import last_state
from faithbench.training.masking import HalfMasking
from faithbench.training.prepare import load_model
from faithbench.training.setup import Setup
from faithbench.types import Example

MASK = 4
LONG = "planted(train=800, validation=40, test=40)"
NAMED = ("conv-bert", "bcos-bert", "conv-roberta", "bcos-minilm", "conv-distilbert")
WORDS = "toil and tears is not a dull one said an old lion at noon too late".split()


def rows_of(texts: int) -> list[dict]:
    """Tokenised sentences of 1 to 16 words."""
    examples = [Example(str(i), " ".join(WORDS[: 1 + i % len(WORDS)]), i % 2) for i in range(texts)]
    return _tokenised(examples, tiny_tokenizer())


def told(rows: list[dict]) -> list[dict]:
    """Rows as lists, which can be compared."""
    return [{name: np.array(value).tolist() for name, value in row.items()} for row in rows]


def batch(rows: int, tokens: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids, none of them the mask's, and special tokens first and last."""
    special = torch.zeros(rows, tokens, dtype=torch.long)
    special[:, [0, -1]] = 1
    return torch.arange(10, 10 + rows * tokens).reshape(rows, tokens), special


def shares_masked(rows: int, step: int, seed: int = 0) -> np.ndarray:
    """The share of content tokens masked in each row of a batch."""
    ids, special = batch(rows)
    return ((HalfMasking(MASK, seed).batch(ids, special, step) == MASK)[:, 1:-1]).float().mean(1).numpy()


def test_half_of_each_batch_stays_as_it_is_and_a_text_of_the_rest_loses_a_share_that_is_uniform():
    masked = np.stack([shares_masked(16, step) for step in range(400)])
    assert ((masked > 0).sum(1) <= 8).all()
    assert ((masked > 0).sum(1)).mean() > 7.7  # a share may round to nothing
    shares = masked[masked > 0]
    assert np.quantile(shares, [0.1, 0.25, 0.5, 0.75, 0.9]) == pytest.approx([0.1, 0.25, 0.5, 0.75, 0.9], abs=0.04)


def test_which_half_is_masked_does_not_go_by_place_in_the_batch():
    often = np.mean([shares_masked(16, step) > 0 for step in range(400)], axis=0)
    assert (often > 0.35).all()
    assert (often < 0.65).all()


def test_of_an_odd_batch_one_more_or_less_is_masked_and_of_a_single_text_every_second():
    counts = {(shares_masked(3, step) > 0).sum() for step in range(100)}
    assert counts in ({0, 1, 2}, {1, 2})  # a share may round to nothing
    assert np.mean([shares_masked(1, step)[0] > 0 for step in range(400)]) == pytest.approx(0.5, abs=0.08)


def test_special_tokens_are_never_masked_and_masks_stand_where_tokens_stood():
    ids, special = batch(16)
    for step in range(50):
        masked = HalfMasking(MASK, 0).batch(ids, special, step)
        assert torch.equal(masked[:, [0, -1]], ids[:, [0, -1]])
        assert ((masked == ids) | (masked == MASK)).all()


def test_tokens_of_one_text_are_masked_apart_from_each_other():
    ids, special = batch(16)
    pairs = [(HalfMasking(MASK, 0).batch(ids, special, step) == MASK)[:, 1:-1] for step in range(200)]
    hidden = torch.cat(pairs)
    hidden = hidden[(hidden.float().mean(1) - 0.5).abs() < 0.1].float()
    together = (hidden[:, 1:] * hidden[:, :-1]).mean()
    assert together.item() == pytest.approx(0.25, abs=0.03)  # and not in runs or all alike


def test_masks_depend_on_seed_and_step_alone():
    assert np.array_equal(shares_masked(16, 7), shares_masked(16, 7))
    assert not np.array_equal(shares_masked(16, 7), shares_masked(16, 8))
    assert not np.array_equal(shares_masked(16, 7), shares_masked(16, 7, seed=1))


def test_unknown_words_are_content_and_can_be_masked():
    unknown = _tokenised([Example("x", "ÿ ÿ ÿ ÿ", 0)], tiny_tokenizer())
    assert tiny_tokenizer().unk_token_id in unknown[0]["input_ids"]
    (masked,) = HalfMasking(MASK, 0).rows(unknown, share=1.0)
    assert masked["input_ids"][1:-1].tolist() == [MASK] * 4


def test_masked_rows_are_the_same_each_time_and_keep_all_else():
    rows, masks = rows_of(40), HalfMasking(MASK, 3)
    assert told(masks.rows(rows)) == told(masks.rows(rows)) != told(rows)
    assert [row["label"] for row in masks.rows(rows)] == [row["label"] for row in rows]
    assert told(masks.rows(rows, share=0.0)) == told(rows)
    assert told(masks.rows(rows)[:10]) == told(masks.rows(rows[:10]))


def trained_steps(work: Path, masks: HalfMasking | None, epochs: int = 2) -> tuple[list[torch.Tensor], dict]:
    """The ids that a model is really given in each step of a training, and its weights at the end."""
    network, rows, seen = tiny_network("bert"), rows_of(32), []
    training = faithbench.Training(epochs, lr=1e-3, batch_size=8)
    data = {"train": rows, "validation": rows[:9]}
    trainer = classifier_trainer(network, tiny_tokenizer(), data, work, training, 0, "cpu", "ce", False, masks)
    network.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["input_ids"].clone()) if module.training else None,
        with_kwargs=True,
    )
    run_trainer(trainer, work, verbose=False)
    return seen, network.state_dict()


def test_a_model_is_trained_on_masked_batches_and_no_padding_is_masked(tmp_path):
    masks = HalfMasking(tiny_tokenizer().mask_token_id, 0)
    plain, _ = trained_steps(tmp_path / "plain", None)
    masked, _ = trained_steps(tmp_path / "masked", masks)
    assert len(plain) == len(masked) == 8
    special = set(tiny_tokenizer().all_special_ids)
    for one, other in zip(plain, masked, strict=True):
        assert one.shape == other.shape  # the same texts in the same batches
        changed = one != other
        assert (other[changed] == tiny_tokenizer().mask_token_id).all()
        assert not special & set(one[changed].tolist())
        assert changed.any(1).sum() <= 4
    assert sum((one != other).any().item() for one, other in zip(plain, masked, strict=True)) == 8


def test_a_training_that_was_killed_draws_the_masks_that_it_would_have_drawn(tmp_path):
    masks = HalfMasking(tiny_tokenizer().mask_token_id, 0)
    whole, weights_of_whole = trained_steps(tmp_path / "work", masks)
    states = sorted((tmp_path / "work").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    shutil.rmtree(states[-1])
    begun = int(Path(last_state(tmp_path / "work")).name[11:])
    assert 0 < begun < 8
    rest, weights_of_rest = trained_steps(tmp_path / "work", masks)
    assert len(rest) == 8 - begun
    assert all(torch.equal(one, other) for one, other in zip(rest, whole[begun:], strict=True))
    assert all(torch.equal(weights_of_whole[name], weights_of_rest[name]) for name in weights_of_whole)


def test_the_best_checkpoint_is_that_of_the_mean_of_both_accuracies(tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=20)
    logits = generator.normal(size=(20, 3)) + np.eye(3)[labels]
    found = mean_accuracy(EvalPrediction(predictions=logits, label_ids=labels))
    plain, masked = (accuracies(EvalPrediction(logits[part], labels[part])) for part in (slice(10), slice(10, 20)))
    assert found["accuracy"] == pytest.approx((plain["accuracy"] + masked["accuracy"]) / 2)
    assert found["masked_accuracy"] == masked["accuracy"] != plain["accuracy"]
    rows = rows_of(5)
    masks = HalfMasking(MASK, 0)
    training = faithbench.Training(1, lr=1e-3)
    trainer = classifier_trainer(
        tiny_network("bert"), tiny_tokenizer(), {"train": rows, "validation": rows}, tmp_path, training, 0, "cpu", "ce",
        False, masks,
    )  # fmt: skip
    ids = [row["input_ids"].tolist() for row in trainer.eval_dataset]
    assert ids == [row["input_ids"].tolist() for row in [*rows, *masks.rows(rows)]]
    assert (trainer.args.metric_for_best_model, trainer.compute_metrics) == ("accuracy", mean_accuracy)


# Names


@pytest.mark.parametrize("name", NAMED)
def test_masking_is_off_for_the_models_of_the_paper_and_part_of_the_name_where_it_is_on(name):
    usual, masked = spec.build("model", name), spec.build("model", f"{name}(masking=half)")
    assert "masking" not in usual.identity
    assert masked.identity.replace(", masking=half", "") == usual.identity != masked.identity
    assert (usual.object.masking, masked.object.masking) == ("none", "half")
    assert spec.build("model", f"{name}(masking=none)").identity == usual.identity


@pytest.mark.parametrize("name", ["conv-tiny", "bcos-tiny"])
def test_tiny_models_are_trained_on_masks_and_their_name_says_so(name):
    """A checkpoint of before, whose name said nothing, is another model."""
    assert "seed=42, masking=half" in spec.build("model", name).identity
    assert spec.build("model", name).label == name
    assert spec.build("model", f"{name}(masking=none)").label == f"{name}(masking=none)"
    assert checkpoint(name) != checkpoint(f"{name}(masking=none)")


def test_another_word_for_masking_is_one_sentence():
    with pytest.raises(UserError, match="masking='all' is not allowed; use none or half"):
        spec.build("model", "conv-bert(masking=all)")


# Trained models


@pytest.fixture
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


@pytest.mark.usefixtures("_trained")
@pytest.mark.parametrize("model", ["conv-tiny", "bcos-tiny"])
def test_the_report_has_the_accuracy_of_both_forms_and_of_the_mean_the_best(model):
    told = report(checkpoint(model))
    both = told["validation"]["accuracy"], told["validation_masked"]["accuracy"]
    assert told["best_validation_accuracy"] == pytest.approx(np.mean(both))
    assert both[0] > both[1] > 60
    assert told["test"]["accuracy"] > told["test_masked"]["accuracy"] > 60


@pytest.mark.slow
def test_a_mask_speaks_for_no_class_after_training_on_masks(tmp_path, monkeypatch):
    """Texts that are all masks: the labels alternate, so that the model should be in doubt."""
    use_cache(monkeypatch, tmp_path)
    training, said = faithbench.Training(epochs=5, lr=5e-3), {}
    for masking in ("none", "half"):
        folder, _ = faithbench.train("bcos-tiny", LONG, training, masking=masking, device="cpu")
        classifier = load_model(str(folder), Setup()).classifier
        start, end = classifier.encode(Example("a", "the", 0)).ids[[0, -1]]
        logits = classifier.logits([Row(np.array([start, *[classifier.blank.id] * n, end])) for n in range(8, 18)])
        said[masking] = np.abs(logits[:, 0] - logits[:, 1]).mean()
    assert said["half"] < said["none"] / 2, said


@pytest.mark.slow
def test_masking_can_be_asked_for_by_the_command(tmp_path, monkeypatch, capsys):
    use_cache(monkeypatch, tmp_path)
    data = "planted(train=32, validation=8, test=8)"
    command = ("train", "--model", "conv-tiny", "--dataset", data, "--epochs", 1, "--device", "cpu")
    assert call(capsys, *command, "--masking", "none").status == 0
    assert "validation_masked" not in report(checkpoint("conv-tiny(masking=none)", data))
    assert call(capsys, *command).status == 0
    assert "validation_masked" in report(checkpoint("conv-tiny", data))


@pytest.mark.parametrize(
    ("model", "judge"),
    [
        ("bcos-minilm", "conv-minilm"),
        ("bcos-minilm(masking=half, seed=3)", "conv-minilm(masking=half)"),
        ("bcos-tiny", "conv-tiny"),
        ("bcos-tiny(masking=none)", "conv-tiny(masking=none)"),
        ("./mine", "./mine"),
    ],
)
def test_the_conventional_model_beside_a_model_was_masked_alike(model, judge):
    assert conventional(refer(model)).identity == refer(judge).identity
