"""Plugins that misbehave: whatever they raise, and wherever, is one sentence about them, and disturbs nothing else."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures_run import add_distribution, call
from hypothesis import given, settings
from hypothesis import strategies as st

import faithbench
from faithbench.errors import UserError
from faithbench.plugins import finding, spec
from faithbench.plugins.naming import build_dataset, resolve

RAISED = ("SystemExit(0)", "GeneratorExit()", "RecursionError()", "MemoryError()", "Mute()", "Exception('a\\nb')")
PLACES = {
    "imported": "raise {0}",
    "made": "class Odd:\n    def __init__(self): raise {0}",
    "checked": "@dataclass\nclass Odd:\n    size: int = 1\n    def __post_init__(self): raise {0}",
    "asked for its parameters": "class Meta(type):\n    @property\n    def __signature__(cls): raise {0}\n"
    "class Odd(metaclass=Meta): pass",
    "asked for a trait": "class Odd:\n    @property\n    def version(self): raise {0}",
    "asked for anything": "class Odd:\n    def __getattr__(self, name): raise {0}",
    "asked what is added": "class Meta(type):\n    @property\n    def added(cls): raise {0}\n"
    "class Odd(metaclass=Meta): pass",
    "asked for a parameter": "class Odd:\n    def __init__(self, size=1): pass\n"
    "    @property\n    def size(self): raise {0}",
    "shown": "class Value:\n    def __repr__(self): raise {0}\nclass Odd:\n    version = Value()",
    "compared": "class Value:\n    def __eq__(self, other): raise {0}\n    __hash__ = None\n"
    "class Odd:\n    def __init__(self, size=Value()): pass\n    added = ('size',)",
}
HEAD = """
from dataclasses import dataclass

class Mute(Exception):
    def __str__(self): raise SystemExit(3)

"""


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_plugin_raises_is_one_sentence_that_names_it(raised, tmp_path, monkeypatch):
    sources = {f"odd{i}_{tmp_path.name}": HEAD + place.format(raised) for i, place in enumerate(PLACES.values())}
    names = {f"odd{i}": f"{module}:Odd" for i, module in enumerate(sources)}
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme", {"explainers": names}, sources))
    for name in names:
        with pytest.raises(UserError, match=f"explainer '{name}'") as error:
            spec.build("explainer", name)
        assert len(str(error.value)) < 400
        assert "\n" not in str(error.value)
    listed = {row.name: row.problem for row in faithbench.components("explainer")}
    assert [name for name, problem in listed.items() if problem and name not in names] == []
    assert spec.build("explainer", "random").identity


def test_a_broken_plugin_is_listed_and_the_status_is_0(tmp_path, monkeypatch, capsys):
    entries = {"metrics": {"leaves": "leaving:Metric", "two words": "leaving:Metric", "torn": "no value: at [all"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme", entries, {"leaving": "raise SystemExit(7)"}))
    ended = call(capsys, "list", "metric")
    assert ended.status == 0
    assert ended.out.count("BROKEN") == 3
    assert "entropy" in ended.out


@pytest.mark.parametrize("written", ["[faithbench.metrics]\nno equals sign\n", b"\xff\xfe\x00[", "[faithbench.metrics"])
def test_a_package_whose_entry_points_cannot_be_read_is_listed_and_the_rest_works(written, tmp_path, monkeypatch):
    folder = add_distribution(tmp_path, "acme", {}, {})
    data = written.encode() if isinstance(written, str) else written
    (folder / "acme-1.0.dist-info" / "entry_points.txt").write_bytes(data)
    monkeypatch.syspath_prepend(folder)
    listed = {row.name: row.problem for row in faithbench.components("metric")}
    assert "entropy" in listed
    assert [name for name, problem in listed.items() if problem] in (["acme"], [])
    assert spec.build("metric", "entropy").identity


def test_a_package_without_metadata_is_named_by_its_folder(tmp_path, monkeypatch):
    folder = add_distribution(tmp_path, "acme", {"metrics": {"lost": "nowhere:Metric"}}, {})
    (folder / "acme-1.0.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(UserError, match=r"metric 'lost' of .* cannot be loaded \(ModuleNotFoundError"):
        spec.build("metric", "lost")


DATA = """
class Odd:
    def for_model(self, model): raise SystemExit(0)
    @property
    def content(self): raise SystemExit(0)
"""


def test_a_data_set_that_fails_later_is_a_sentence_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme", {"datasets": {"odd": "late:Odd"}}, {"late": DATA}))
    dataset = build_dataset("odd")
    with pytest.raises(UserError, match=r"odd cannot say what it holds \(SystemExit: 0\)"):
        _ = dataset.content
    with pytest.raises(UserError, match=r"dataset 'odd' cannot be had for the model conv-tiny \(SystemExit: 0\)"):
        resolve(dataset, faithbench.plugins.naming.refer("conv-tiny"))


LONG = {
    "words": "words(" * 1600 + "lime" + ")" * 1600,
    "deep": "words(" * 15 + "lime" + ")" * 15,
    "minus": f"lime(seed={'-' * 9000}1)",
    "quotes": "lime(" + "\\'" * 4900 + ")",
    "slashes": "file(" + "/" * 9000 + "=')",
    "spaces": "lime" + " " * 9900 + "x",
    "brackets": "lime(" + "(a" * 4900,
    "curly": "lime(a=" + "{" * 4000 + ")",
    "hex": f"lime(seed=0x{'f' * 9000})",
    "digits": f"lime(seed={'9' * 9000})",
    "attributes": "lime(a" + ".b" * 4000 + ")",
    "calls": "lime(f" + "()" * 4000 + ")",
    "power": "lime(seed=9**9**9)",
    "long": "x" * 10**6,
}


def calls_of(function: Callable[[], object]) -> int:
    """How many calls of Python functions it takes: time, whatever else the machine does."""
    counted = Counter()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: counted.update([event]))
    try:
        function()
    finally:
        sys.setprofile(before)
    return counted["call"]


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_or_deep_spec_is_refused_at_once(text):
    def refused() -> None:
        with pytest.raises(UserError) as error:
            spec.build("explainer", text)
        assert len(str(error.value)) < 400

    assert calls_of(refused) < 400_000


def test_specs_inside_each_other_take_no_exponential_time():
    def again(depth: int) -> int:
        built = spec.build("explainer", "words(" * depth + "random" + ")" * depth)
        return calls_of(lambda: spec.build("explainer", built.identity))

    assert again(8) < 4 * again(4)


@pytest.mark.parametrize(
    "value",
    [
        *("b'x'", "{1, 2}", "1j", "...", "f'{1}'", "lambda: 1", "(b := 1)", "*[1]", "1e999", "-1e999", "{1: 2}"),
        *(
            "None",
            "'x'",
            "True",
            "[1]",
            "{}",
            "x.y",
            "x[0]",
            "not 1",
            "1 if 1 else 2",
            "[*'ab']",
            "ﬁve",
            "0x" + "f" * 99,
        ),
    ],
)
@pytest.mark.parametrize("key", ["n_samples", "kernel_width", "ﬁn"])
def test_a_value_that_is_none_of_the_parameters_type_is_refused(key, value):
    with pytest.raises(UserError) as error:
        spec.build("explainer", f"lime({key}={value})")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("kind", "text"),
    [("dataset", "hub(3)"), ("dataset", "file(None)"), ("model", "classifier(1.5)"), ("explainer", "words([1])")],
)
def test_a_parameter_without_default_must_be_of_the_type_that_it_is_annotated_with(kind, text):
    with pytest.raises(UserError, match="it must be of type str"):
        spec.build(kind, text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=5,
)  # fmt: skip


@settings(deadline=None, max_examples=200, derandomize=True)
@given(PLAIN)
def test_what_is_plain_is_written_and_read_back(value):
    name, args, kwargs = spec.parse(spec.write("name", {"key": value}))
    assert (name, args, kwargs) == ("name", [], {"key": value})


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.sampled_from(("random", "lime", "words", "callable", "captum", "imported", "shap")), st.text(max_size=40))
def test_any_text_is_a_component_or_a_sentence(name, inside):
    try:
        built = spec.build("explainer", f"{name}({inside})")
    except UserError as error:
        problem = str(error)
        assert 0 < len(problem) < 400
    else:
        assert spec.build("explainer", built.identity).identity == built.identity
        assert spec.label("explainer", built.identity) == built.label


def test_a_label_is_told_without_looking_at_any_file(tmp_path: Path):
    missing = str(tmp_path / "missing.csv")
    assert spec.label("dataset", f"file(path={missing!r}, text=text)") == f"file(path={missing!r})"
    assert spec.label("dataset", f'shortcut(dataset="file(path={missing!r}, text=text)")') == (
        f"shortcut(file(path={missing!r}))"
    )


@pytest.mark.parametrize("kind", finding.GROUPS)
def test_a_label_without_a_component_is_that_of_the_component(kind):
    for name in finding.find(kind):
        try:
            built = spec.build(kind, name)
        except UserError:  # must be told something
            continue
        assert spec.label(kind, built.identity) == built.label
