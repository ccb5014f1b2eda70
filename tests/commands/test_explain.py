"""`faithbench explain`: texts from arguments, files and the input; bad input is one sentence and status 2."""

import io
import sys
from pathlib import Path

import pytest
from builders import tiny_network, tiny_tokenizer
from fixtures_run import call
from next_token import language_model

from faithbench.commands.explain import _given
from faithbench.reporting.generations import shown_generations

TEXTS = ["a dull tale told in toil", "an old lion at noon"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    network = tiny_network("bert")
    network.config.id2label = {0: "Sports", 1: "Business"}
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_a_text_is_shown_with_signs_and_written_to_files(model: Path, tmp_path: Path, capsys):
    html, svg = tmp_path / "x.html", tmp_path / "x.svg"
    ended = call(
        capsys, "explain", TEXTS[0], "--model", model, "--explainer", "occlusion", "--html", html, "--svg", svg
    )
    assert ended.status == 0
    assert ended.out.splitlines()[0].split()[0] in ("Sports", "Business")
    assert "Masking the first 3 words" in ended.out
    assert "++" in ended.out
    assert "\x1b" not in ended.out
    assert f"wrote {html}" in ended.err
    assert "<!doctype html>" in html.read_text("utf-8")
    assert ">tale<" in svg.read_text("utf-8")


@pytest.fixture(scope="module")
def language_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, own = tmp_path_factory.mktemp("language_model"), language_model("gpt2")
    own.model.save_pretrained(folder)
    own.tokenizer.save_pretrained(folder)
    return folder


def test_a_language_model_is_told_by_its_folder_and_asked_of_two_words(language_model_folder: Path, capsys):
    own = ("--model", language_model_folder, "--explainer", "occlusion")
    ended = call(capsys, "explain", "the dog sees", *own, "--good", "these", "--bad", "walks")
    assert ended.status == 0, ended.err
    assert ended.out.startswith("P(these rather than walks)")
    assert "Deleting the first" in ended.out
    ended = call(capsys, "explain", "the dog sees", *own, "--good", "these")
    assert ended.status == 2
    assert "good and bad go together" in ended.err


def test_questions_come_from_a_file(language_model_folder: Path, tmp_path: Path, capsys):
    path = tmp_path / "q.jsonl"
    path.write_text('{"prefix": "the dog", "good": "walks", "bad": "walk", "evidence": [[4, 7]]}\n', "utf-8")
    ended = call(capsys, "explain", path, "--model", language_model_folder, "--explainer", "occlusion", "--draws", "0")
    assert ended.status == 0, ended.err
    assert ended.out.startswith("P(walks rather than walk)")
    assert "[dog]" in ended.out


def test_a_language_model_goes_on_and_the_report_shows_it(language_model_folder: Path, tmp_path: Path, capsys):
    files = {ending: tmp_path / f"x.{ending}" for ending in ("html", "svg", "json")}
    written = [part for ending, path in files.items() for part in (f"--{ending}", path)]
    own = ("--model", language_model_folder, "--explainer", "occlusion", "--draws", "0")
    ended = call(capsys, "explain", "the dog sees", *own, "--generate", "3", *written)
    assert ended.status == 0, ended.err
    assert "Explaining 3 tokens with occlusion: about " in ended.err
    assert '<table class="fb-triangle">' in files["html"].read_text("utf-8")
    (shown,) = shown_generations([files["json"]])
    assert shown.beginning == "the dog sees"
    assert shown.triangles[0][0] == "occlusion"
    assert str(shown.triangles[0][1]) in files["html"].read_text("utf-8")


@pytest.mark.parametrize("way", ["arguments", "lines", "table", "input"])
def test_texts_come_from_arguments_a_file_or_the_input(way: str, model: Path, tmp_path: Path, capsys, monkeypatch):
    given: list[str | Path] = [*TEXTS]
    if way == "lines":
        (tmp_path / "t.txt").write_text("\n".join(TEXTS), "utf-8")
        given = [tmp_path / "t.txt"]
    elif way == "table":
        (tmp_path / "t.csv").write_text("review,number\n" + "".join(f'"{text}",1\n' for text in TEXTS), "utf-8")
        given = [tmp_path / "t.csv", "--text", "review"]
    elif way == "input":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n\n".join(TEXTS).encode())))
        given = ["-"]
    ended = call(capsys, "explain", *given, "--model", model, "--explainer", "occlusion", "--draws", "0")
    assert ended.status == 0, ended.err
    words = ended.out.replace("+", "").replace("\u2212", "")
    assert all(text in words for text in TEXTS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-file.csv"], "no-such-file.csv does not exist"),
        (["noon", "--html", "x.txt"], "does not end in .html"),
        (["noon", "--png", "no/such/x.png"], "there is no folder"),
        (["noon", "--target", "Politics"], "is not the name of a class"),
        (["noon", "--against", "Politics"], "against='Politics' is not the name of a class"),
        (["noon", "--explainer", "occlusoin"], "did you mean occlusion"),
        (["noon", "--text", "review"], "no file of texts is given"),
        (["noon", "-"], "'-' stands among texts"),
        (["   "], "its text is empty"),
        (["noon", "--by", "letter"], "use word or token"),
        (["noon", "--draws", "-3"], "draws=-3 is not allowed"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], sentence: str, model: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ended = call(capsys, "explain", *arguments, "--model", model)
    assert ended.status == 2
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()[-1]) < 400
    assert not ended.out
    assert not list(tmp_path.iterdir())


def test_an_empty_input_is_said(model: Path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n \n")))
    ended = call(capsys, "explain", "-", "--model", model)
    assert (ended.status, "the input has no texts" in ended.err) == (2, True)


def test_only_line_feeds_end_a_text_of_the_input(monkeypatch):
    texts = ["one\u2028two\x85three\x0bfour\x1cfive", "six"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\r\n".join([*texts, "", " "]).encode())))
    assert _given(["-"]) == texts


def test_without_matplotlib_a_picture_is_refused_before_the_model_is_looked_for(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = call(capsys, "explain", TEXTS[0], "--model", tmp_path / "none", "--svg", tmp_path / "x.svg")
    assert ended.status == 2
    assert ended.complaints == [
        "faithbench: a figure needs matplotlib (No module named 'matplotlib'): pip install 'faithbench[plot]'."
    ]
