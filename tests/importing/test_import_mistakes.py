"""What is wrong with a file of attributions is said in one sentence, with status 2, and nothing is left behind."""

import pytest
from fixtures_run import call, checkpoint, trained_cache, use_cache


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


TEXTS = "id,text,label\nx,a warm and graceful film,0\ny,the plot,1\n"
GOOD = '{"id": "x", "scores": [1, 2, 3, 4, 5]}\n'
SPLIT = "the test split of file(path="
RATIONALE = '{"annotation_id": "y", "rationales": '
INPUT = '{"idx": 1, "input_ids": [1, 2], "attributions": '
MISTAKES = {
    "no file": (None, {}, ["none.jsonl", "does not exist"]),
    "empty file": ("", {}, ["a.jsonl is empty"]),
    "empty document": (" \n", {"file": "a.json"}, ["a.json is empty"]),
    "unknown format": (GOOD, {"format": "jsnol"}, ["'jsnol'", "format", "did you mean jsonl"]),
    "no format that is known": (
        '{"text": "a", "values": [1]}\n',
        {},
        ["line 1", "'text', 'values'", "'id' and 'scores'"],
    ),
    "malformed line": (GOOD + '{"id": "y" "scores": [1]}\n', {}, ["a.jsonl, line 2 is not valid JSON"]),
    "malformed first line": ('{"id": \n' + GOOD, {}, ["a.jsonl, line 1 is not valid JSON"]),
    "malformed document": ('{\n"m": [\n}', {"file": "a.json"}, ["a.json is not valid JSON", "line 3"]),
    "not an object": (GOOD + "[1]\n", {}, ["line 2 is not an object"]),
    "nested without end": ("[" * 100_000, {}, ["line 1 is not valid JSON"]),
    "not UTF-8": (b'{"id": "\xff"}', {}, ["a.jsonl cannot be read"]),
    "corrupt parquet": (b"PAR1 no", {"file": "a.parquet"}, ["a.parquet cannot be read"]),
    "pickle": (b"\x80\x04K\x01.", {}, ["a.jsonl cannot be read"]),
    "unknown id": ('{"id": "z", "scores": [1]}', {}, ["line 1", "'z'", "not the id of a text in", SPLIT]),
    "id that is a list": ('{"id": ["x"], "scores": [1]}', {}, ["line 1", "id ['x']"]),
    "id twice": (GOOD + "\n" + GOOD, {}, ["line 3", "'x' occurs a second time", "line 1"]),
    "no scores": ('{"id": "x", "scores": null}', {}, ["line 1 has no 'scores'"]),
    "scores that are a number": ('{"id": "x", "scores": 1}', {}, ["line 1", "list of numbers"]),
    "too few scores": (
        '{"id": "x", "scores": [1, 2]}',
        {},
        ["'x'", "2 scores for 7 tokens, 5 of them not special, in 5"],
    ),
    "tokens of another number": ('{"id": "x", "scores": [1], "tokens": ["a", "b"]}', {}, ["1 scores for 2 tokens"]),
    "score that is NaN": ('{"id": "x", "scores": [1, NaN]}', {}, ["line 1", "number 2 of scores is 'nan'", "finite"]),
    "score that is infinite": ('{"id": "x", "scores": [-Infinity]}', {}, ["number 1 of scores is '-inf'"]),
    "score beyond numbers": ('{"id": "x", "scores": [1' + "0" * 400 + "]}", {}, ["number 1 of scores is '1000"]),
    "score that is text": (
        '{"id": "x", "scores": ["1"]}',
        {},
        ["number 1 of scores is '1', which is not a finite number"],
    ),
    "score that is a truth": ('{"id": "x", "scores": [true]}', {}, ["number 1 of scores is 'True'"]),
    "target out of range": ('{"id": "y", "scores": [1, 2], "target": 2}', {}, ["line 1", "target 2", "0 to 1"]),
    "negative target": ('{"id": "y", "scores": [1, 2], "target": -1}', {}, ["target -1", "0 to 1"]),
    "target that is no class": (
        '{"id": "y", "scores": [1, 2], "target": "goud"}',
        {},
        ["'goud'", "class", "did you mean good?"],
    ),
    "misaligned tokens": (
        '{"id": "x", "scores": [1, 2, 3, 4], "tokens": ["a", "warm", "graceful", "film"]}',
        {},
        [
            "line 1",
            "'x'",
            "after 'a' 'warm' the file has 'graceful' 'film', where the model has 'and' 'graceful' 'film'",
        ],
    ),
    "tokens that are no texts": ('{"id": "y", "scores": [1], "tokens": [1]}', {}, ["line 1", "tokens must be a list"]),
    "another text": ('{"id": "y", "scores": [1, 2], "text": "the plan"}', {}, ["'y'", "its text is another", "'ot'"]),
    "text that is none": ('{"id": "y", "scores": [1, 2], "text": 3}', {}, ["text=3"]),
    "method of a file without": (GOOD, {"method": "flow"}, ["method='flow'", "does not hold several"]),
    "name that is empty": (GOOD, {"name": " "}, ["name=' '"]),
    "model that is not there": (GOOD, {"model": "conv-tinny"}, ["'conv-tinny'", "did you mean conv-tiny"]),
    "model that is not trained": (GOOD, {"model": "conv-tiny"}, ["has not been trained on", "switched off"]),
    "split that is not there": (GOOD, {"split": "train"}, ["no train split"]),
    "unknown split": (GOOD, {"split": "dev"}, ["'dev'", "validation"]),
    "unknown dtype": (GOOD, {"dtype": "int8"}, ["'int8'", "float32"]),
    "unknown device": (GOOD, {"device": "gpu"}, ["'gpu'", "cpu, cuda or mps"]),
    "rationales of two documents": (RATIONALE + "[{}, {}]}", {}, ["line 1", "2 documents"]),
    "rationale without predictions": (RATIONALE + '[{"docid": "y"}]}', {}, ["no 'hard_rationale_predictions'"]),
    "rationales that are text": (RATIONALE + '"y"}', {}, ["rationales must be a list"]),
    "too many soft scores": (
        RATIONALE + '[{"soft_rationale_predictions": [1, 2, 3]}]}',
        {},
        ["3 scores for the 2 white space tokens"],
    ),
    "span beyond the text": (
        RATIONALE + '[{"hard_rationale_predictions": [{"start_token": 1, "end_token": 3}]}]}',
        {},
        ["'end_token': 3", "2 white space tokens"],
    ),
    "row number beyond the split": (INPUT.replace("1,", "5,", 1) + "[1, 2]}", {}, ["5"]),
    "row number that is text": (INPUT.replace("1,", '"1",', 1) + "[1, 2]}", {}, ["idx='1'"]),
    "input ids that are text": (INPUT.replace("[1, 2]", '["1"]') + "[1, 2]}", {}, ["input_ids must be"]),
    "input ids of another text": (INPUT + "[1, 2]}", {}, ["line 1", "'y'", "the file has 1, where the model has"]),
    "attributions of another number": (INPUT + "[1]}", {}, ["1 scores for 2 tokens"]),
    "pairs that are none": ('{"index": 1, "target_class": 0, "attribution": [1]}', {}, ["[token, score] pairs"]),
    "no predicted class": ('{"m": [[{"index": 1}, {"index": 1}]]}', {}, ["m, text 1", "0 explanations"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(name, tmp_path, capsys):
    given, changes, words = MISTAKES[name]
    options = {"model": checkpoint(), "dataset": tmp_path / "data.csv", "name": "m", "out": tmp_path / "run"} | changes
    path = tmp_path / str(options.pop("file", "a.jsonl" if given is not None else "none.jsonl"))
    (tmp_path / "data.csv").write_text(TEXTS)
    if given is not None:
        path.write_bytes(given.encode() if isinstance(given, str) else given)
    ended = call(capsys, "import", path, *(str(part) for k, v in options.items() for part in (f"--{k}", v)))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines() == ended.complaints
    assert len(ended.complaints) == 1
    assert [word for word in words if word not in ended.complaints[0]] == []
    assert not (tmp_path / "run").exists()
