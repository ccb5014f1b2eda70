"""A plan is resolved once, into blocks that can be handed on; a run looks at nothing twice."""

import pickle
from collections import Counter

import pytest
from fixtures_run import DATA, TRAINING, trained_cache, use_cache

import faithbench
from faithbench.datasets.seqpg import SeqPG
from faithbench.errors import UserError
from faithbench.plan import Training
from faithbench.records.store import Store
from faithbench.running.agenda import resolve_plan
from faithbench.training import loading

DOCUMENTS = f"seqpg(dataset='{DATA}', segment=10, documents=6, confidence=0.5)"


def plan(**changes: object) -> faithbench.Plan:
    usual = {
        "datasets": (DATA, DOCUMENTS),
        "models": ("conv-tiny", "bcos-tiny"),
        "explainers": ("occlusion", "random"),
        "metrics": ("comprehensiveness", "seqpg"),
        "training": TRAINING,
        "limit": 4,
    }
    return faithbench.Plan(**{**usual, **changes})


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


def test_blocks_are_each_data_set_with_each_model_and_can_be_pickled():
    (blocks,) = faithbench.check_plans([plan()], device="cpu").blocks
    names = [(block.dataset.identity.partition("(")[0], block.model.identity.partition("(")[0]) for block in blocks]
    assert names == [(data, model) for data in ("planted", "seqpg") for model in ("conv-tiny", "bcos-tiny")]
    again = pickle.loads(pickle.dumps(blocks))
    assert again == blocks
    assert [block.complete_training for block in again] == [block.complete_training for block in blocks]
    assert all(isinstance(block.dataset.object, SeqPG) for block in again[2:])
    assert {block.base.identity for block in blocks} == {blocks[0].dataset.identity}


def test_cells_are_those_that_a_run_measures(tmp_path):
    faithbench.run(plan(), tmp_path, device="cpu", train=False)
    records = Store(tmp_path).read("records")
    columns = ["dataset", "model", "explainer", "metric"]
    measured = set(records[columns].itertuples(index=False, name=None))
    offered = {"planted": {"evidence"}, "seqpg": {"segments"}}
    asked = [
        cell
        for block in resolve_plan(plan())
        for cell in block.cells(offered[block.dataset.identity.partition("(")[0]])
    ]
    assert set(asked) == measured
    assert len(asked) == len(measured)


def test_a_model_that_is_named_twice_is_one_block():
    assert len(resolve_plan(plan(datasets=(DATA,), models=("conv-tiny", "conv-tiny(seed=42)")))) == 1


def test_a_finished_run_loads_each_checkpoint_once_and_reads_the_store_once(tmp_path, monkeypatch):
    faithbench.run(plan(), tmp_path, device="cpu")
    calls: Counter[str] = Counter()

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: object, **kwargs: object) -> object:
            calls[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted(loading, "load")
    counted(loading.HuggingFaceClassifier, "fingerprint")
    counted(Store, "_read")
    agenda = faithbench.check_plans([plan()], device="cpu")
    assert not calls
    done = faithbench.run(plan(), tmp_path, device="cpu", agenda=agenda)
    assert (done.done, done.before) == (0, 32)
    assert calls == {"load": 2, "fingerprint": 2, "_read": 2}


def test_a_model_that_is_not_there_and_may_not_be_trained_is_found_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"has not been trained on .*, and training is switched off"):
        faithbench.check_plans([plan(models=("conv-tiny(seed=7)",))], device="cpu", train=False)
    with pytest.raises(UserError, match="has not been trained"):
        faithbench.run(plan(models=("conv-tiny(seed=7)",)), tmp_path / "run", device="cpu", train=False)
    assert not (tmp_path / "run").exists()


def test_trainings_say_what_is_different():
    one = Training(epochs=3, lr=1e-4)
    assert one.differences(one) == []
    assert one.differences(Training(epochs=3, lr=1e-4, limit=5)) == [("limit", None, 5)]
    assert one.differences({"epochs": 2, "lr": 1e-4, "made up": 1}) == [("epochs", 3, 2)]
    assert one.differences({}) == [("epochs", 3, None), ("lr", 1e-4, None)]


def test_an_agenda_of_other_plans_is_refused(tmp_path):
    agenda = faithbench.check_plans([plan()], device="cpu")
    with pytest.raises(UserError, match="agenda was made of other plans"):
        faithbench.run(plan(limit=5), tmp_path / "run", device="cpu", agenda=agenda)
    assert not (tmp_path / "run").exists()
