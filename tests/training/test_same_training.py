"""A data set that differs in its test split alone is not trained on again."""

from contextlib import suppress

from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset
from faithbench.training import prepare
from faithbench.training.prepare import Setup

TRAINED = "planted(train=64, validation=8, test=8)"


def test_another_number_of_test_texts_is_the_same_training(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    setup = Setup(training=Training(epochs=1))
    first = prepare.prepare("conv-tiny", build_dataset(TRAINED), setup)
    monkeypatch.setattr(prepare, "fine_tune", lambda *_: (_ for _ in ()).throw(AssertionError("trained again")))
    again = prepare.prepare("conv-tiny", build_dataset("planted(train=64, validation=8, test=30)"), setup)
    assert again.fingerprint == first.fingerprint
    assert again.report["dataset"] == first.report["dataset"]


def test_another_training_split_or_setting_is_another_training(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    setup = Setup(training=Training(epochs=1))
    prepare.prepare("conv-tiny", build_dataset(TRAINED), setup)
    asked = []
    monkeypatch.setattr(prepare, "_train_now", lambda model, dataset, *_: asked.append(dataset.identity) or 1 / 0)
    others = ("planted(train=66, validation=8, test=8)", 1), ("planted(train=64, validation=8, test=9)", 2)
    for data, epochs in others:
        with suppress(ZeroDivisionError):
            prepare.prepare("conv-tiny", build_dataset(data), Setup(training=Training(epochs=epochs)))
    assert len(asked) == 2
