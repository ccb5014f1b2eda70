"""Work in pieces: every cell is dealt once, pieces balance, and what kills workers is found and given up alone."""

import io
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from builders import LinearModel
from fixtures_run import call

from faithbench.errors import ModelChangedError, UserError
from faithbench.plugins.spec import build
from faithbench.records.store import Store
from faithbench.running import options
from faithbench.running.executors import Here, executor_of, given_back
from faithbench.running.pieces import DEATHS, SHORTEST, Deal, Job, Piece, Summary, Took, Work
from faithbench.running.worker import Begun, Ended, Task, Worker, Written, receive, told
from faithbench.running.workers import devices_of, ended, sendable, sent_origin, threads
from faithbench.training.origins import Origin, load_same
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup
from faithbench.types import Attribution, Target, Text

EXPLAINERS, METRICS = ("occlusion", "random", "lime"), ("entropy", "gini")


def text(number: int, tokens: int = 6) -> Text:
    ids = np.arange(tokens) + 2
    special = np.zeros(tokens, dtype=bool)
    return Text(f"text-{number}", ids, special, np.arange(tokens), tuple(map(str, ids)), 1, vocabulary=np.arange(9))


def work(number: int, tokens: int = 6) -> Work:
    return Work(text(number, tokens), tuple((e, m) for e in EXPLAINERS for m in METRICS))


def summary(name: str, **seconds: float) -> Summary:
    return Summary(name, [Took(e, m, each / len(METRICS), 1) for e, each in seconds.items() for m in METRICS])


def cells(*pieces: Piece) -> Counter[tuple[str, str, str]]:
    return Counter((w.text.id, *cell) for piece in pieces for w in piece.works for cell in w.cells)


def drained(deal: Deal) -> list[Piece]:
    found = []
    while piece := deal.next():
        found.append(piece)
    return found


def test_every_cell_is_dealt_once_in_many_more_pieces_than_workers_the_dearest_first():
    works = [work(i, tokens=5 + i % 40) for i in range(200)]
    deal = Deal(works, workers=4)
    pieces = drained(deal)
    assert cells(*pieces) == cells(Piece(0, tuple(works)))
    assert len(pieces) == deal.pieces > 4 * 4
    lengths = [max(len(w.text) for w in piece.works) for piece in pieces]
    assert lengths == sorted(lengths, reverse=True)
    sizes = [sum(w.units for w in piece.works) for piece in pieces]
    assert sizes[0] > 5 * sizes[-1]
    assert max(sizes) < sum(sizes) / 10


def test_pieces_follow_what_work_was_measured_to_take():
    deal = Deal([work(i) for i in range(1000)], workers=2)
    first = deal.next()
    each = 0.01
    for one in first.works:
        deal.done(summary(one.text.id, occlusion=each / 3, random=each / 3, lime=each / 3))
    pieces = drained(deal)
    takes = [each * len(piece.works) for piece in pieces]
    assert all(seconds >= SHORTEST - each for seconds in takes[:-1])  # never so short that dealing costs more
    assert len(pieces[-1].works) > 1


def test_few_dear_texts_are_cut_by_explainer_and_together_they_are_whole():
    works = [work(0, tokens=60), work(1)]
    pieces = drained(Deal(works, workers=3))
    assert cells(*pieces) == cells(Piece(0, tuple(works)))
    assert max(Counter(w.text.id for piece in pieces for w in piece.works).values()) == len(EXPLAINERS)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_cell_that_kills_its_workers_is_found_and_given_up_alone(workers):
    works, culprit = [work(i) for i in range(30)], ("text-7", "random")
    deal, done, deaths, given_up = Deal(works, workers), Counter(), 0, []
    while piece := deal.next():
        killed = any((w.text.id, e) == culprit for w in piece.works for e in w.explainers)
        if not killed:
            done += cells(piece)
            continue
        deaths += 1
        begun = piece.works[: next(i for i, w in enumerate(piece.works) if w.text.id == culprit[0])]
        done += cells(Piece(0, begun))
        given_up += deal.again(piece, {(w.text.id, cell) for w in begun for cell in w.cells})
    assert deaths == DEATHS
    assert [(w.text.id, w.cells) for w in given_up] == [("text-7", (("random", "entropy"), ("random", "gini")))]
    assert done + cells(Piece(0, tuple(given_up))) == cells(Piece(0, tuple(works)))


def test_a_piece_is_not_blamed_for_a_node_that_is_lost():
    deal = Deal([work(0)], 1)
    for _ in range(5 * DEATHS):
        assert deal.again(deal.next(), (), blamed=False) == []
    assert len(deal.next().works) == 1


def test_a_piece_is_a_value_that_can_be_sent_and_nobody_can_write_into_it():
    known = {"random": {Target(1): Attribution("text-0", Target(1), np.arange(6.0))}}
    piece, vocabulary = Piece(3, (replace(work(0), known=known),)), np.arange(9)
    sent = pickle.dumps(piece.packed())
    assert len(sent) < len(pickle.dumps(piece))
    (came,) = pickle.loads(sent).unpacked(Job({}, {}, {}, vocabulary=vocabulary)).works
    for name in ("ids", "special", "words", "vocabulary"):
        there = getattr(came.text, name)
        assert there.tolist() == getattr(piece.works[0].text, name).tolist()
        assert not there.flags.writeable
    assert came.known["random"][1].scores.tolist() == list(range(6))
    assert not came.known["random"][1].scores.flags.writeable
    assert came.cells == piece.works[0].cells


def linear_job() -> tuple[LinearModel, Job, list[Work]]:
    model = LinearModel.random()
    identity = {"dataset": "d", "dataset_fingerprint": "f", "model": "m", "model_fingerprint": model.fingerprint()}
    explainers = {c.identity: c for c in (build("explainer", "occlusion"), build("explainer", "random"))}
    metrics = {c.identity: c for c in (build("metric", "entropy"), build("metric", "comprehensiveness"))}
    works = [Work(text(i), tuple((e, m) for e in explainers for m in metrics)) for i in range(4)]
    return model, Job(identity, explainers, metrics, vocabulary=np.arange(9)), works


class Linear:
    """What makes the model of `linear_job`, as a plugin would."""

    def prepare(self, dataset, device, dtype):
        return linear_job()[0]


def test_a_worker_writes_the_records_of_one_process_before_it_says_so(tmp_path):
    model, job, works = linear_job()
    store = Store(tmp_path / "here").open()
    list(Here().score(job, Prepared(model, "m", "m", {}), Setup(), Deal(works), store))
    store.flush()
    answers, there = io.BytesIO(), Store(tmp_path / "there").open()
    worker = Worker(answers)
    origin = Origin(component=replace(build("model", "conv-tiny"), object=Linear()))
    worker.take(pickle.loads(sendable(Task(1, job, origin, "cpu", "float32", "m", there.folder))))
    worker.take(pickle.loads(pickle.dumps(Piece(5, tuple(works)).packed())))
    answers.seek(0)
    begun, written, last = receive(answers), receive(answers), receive(answers)
    assert (type(begun), type(written), type(last), receive(answers)) == (Begun, Written, Ended, None)
    assert {(s.text_id, len(s.cells), s.failed) for s in written.summaries} == {(f"text-{i}", 4, 0) for i in range(4)}
    names = ["explainer", "metric", "unit", "target"]
    one, other = (s.read("records").sort_values(names, ignore_index=True) for s in (store, there))
    assert one[names].equals(other[names])
    np.testing.assert_allclose(one["value"], other["value"], rtol=1e-12)


def test_cells_that_are_given_up_say_why(tmp_path):
    _, job, works = linear_job()
    store, deal = Store(tmp_path).open(), Deal(works[:1])
    summaries = []
    for _ in range(DEATHS + 1):
        while piece := deal.next():
            summaries += given_back(job, deal, piece, (), "killed by SIGKILL", True, store)
    store.flush()
    errors = store.read("records")["error"]
    assert sum(s.failed for s in summaries) == len(errors) == 4
    assert set(errors) == {"3 workers were lost at it (the last one killed by SIGKILL), perhaps for lack of memory"}


def test_a_model_that_is_another_in_a_worker_is_refused():
    model, *_ = linear_job()
    origin = Origin(component=replace(build("model", "conv-tiny"), object=Linear()))
    assert load_same(origin, "cpu", "float32", model.fingerprint(), "m").fingerprint() == model.fingerprint()
    with pytest.raises(UserError, match="model m is another one in a worker"):
        load_same(origin, "cpu", "float32", "abc", "m")


def test_what_cannot_be_sent_is_said_by_name(tmp_path):
    model, job, _ = linear_job()
    with pytest.raises(UserError, match="model m is in the memory of this process alone"):
        sent_origin(Prepared(model, "m", "m", {}))
    local = replace(next(iter(job.explainers.values())), object=lambda: None)
    broken = replace(job, explainers={local.identity: local})
    with pytest.raises(UserError, match="explainer 'occlusion' cannot be sent to workers"):
        sendable(Task(1, broken, Origin("x"), "cpu", "float32", "m", tmp_path))
    with pytest.raises(UserError, match="model m cannot be sent to workers"):
        sendable(Task(1, job, Origin(component=local), "cpu", "float32", "m", tmp_path))


class UnlikeError(UserError):
    """A plugin's own error, made of other arguments than a sentence."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name} has no {number}.")


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (UnlikeError("it", 3), UserError("it has no 3.")),
        (ModelChangedError("it is another"), ModelChangedError("it is another")),
    ],
)
def test_an_error_is_sent_whatever_it_is_made_of(error, sent):
    there = pickle.loads(pickle.dumps(told(error)))
    assert (type(there), str(there)) == (type(sent), str(sent))


def test_workers_share_cores_and_take_turns_on_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices_of("cuda", 5) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]
    assert devices_of("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert devices_of("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("faithbench.running.workers.cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (threads(3), threads(20)) == (2, 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads(3) == 5


def test_how_a_process_ended_is_said_in_words():
    assert ended(-9) == "killed by SIGKILL"
    assert ended(3) == "it ended with status 3"
    assert ended(-1000) == "killed by signal 1000"


@pytest.mark.parametrize("workers", ["0", "-1", "two", "", "1.5", "9999999", "Ray"])
def test_numbers_of_workers_that_make_no_sense_are_a_sentence(workers, capsys, tmp_path):
    ended = call(capsys, "run", f"--workers={workers}", "--out", tmp_path / "run")
    assert ended.status == 2
    (line,) = ended.complaints
    shown = workers if workers.isdecimal() else repr(workers)
    assert f"workers={shown} is not allowed; give a whole number from 1 to 4096, or ray" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("workers", "gpus", "told"),
    [
        (2, 1, "gpus_per_worker is for workers='ray'"),
        ("ray", 0, "gpus_per_worker=0 is not allowed; it must be a number above 0"),
        ("ray", "one", "gpus_per_worker='one' is not allowed"),
        ("ray", 1.5, "gpus_per_worker=1.5 is not allowed; above 1 it must be whole"),
        (True, None, "workers=True is not allowed"),
        (2.0, None, "workers=2.0 is not allowed"),
    ],
)
def test_gpus_are_for_workers_on_ray(workers, gpus, told):
    with pytest.raises(UserError) as raised:
        options.check_workers(workers, gpus)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("option", "told"), [("--workers=two", "workers='two' is not allowed"), ("--timeout=-1", "timeout=-1.0 is not")]
)
def test_a_mistake_in_an_option_is_told_before_models_are_looked_for(option, told, capsys):
    ended = call(capsys, "run", "--model", "no-such-model", option)
    assert ended.status == 2
    assert told in ended.err


def test_without_ray_it_is_said_which_extra_to_install(monkeypatch):
    monkeypatch.setitem(options.CLUSTERS, "ray", "no_such_package_as_ray:OnRay")
    with pytest.raises(UserError, match=r"pip install 'faithbench\[ray\]'"):
        executor_of("ray", None, "cpu", print)
