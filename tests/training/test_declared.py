"""Checkpoints from outside: what their files declare is checked before anything is made of it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builders import tiny_network, tiny_tokenizer
from safetensors.torch import load_file, save_file

from faithbench.errors import UserError
from faithbench.models.zoo import Backbone
from faithbench.training.backbones import load_backbone
from faithbench.training.declared import check_folder
from faithbench.training.loading import load_classifier
from faithbench.training.settings import BACKBONES_VARIABLE

CODE = "import pathlib\npathlib.Path({mark!r}).touch()\nclass Own: pass\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder that can be loaded."""
    folder = tmp_path_factory.mktemp("checkpoint") / "sound"
    tiny_network("bert").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(sound, tmp_path / "model"))


def setting(file: str = "config.json", **changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        known = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(known | changes))

    return change


def content(file: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(data)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (setting(hidden_size=10**9, num_attention_heads=1), "config.json declares a model of"),
        (setting(vocab_size=10**12), "config.json declares a model of"),
        (setting(num_hidden_layers=10**9), "config.json: num_hidden_layers is 1000000000, and the weights are"),
        (setting(num_labels=10**9), "config.json: num_labels is 1000000000"),
        (setting(num_labels=-1), "config.json: num_labels is -1"),
        (setting(hidden_size="large"), "hidden_size"),
        (setting(hidden_size={"a": 1}), "hidden_size"),
        (setting(num_attention_heads=0), "is not a readable checkpoint"),
        (setting(hidden_act="lamp"), "nothing is known by the name 'lamp'"),
        (setting(id2label=[1]), "config.json: id2label is [1], which is no table."),
        (setting(architectures="x"), "config.json: architectures is 'x', which is no list."),
        (setting(model_type=5), "config.json: model_type is 5, which is no text."),
        (setting(model_type="lamp"), "config.json: model_type 'lamp' is not known."),
        (
            setting(max_position_embeddings=1),
            "sizes in config.json are not those of the weights: bert.embeddings.position_embeddings.weight is [1, ",
        ),
        (setting(id2label={"0": "a"}), "its id2label or num_labels says 1 classes, and the weights have 2: write"),
        (
            setting(attn_implementation="owner/kernel"),
            "config.json: attn_implementation is 'owner/kernel', code of the",
        ),
        (setting(bcos=5), "config.json: bcos is 5, which is no table."),
        (setting(bcos={"b": "2"}), "config.json: bcos.b is '2', which is no number."),
        (setting(bcos={}), "config.json: bcos.b is missing."),
        (setting(bcos={"b": float("inf")}), "config.json: bcos.b is inf, which is not finite."),
        (setting(bcos={"b": 2.0, "qkv": "yes"}), "config.json: bcos.qkv is 'yes', which is neither true nor false."),
        (
            setting(bcos={"b": 2.0, "c": 1}),
            "config.json: bcos has the unknown setting 'c'; known: b, qkv, biases, embedding_bias, gates.",
        ),
        (setting("tokenizer_config.json", model_max_length="x"), "tokenizer_config.json: model_max_length is 'x'"),
        (content("config.json", b""), "config.json cannot be read: it is not JSON"),
        (content("config.json", b"[]"), "config.json: it is [], which is no table."),
        (content("config.json", b"[" * 100_000), "config.json cannot be read"),
        (content("tokenizer.json", b"{"), "is not a readable checkpoint"),
        (content("tokenizer.json", b"[" * 100_000), "is not a readable checkpoint"),
        (content("tokenizer_config.json", b"[]"), "tokenizer_config.json: it is [], which is no table."),
        (content("model.safetensors", b""), "model.safetensors cannot be read"),
        (content("model.safetensors", b"\xff" * 100), "model.safetensors cannot be read"),
        (cut, "model.safetensors cannot be read"),
        (pipe, "config.json cannot be read: it is no regular file but a pipe."),
        (outside, "index.json: '../model.safetensors' is not the name of a file of weights in the folder."),
    ],
)
def test_a_folder_that_is_not_what_it_must_be_is_one_sentence(
    folder: Path, spoil: Callable[[Path], object], words: str
):
    spoil(folder)
    with pytest.raises(UserError) as error:
        load_classifier(str(folder), "cpu", "float32")
    message = str(error.value)
    assert words in message
    assert str(folder) in message
    assert len(message) < len(str(folder)) + 350
    assert "\n" not in message


def test_a_configuration_without_classes_is_told_what_the_weights_have(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in ("id2label", "label2id", "num_labels")}
    (folder / "config.json").write_text(json.dumps(config))
    head = load_file(folder / "model.safetensors")
    grown = {name: torch.zeros(3, *value.shape[1:]) for name, value in head.items() if name.startswith("classifier.")}
    save_file(head | grown, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"has no id2label or num_labels, which means 2 classes, and the weights have 3"
    ):
        load_classifier(str(folder), "cpu", "float32")


def test_sizes_that_are_not_of_the_head_are_not_laid_to_the_classes(folder: Path):
    setting(type_vocab_size=5, num_labels=5)(folder)  # the weights have 2 of both
    with pytest.raises(
        UserError, match=r"token_type_embeddings\.weight is \[5, \d+\] by the one and \[2, \d+\] by the others$"
    ):
        load_classifier(str(folder), "cpu", "float32")


def test_a_sound_folder_is_loaded(folder: Path):
    check_folder(folder)
    setting("tokenizer_config.json", model_max_length=10**30)(folder)  # as transformers writes what has no limit
    assert load_classifier(str(folder), "cpu", "float32").identity == str(folder)


@pytest.mark.parametrize("place", ["configuration", "tokenizer"])
def test_code_in_a_folder_is_never_run_nor_asked_about(folder: Path, place: str, tmp_path: Path):
    mark = tmp_path / "ran"
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    if place == "configuration":
        setting(model_type="own", auto_map={"AutoConfig": "own.Own"})(folder)
        with pytest.raises(UserError, match=r"model_type 'own' needs code of its own \(auto_map\), which is never run"):
            load_classifier(str(folder), "cpu", "float32")
    else:
        setting("tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]})(folder)
        load_classifier(str(folder), "cpu", "float32")  # by the class that tokenizer.json needs
    assert not mark.exists()


def test_a_backbone_whose_folder_is_spoilt_is_one_sentence(folder: Path, monkeypatch):
    backbone = Backbone("minilm", "owner/minilm", "main")
    shutil.copytree(folder, folder.parent / backbone.name)
    monkeypatch.setenv(BACKBONES_VARIABLE, str(folder.parent))
    assert load_backbone(backbone, 2, 0, [])[0].config.num_labels == 2
    setting(auto_map={"AutoConfig": "own.Own"}, model_type="own")(folder.parent / backbone.name)
    with pytest.raises(UserError, match=r"minilm/config\.json: model_type 'own' needs code of its own"):
        load_backbone(backbone, 2, 0, [])


@pytest.mark.parametrize(
    ("name", "words"),
    [("my-clasifier", "there is no such folder; did you mean "), ("x/y", "there is no such folder"), ("a.bin", "file")],
)
def test_a_path_that_is_no_folder_is_not_looked_for_on_the_hub(tmp_path: Path, name: str, words: str):
    (tmp_path / "my-classifier").mkdir()
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(UserError, match=words) as error:
        load_classifier(str(tmp_path / name), "cpu", "float32")
    assert "hub" not in str(error.value)
