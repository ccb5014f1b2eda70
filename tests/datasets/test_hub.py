"""Data sets of the hub, as far as that can be seen without one: folders as the hub has them, and no way to it."""

import datasets
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from fixtures_run import use_cache

from faithbench.datasets import hub
from faithbench.datasets.hub import Hub
from faithbench.errors import UserError
from faithbench.plugins.naming import dataset_spec

NAMES = ("neg", "pos")
FEATURES = Features({"idx": Value("int32"), "sentence": Value("string"), "label": ClassLabel(names=list(NAMES))})


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path, monkeypatch):
    """No data of this machine."""
    use_cache(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)


def split(word: str, labels, features=FEATURES) -> Dataset:
    rows = {"idx": list(range(len(labels))), "sentence": [f"{word} {i}" for i in range(len(labels))], "label": labels}
    return Dataset.from_dict(rows, features=features)


def sst(test=(-1, -1)) -> DatasetDict:
    """As GLUE has them: no labels in the test split."""
    return DatasetDict(train=split("train", [1, 0, 1]), validation=split("val", [0, 1]), test=split("test", list(test)))


def repository(folder, configs):
    """A folder as the hub has it: a card that names the files of each configuration."""
    lines = ["---", "configs:"]
    for name, parts in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for key, rows in parts.items():
            path = folder / name / f"{key}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(path)
            lines += [f"  - split: {key}", f"    path: {name}/{key}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return str(folder)


def content(data: Hub, which: str = "test") -> list[tuple[str, int | None]]:
    return [(e.text, e.label) for e in data.load(which)]


VALIDATION = [("val 0", 0), ("val 1", 1)]


@pytest.fixture(params=["hub", "saved", "local"])
def served(request, tmp_path, monkeypatch) -> Hub:
    """SST-2's shape from a folder as the hub has it, from one that `datasets` saved, and from $FAITHBENCH_DATA."""
    if request.param == "hub":
        return Hub(repository(tmp_path / "repo", {"default": sst()}))
    if request.param == "saved":
        sst().save_to_disk(tmp_path / "saved")
        return Hub(str(tmp_path / "saved"))
    folder = tmp_path / "data" / "stanfordnlp" / "sst2"
    folder.mkdir(parents=True)
    for name, rows in sst().items():
        rows.to_parquet(folder / f"{name}.parquet")
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path / "data"))
    return Hub("stanfordnlp/sst2")


def test_a_data_set_of_the_hub_wherever_it_lies(served):
    assert served.class_names == NAMES
    assert content(served, "train") == [("train 0", 1), ("train 1", 0), ("train 2", 1)]
    assert content(served, "validation") == content(served) == VALIDATION
    assert any("test split has no labels, and validation serves as test" in note for note in served.notes("test"))
    assert any("'sentence'" in note for note in served.notes("test"))
    assert served.skipped("test") == ()


def test_its_content_is_told_by_texts_and_labels_and_not_by_where_it_lies(tmp_path, monkeypatch):
    first = Hub(repository(tmp_path / "a", {"default": sst()}))
    sst().save_to_disk(tmp_path / "b")
    third = Hub(repository(tmp_path / "c", {"default": sst(test=(0, 1))}))
    assert first.content == Hub(str(tmp_path / "b")).content
    assert first.content != third.content


def test_a_test_split_with_labels_is_the_test_split(tmp_path):
    data = Hub(repository(tmp_path, {"default": sst(test=(1, -1, 0))}))
    assert content(data) == [("test 0", 1), ("test 2", 0)]
    assert [s.reason for s in data.skipped("test")] == ["row 2: its label is empty"]


def test_which_split_is_the_test_split_can_be_said(tmp_path):
    repo = repository(tmp_path, {"default": sst()})
    assert content(Hub(repo, split="train")) == [("train 0", 1), ("train 1", 0), ("train 2", 1)]
    assert content(Hub(repo, split="train[1:]")) == [("train 1", 0), ("train 2", 1)]
    with pytest.raises(UserError, match=r"no split 'dev'|Unknown split"):
        Hub(repo, split="dev").load("test")


def test_a_part_of_a_split_of_local_files(tmp_path, monkeypatch):
    (tmp_path / "o" / "n").mkdir(parents=True)
    pd.DataFrame({"text": list("abcd"), "label": [0, 1, 0, 1]}).to_csv(tmp_path / "o" / "n" / "train.csv")
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    assert content(Hub("o/n", split="train[1:3]")) == [("b", 1), ("c", 0)]
    with pytest.raises(UserError, match=r"'o/n' has no test split; it has train\. .* split=train\[:500\]"):
        Hub("o/n").load("test")
    with pytest.raises(UserError, match=r"'o/n' has no split 'dev'; it has train"):
        Hub("o/n", split="dev").load("test")


def test_configurations_are_named_and_asked_for(tmp_path):
    other = DatasetDict(test=split("other", [1, 1]))
    repo = repository(tmp_path, {"mrpc": sst(), "rte": other})
    assert content(Hub(repo, name="rte")) == [("other 0", 1), ("other 1", 1)]
    assert content(Hub(repo, name="mrpc")) == VALIDATION
    for name in ("", "cola"):
        with pytest.raises(UserError, match=r"mrpc.*rte.*name=…") as error:
            Hub(repo, name=name).load("test")
        assert "\n" not in str(error.value)


def test_the_first_rows_are_streamed(tmp_path):
    data = Hub(repository(tmp_path, {"default": sst(test=(1, 0))}), rows=1)
    assert content(data, "train") == [("train 0", 1)]
    assert content(data) == [("test 0", 1)]
    assert data.class_names == NAMES
    with pytest.raises(UserError, match="name a whole split"):
        Hub("o/n", split="train[:5]", rows=3)


def test_several_labels_values_and_pairs_of_the_hub(tmp_path):
    several = datasets.Sequence(ClassLabel(names=["joy", "awe"]))
    emotions = Dataset.from_dict(
        {"text": ["a", "b"], "labels": [[1, 0], []]}, features=Features({"text": Value("string"), "labels": several})
    )
    data = Hub(repository(tmp_path / "a", {"default": {"test": emotions}}))
    assert [(e.label, e.labels) for e in data.load("test")] == [(None, (1, 0)), (None, ())]
    assert data.class_names == ("joy", "awe")
    similar = Dataset.from_dict({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [2.5, 4.0]})
    unlabelled = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["c"], "label": [-1.0]})
    data = Hub(repository(tmp_path / "b", {"default": {"validation": similar, "test": unlabelled}}))
    assert [(e.text, e.pair, e.value) for e in data.load("test")] == [("a", "c", 2.5), ("b", "d", 4.0)]


def test_numbers_are_the_hubs_even_where_its_names_are_numbers(tmp_path):
    features = Features({**FEATURES, "label": ClassLabel(names=["1", "2", "3"])})
    data = Hub(repository(tmp_path, {"default": {"test": split("a", [0, 2, 1], features)}}))
    assert [e.label for e in data.load("test")] == [0, 2, 1]
    assert data.class_names == ("1", "2", "3")


def test_columns_of_neither_texts_nor_numbers_are_not_read(tmp_path):
    rows = split("a", [0, 1]).add_column("nested", [{"x": 1}, {"x": 2}])
    assert content(Hub(repository(tmp_path, {"default": {"test": rows}}))) == [("a 0", 0), ("a 1", 1)]


def test_without_the_hub_the_cause_the_cache_and_the_way_around_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError) as error:
        Hub("stanfordnlp/sst2").load("test")
    said = str(error.value)
    wanted = ("'stanfordnlp/sst2'", "Hub", str(tmp_path / "hf"), "HF_HOME", "FAITHBENCH_DATA", "stanfordnlp/sst2/test.")
    assert [word for word in wanted if word not in said] == []
    assert "\n" not in said


def test_what_is_asked_of_the_library(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append((args, options)) or sst())
    assert content(Hub("nyu-mll/glue@main", name="sst2", split="validation")) == VALIDATION
    assert Hub("a/b@c").revision == "c"
    assert asked == [(("nyu-mll/glue", "sst2"), {"revision": "main", "streaming": False})]


def test_bars_and_verbosity_are_left_as_they_were(tmp_path):
    datasets.enable_progress_bars()
    verbosity = datasets.utils.logging.get_verbosity()
    datasets.utils.logging.set_verbosity_warning()
    Hub(repository(tmp_path, {"default": sst()})).load("test")
    assert not datasets.are_progress_bars_disabled()
    assert datasets.utils.logging.get_verbosity() == datasets.utils.logging.WARNING
    datasets.utils.logging.set_verbosity(verbosity)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stanfordnlp/sst2", "hub(repo='stanfordnlp/sst2')"),
        ("nyu-mll/glue@e62816", "hub(repo='nyu-mll/glue', revision=e62816)"),
        ("owner/name.csv", "file(path='owner/name.csv')"),
        ("./owner/name", "file(path='./owner/name')"),
        ("a/b/c", "file(path='a/b/c')"),
        ("hub(nyu-mll/glue, name=mrpc)", "hub(nyu-mll/glue, name=mrpc)"),
    ],
)
def test_an_owner_and_a_name_are_a_hub_id_unless_there_is_such_a_path(text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dataset_spec(text) == expected
    (tmp_path / "stanfordnlp" / "sst2").mkdir(parents=True)
    assert dataset_spec("stanfordnlp/sst2") == "file(path='stanfordnlp/sst2')"
    assert hub.READER.startswith("faithbench.datasets.library")
