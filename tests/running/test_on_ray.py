"""Runs on a Ray cluster of two nodes, of which one is lost: equal to those of one process."""

import io
import threading

import pytest
from fixtures_run import trained_cache, use_cache
from parallel_runs import assert_same, plan
from rich.console import Console

import faithbench
from faithbench.errors import UserError
from faithbench.running.pieces import Deal
from faithbench.training import origins

ray = pytest.importorskip("ray")
on_ray = pytest.importorskip("faithbench.running.on_ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def lose_second_node(monkeypatch):
    """Two nodes of one core each; the driver is on the first. What ends the second."""
    use_cache(monkeypatch, trained_cache())
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}  # that a node is known to be lost
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": soon}
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield lambda: made.remove_node(second, allow_graceful=False)
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_a_node_that_is_lost_costs_nothing_but_time(lose_second_node, tmp_path, monkeypatch):
    long = plan(explainers=("shap_sampl(n_permutations=150)", "random"), limit=8)  # a piece takes a second
    faithbench.run(long, tmp_path / "alone", device="cpu")
    both, lost, log = threading.Event(), threading.Event(), io.StringIO()
    hear, deal = on_ray.OnRay._hear, Deal.next

    def hears(self, worker, *arguments):
        """Once two nodes are at work, the second goes."""
        yield from hear(self, worker, *arguments)
        if len({one.node for one in self._workers if one.node}) == 2:
            both.set()
        if not lost.is_set() and len({one.node for one in self._workers if one.piece is not None and one.begun}) == 2:
            lost.set()
            lose_second_node()

    monkeypatch.setattr(on_ray.OnRay, "_hear", hears)
    monkeypatch.setattr(Deal, "next", lambda self: deal(self) if both.is_set() else None)
    console = Console(file=log, width=300)
    done = faithbench.run(long, tmp_path / "ray", device="cpu", workers="ray", console=console)
    assert lost.is_set()
    assert (done.done, done.failed) == (8 * 2 * 3, 0)
    assert_same(tmp_path / "alone", tmp_path / "ray")
    assert "Working on the Ray cluster that is there" in log.getvalue()
    assert "A worker on Ray was lost (its node was lost)" in log.getvalue()
    origin = on_ray.sent_origin
    monkeypatch.setattr(on_ray, "sent_origin", lambda model: origins.Origin(origin(model).source + "-gone"))
    with pytest.raises(UserError, match=r"model .*-gone"):
        faithbench.run(plan(limit=10), tmp_path / "ray", device="cpu", workers="ray")


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


def test_it_is_said_which_cluster_is_worked_on():
    nodes = [{"Alive": alive, "Resources": {"CPU": 2.0}} for alive in (True, True, False)]
    joined = on_ray.which(False, "10.0.0.1:6379", nodes, 0)
    assert "the Ray cluster that is there, 10.0.0.1:6379 (2 nodes, room for 4 workers)" in joined
    assert "one was started on this machine" in on_ray.which(True, "10.0.0.1:6379", nodes[:1], 0)
    assert "(1 node, room for 2 workers)" in on_ray.which(True, "10.0.0.1:6379", nodes[:1], 0)


def test_workers_that_are_only_lost_are_given_up(monkeypatch):
    said, started = [], []
    monkeypatch.setattr(on_ray.ray, "nodes", lambda: [{"Alive": True, "NodeID": "n", "Resources": {"CPU": 1.0}}])
    monkeypatch.setattr(on_ray.OnRay, "_recruit", lambda self: started.append(1))
    monkeypatch.setattr(on_ray, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(on_ray, "WAIT_SECONDS", 0.0)
    cluster = on_ray.OnRay(None, "cpu", said.append)

    def lose(times: int) -> None:
        for _ in range(times):
            worker = on_ray._Worker(None, None)
            cluster._workers = [worker]
            list(cluster._lost(worker, ray.exceptions.RayError("gone"), None, None, None))

    with pytest.raises(UserError, match="ray status"):
        lose(10)
    assert len(started) == on_ray.STARTS - 1
    assert said == []
