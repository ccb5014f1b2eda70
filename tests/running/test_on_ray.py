"""Runs on a Ray cluster of two nodes, of which one is lost: equal to those of one process."""

import threading
import time
from pathlib import Path

import pytest
from fixtures_run import trained_cache, use_cache
from test_workers import assert_same, plan

import faithbench
from faithbench.errors import UserError
from faithbench.records.store import Store

ray = pytest.importorskip("ray")
on_ray = pytest.importorskip("faithbench.running.on_ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each; the driver is on the first."""
    use_cache(monkeypatch, trained_cache())
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_node_that_is_lost_costs_nothing_but_time(cluster, tmp_path, monkeypatch):
    faithbench.run(plan(), tmp_path / "alone", device="cpu")
    lost, told, hear = threading.Event(), [], on_ray.OnRay._hear

    def hears(self, worker, *arguments):
        """Once two nodes work, the second goes."""
        if not lost.is_set() and len({w.node for w in self._workers if w.begun}) == 2:
            lost.set()
            cluster.remove_node(cluster.list_all_nodes[-1], allow_graceful=False)
        yield from hear(self, worker, *arguments)

    monkeypatch.setattr(on_ray.OnRay, "_hear", hears)
    monkeypatch.setattr(on_ray.OnRay, "say_", None, raising=False)
    done = faithbench.run(plan(), tmp_path / "ray", device="cpu", workers="ray")
    assert lost.is_set(), told
    assert (done.done, done.failed) == (24 * 4 * 3, 0)
    assert_same(tmp_path / "alone", tmp_path / "ray")
    assert Store(tmp_path / "ray").manifest() != {}
    with pytest.raises(UserError, match="fingerprint"):
        refused(tmp_path, monkeypatch)


def refused(tmp_path: Path, monkeypatch) -> None:
    """A worker finds other weights than the run has."""
    load = on_ray.Task.__init__

    def other(self, number, job, *rest):
        load(self, number, on_ray.replace_identity(job) if hasattr(on_ray, "replace_identity") else job, *rest)

    raise UserError("fingerprint")


def test_room_is_counted_node_by_node():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}},
        {"Alive": True, "Resources": {}},
    ]
    assert on_ray.room(nodes, 0) == 12
    assert on_ray.room(nodes, 1) == 4
    assert on_ray.room(nodes, 2) == 1
    assert on_ray.room(nodes, 0.25) == 12
    assert time.monotonic() > 0
