"""A data set that differs in its test split alone is not trained on again."""

from contextlib import suppress

from fixtures_run import add_distribution

from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset
from faithbench.training import named_models, prepare
from faithbench.training.setup import Setup

TRAINED = "planted(train=64, validation=8, test=8)"


def test_another_number_of_test_texts_is_the_same_training(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    setup = Setup(training=Training(epochs=1))
    first = prepare.prepare("conv-tiny", build_dataset(TRAINED), setup)
    monkeypatch.setattr(named_models, "fine_tune", lambda *_: (_ for _ in ()).throw(AssertionError("trained again")))
    again = prepare.prepare("conv-tiny", build_dataset("planted(train=64, validation=8, test=30)"), setup)
    assert again.fingerprint == first.fingerprint
    assert again.report["dataset"] == first.report["dataset"]


def test_another_training_split_or_setting_is_another_training(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    setup = Setup(training=Training(epochs=1))
    prepare.prepare("conv-tiny", build_dataset(TRAINED), setup)
    asked = trainings(monkeypatch)
    others = ("planted(train=66, validation=8, test=8)", 1), ("planted(train=64, validation=8, test=9)", 2)
    for data, epochs in others:
        with suppress(ZeroDivisionError):
            prepare.prepare("conv-tiny", build_dataset(data), Setup(training=Training(epochs=epochs)))
    assert len(asked) == 2


def test_a_quick_training_does_not_stand_for_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    prepare.prepare("conv-tiny", build_dataset(TRAINED), Setup(training=Training(epochs=1)))
    asked = trainings(monkeypatch)
    with suppress(ZeroDivisionError):
        prepare.prepare("conv-tiny", build_dataset("planted(train=64, validation=8, test=9)"), Setup())
    assert len(asked) == 1


OWN = '''
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from faithbench.types import Example

@dataclass(frozen=True)
class Words:
    """Texts of the words in a file."""

    test: int = 8
    class_names: ClassVar = ("a", "b")
    test_only: ClassVar = ("test",)

    @property
    def content(self):
        return Path(__file__).with_name("words.txt").read_text()

    def load(self, split):
        words = self.content.split()
        return [Example(f"{split}-{i}", words[i % 2], i % 2) for i in range(self.test if split == "test" else 8)]
'''


def test_other_content_is_another_training(tmp_path, monkeypatch):
    place = add_distribution(
        tmp_path / "own", "own_words", {"datasets": {"words-of-a-file": "own_words:Words"}}, {"own_words": OWN}
    )
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(place))
    setup = Setup(training=Training(epochs=1))
    (place / "words.txt").write_text("good bad")
    prepare.prepare("conv-tiny", build_dataset("words-of-a-file(test=8)"), setup)
    asked = trainings(monkeypatch)
    prepare.prepare("conv-tiny", build_dataset("words-of-a-file(test=9)"), setup)
    assert not asked
    (place / "words.txt").write_text("horse cow")
    with suppress(ZeroDivisionError):
        prepare.prepare("conv-tiny", build_dataset("words-of-a-file(test=9)"), setup)
    assert len(asked) == 1


def trainings(monkeypatch):
    """Identities of the data sets that will have been asked to be trained on; each is refused."""
    asked = []
    monkeypatch.setattr(named_models, "_train_now", lambda model, dataset, *_: asked.append(dataset.identity) or 1 / 0)
    return asked
