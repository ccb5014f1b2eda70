"""A run with nothing left reads no text, no scores: what it costs does not grow with what it has measured."""

import json

import numpy as np
import pytest
from fixtures_run import DATA, trained_cache, use_cache

import faithbench
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.records.store import Store
from faithbench.running import knowledge
from faithbench.running.remaining import Remaining

FEW = 2


@pytest.fixture(autouse=True)
def encoded(monkeypatch) -> list[str]:
    """The ids of the texts that are read, in their order."""
    use_cache(monkeypatch, trained_cache())
    monkeypatch.setattr(knowledge, "PROBED", FEW)
    told, encode = [], HuggingFaceClassifier.encode

    def tells(self, example):
        told.append(example.id)
        return encode(self, example)

    monkeypatch.setattr(HuggingFaceClassifier, "encode", tells)
    return told


def plan(**changes) -> faithbench.Plan:
    options = {"explainers": ("occlusion", "random"), "metrics": ("comprehensiveness", "gini"), "limit": 12}
    return faithbench.Plan((DATA,), ("conv-tiny",), **{**options, **changes})


def test_a_run_with_nothing_left_reads_a_few_texts_and_no_scores(tmp_path, monkeypatch, encoded):
    first = faithbench.run(plan(), tmp_path, device="cpu")
    manifest, values = Store(tmp_path).manifest(), Store(tmp_path).read("records")["value"].tolist()
    encoded.clear()
    monkeypatch.setattr(Remaining, "_explained", property(lambda self: pytest.fail("scores are read")))
    again = faithbench.run(plan(), tmp_path, device="cpu")
    assert len(encoded) == FEW
    assert (again.done, again.before) == (0, first.done)
    assert Store(tmp_path).manifest() == manifest
    assert Store(tmp_path).read("records")["value"].tolist() == values


def test_only_texts_with_something_left_are_read_and_scored(tmp_path, encoded):
    whole = faithbench.run(plan(), tmp_path / "whole", device="cpu")
    faithbench.run(plan(), tmp_path / "part", device="cpu")
    store = Store(tmp_path / "part")
    (path,) = (tmp_path / "part" / "records").iterdir()
    frame = store.read("records")
    gone = sorted(frame["unit"].unique())[:3]
    path.unlink()
    kept = frame[~(frame["unit"].isin(gone) & (frame["explainer"] == "random(seed=0)"))]
    assert len(kept) < len(frame)
    kept.rename(columns={"unit": "text_id"}).to_parquet(path, index=False)
    encoded.clear()
    again = faithbench.run(plan(), tmp_path / "part", device="cpu")
    assert sorted(encoded[FEW:]) == gone
    assert (again.done, again.before) == (len(frame) - len(kept), len(kept))
    assert whole.done == len(frame)
    columns = ["explainer", "metric", "unit", "value"]
    tables = [Store(tmp_path / name).read("records")[columns] for name in ("whole", "part")]
    one, other = (table.sort_values(columns[:3], ignore_index=True) for table in tables)
    assert one[columns[:3]].equals(other[columns[:3]])
    np.testing.assert_allclose(one["value"], other["value"], atol=1e-3)


@pytest.mark.parametrize("change", [{"probe": "another"}, {"texts": 11}, None])
def test_what_a_manifest_says_of_other_texts_is_not_believed(tmp_path, encoded, change):
    faithbench.run(plan(), tmp_path, device="cpu")
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    (entry,) = manifest["models"].values()
    if change is None:
        del entry["read"]
    else:
        entry["read"] |= change
    entry["truncated_texts"] = 7
    path.write_text(json.dumps(manifest))
    encoded.clear()
    faithbench.run(plan(), tmp_path, device="cpu")
    assert len(encoded) == FEW + 12
    (entry,) = Store(tmp_path).manifest()["models"].values()
    assert entry["truncated_texts"] == 0


def test_another_limit_is_other_texts(tmp_path, encoded):
    faithbench.run(plan(), tmp_path, device="cpu")
    encoded.clear()
    done = faithbench.run(plan(limit=14), tmp_path, device="cpu")
    assert done.before == 12 * 4
    assert len(encoded) == FEW + 14
