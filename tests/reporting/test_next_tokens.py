"""Reports of language models: questions with their words, generated texts as triangles; hostile contents do nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from records import run_of
from reports import keep_texts, records_of, text_of, values_of

import faithbench
from faithbench.errors import UserError
from faithbench.records.manifest import Manifest, ModelEntry
from faithbench.reporting.generations import shown_generations
from faithbench.running.generation import FORMAT

EVIL = "<img src=x onerror='alert(1)'><script>alert(2)</script>"
MEANS = {"occlusion": 5.0, "random(seed=0)": 0.0}


def run(folder: Path, good: str = "sleep", bad: str = "sleeps", source: str = "the cats near the house") -> Path:
    made = run_of(folder, records_of(values_of(8, **MEANS)))
    texts = [replace(text_of(str(i), source, mark="cats"), candidates=(4, 5)) for i in range(8)]
    keep_texts(made, texts, list(MEANS), lambda _, text: np.arange(len(text)) - 2.0, ("good", "bad"), (good, bad))
    return made


def page(folder: Path, *generations: Path) -> str:
    return faithbench.report([folder], folder / "report.html", generations).read_text("utf-8")


def table(**changes: object) -> dict[str, object]:
    steps = [
        {"token": "sleep", "runner_up": "run", "probabilities": [0.6, 0.1], "scores": {"lime": [1.0, -0.6]}},
        {"token": "“.”", "runner_up": "and", "probabilities": [0.999, 0.0001], "scores": {"lime": [0.0, 0.3, None]}},
    ]
    own = {"model": "m", "beginning": "the cats", "continuation": " sleep.", "columns": ["the", "cats", "sleep"]}
    return {**own, "given": 2, "ended": False, "steps": steps, "made": "Made by hand.", **changes}


def file(path: Path, *tables: dict[str, object], format: str = FORMAT) -> Path:
    path.write_text(json.dumps({"format": format, "generations": list(tables or (table(),))}), "utf-8")
    return path


def test_a_question_is_shown_with_its_words(tmp_path: Path):
    shown = page(run(tmp_path / "run"))
    assert shown.count("the cats near the house → <b>sleep</b> (not sleeps)") == 8
    assert shown.count("the text goes on: <b>sleep</b>, not sleeps") == 8
    assert shown.count("preferred: <b>sleep</b> · sleep 0.90, sleeps 0.10") == 2
    assert shown.count("sleeps 0.80 ✗ sleep") == 6
    assert '<mark class="framed' in shown or "framed" in re.search(r'<mark class="[^"]*">cats', shown)[0]
    assert '<option value="=good">' in shown
    assert '<option value="=sleep">' not in shown


def test_a_language_model_is_said_with_chance_and_its_perplexity(tmp_path: Path):
    made = run(tmp_path / "run")
    manifest = json.loads((made / "manifest.json").read_text("utf-8"))
    for entry in manifest["models"].values():
        entry["performance"] = {"texts": 8, "labelled": 8, "accuracy": 100.0, "chance": 50.0}
        entry["training"] = {"validation": {"perplexity": 4.17}, "start": {"validation": {"perplexity": 4.25}}}
    (made / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert (
        "100.0 % on these texts (chance 50.0 %, n = 8); perplexity 4.17 of validation texts, 4.25 of the "
        "conventional model that it was converted from"
    ) in page(made)


def test_known_evidence_is_ground_truth(tmp_path: Path):
    values = {"occlusion": np.array([50.0, np.nan, 80.0]), "random(seed=0)": np.array([40.0, np.nan, 30.0])}
    shown = page(run_of(tmp_path / "run", records_of(values, "evidence_mrr(adjusted=False, right=False)")))
    assert "what decides is marked in 2 of 3 texts" in shown
    assert "none is known in these texts" in page(run(tmp_path / "none"))


def test_the_end_of_a_long_prefix_is_what_is_listed(tmp_path: Path):
    shown = page(run(tmp_path / "run", source=" ".join(f"word{i}" for i in range(60))))
    assert re.search(r'excerpt">…[^<]*word58 word59 → <b>sleep', shown)


def test_hostile_words_do_nothing(tmp_path: Path):
    shown = page(run(tmp_path / "run", EVIL, f"{EVIL}\x1b[31m", EVIL))
    assert "<img" not in shown
    assert shown.count("<script") == 2
    assert "\x1b" not in shown


def test_a_generated_text_is_a_triangle_in_the_report(tmp_path: Path):
    shown = page(run(tmp_path / "run"), file(tmp_path / "g.json", table(), table(beginning="the dogs")))
    assert shown.count('<table class="fb-triangle">') == 2
    assert "“the cats”" in shown
    assert "“the dogs”" in shown
    assert re.findall(r'<td[^>]*title="[^"]*">([^<]*)</td>', shown)[:4] == ["++", "\u2212\u2212", "·", "++"]
    assert "Made by hand." in shown
    assert ".fb-triangle td {" in shown


MODEL: ModelEntry = {"label": "conv-tiny", "fingerprint": "abc123", "truncated_texts": 0}
NAMED = {"model": "conv-tiny"}  # as the run has it


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (NAMED, ""),
        ({**NAMED, "made": "Made by faithbench 1; model conv-tiny, weights abc123; explainers lime."}, ""),
        ({"made": "Made by faithbench 1; model m, weights abc123; explainers lime."}, ""),
        ({**NAMED, "made": "Made by faithbench 1; model conv-tiny, weights abc12; explainers lime."}, "with others"),
        ({}, "do not have that model."),
    ],
)
def test_a_generated_text_of_a_model_that_is_not_in_the_run_is_said_to_be_one(changes, said, tmp_path: Path):
    manifest: Manifest = {"models": {"conv-tiny(seed=42) on planted": MODEL}}
    (shown,) = shown_generations([file(tmp_path / "g.json", table(**changes))], [manifest])
    assert said in shown.doubt
    assert bool(shown.doubt) == bool(said)
    found = re.search(r"Model: m\. <b>(.*?)</b>", page(run(tmp_path / "run"), file(tmp_path / "g.json")))
    assert found is not None
    assert "do not have that model" in found[1]


def test_hostile_generations_do_nothing(tmp_path: Path):
    step = {"token": EVIL, "runner_up": EVIL, "probabilities": [0.6, 0.1], "scores": {EVIL: [1.0, -0.6]}}
    evil = table(model=EVIL, beginning=EVIL, continuation=EVIL, columns=[EVIL, "\x1b[2J"], steps=[step], made=EVIL)
    shown = page(run(tmp_path / "run"), file(tmp_path / "g.json", evil))
    assert "<img" not in shown
    assert shown.count("<script") == 2
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": []}, "has no steps"),
        ({"given": 9}, "other than 0 to 3"),
        ({"columns": []}, "other than"),
        ({"columns": ["a"], "given": 1}, "other than 1 to 1 scores"),
        ({"model": 3}, "model"),
        ({"steps": [{**table()["steps"][0], "probabilities": [1.0]}]}, "two probabilities"),
        ({"steps": [{**table()["steps"][0], "scores": {"lime": []}}]}, "1 to 3 scores"),
        ({"steps": [{**table()["steps"][0], "scores": {"lime": ["x"]}}]}, "g.json"),
        ({"steps": [{**table()["steps"][0], "scores": {"lime": [float("nan")]}}]}, "g.json"),
    ],
)
def test_what_explain_does_not_write_is_refused(changes: dict[str, object], sentence: str, tmp_path: Path):
    with pytest.raises(UserError, match=sentence) as caught:
        shown_generations([file(tmp_path / "g.json", table(**changes))])
    assert len(str(caught.value)) < 400


def test_files_of_another_kind_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="format"):
        shown_generations([file(tmp_path / "g.json", format="faithbench explanation 1")])
    with pytest.raises(UserError, match=r"no\.json"):
        shown_generations([tmp_path / "no.json"])


def test_the_command_takes_files_of_generated_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "r.html"
    made, given = run(tmp_path / "run"), file(tmp_path / "g.json")
    ended = call(capsys, "report", made, "--generation", given, "--out", out)
    assert ended.status == 0, ended.err
    assert "Texts gone on with" in out.read_text("utf-8")
