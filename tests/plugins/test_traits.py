"""What components say of themselves: typed, with defaults, and refused where it is not what it must be."""

import math
from dataclasses import dataclass, fields
from inspect import cleandoc
from typing import ClassVar, get_type_hints

import pytest
from fixtures_run import add_distribution

from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.plan import Plan
from faithbench.plugins import finding, spec
from faithbench.plugins.traits import ALLOWED, METHODS, OF, read_trait, read_traits
from faithbench.running.grid import select_components


class Silent:
    """Says nothing."""


@dataclass(frozen=True)
class Talkative:
    """Says what depends on a parameter in a property."""

    half: bool = False
    kind: ClassVar[str] = "taste"
    needs: ClassVar[tuple[str, ...]] = ("evidence", "vocabulary")
    higher_is_better: ClassVar[bool] = False
    version: ClassVar[int] = 4

    @property
    def range(self):
        return (0, 0.5 if self.half else math.inf)


def test_what_says_nothing_has_the_defaults():
    for kind in OF:
        assert read_traits(kind, Silent(), "it") == Traits()


def test_what_is_said_is_read_from_attributes_and_properties():
    found = read_traits("metric", Talkative(half=True), "it")
    said = {"kind": "taste", "needs": ("evidence", "vocabulary"), "higher_is_better": False, "version": 4}
    assert found == Traits(**said, range=(0, 0.5))
    assert found.direction == -1
    assert read_traits("metric", Talkative(), "it").range == (0, math.inf)


@pytest.mark.parametrize(("higher", "direction"), [(True, 1), (False, -1), (None, 0)])
def test_direction_is_a_sign(higher, direction):
    assert Traits(higher_is_better=higher).direction == direction


def test_traits_of_another_kind_mean_nothing():
    """A data set may have a parameter `kind`, an explainer a `range`."""
    assert read_traits("dataset", Talkative(), "it") == Traits(version=4)


def test_every_trait_is_checked_or_a_method_and_none_is_left_undocumented():
    names = {field.name for field in fields(Traits)}
    assert names == set(ALLOWED) | {name for told in METHODS.values() for name in told}
    assert names == {name for told in (*OF.values(), *METHODS.values()) for name in told}
    assert all(f"\n    {name}: " in cleandoc(Traits.__doc__) for name in names)  # Python 3.13 cleans it itself
    assert set(get_type_hints(Traits)) == names


def test_methods_tell_what_a_data_set_can_do():
    assert spec.build("dataset", "seqpg").traits.for_model
    assert not spec.build("dataset", "planted").traits.for_model
    assert spec.build("dataset", "planted").traits.without
    assert not spec.build("dataset", "imdb").traits.without


@pytest.mark.parametrize(
    ("kind", "name", "value", "allowed"),
    [
        ("metric", "version", "2", "a whole number from 1"),
        ("metric", "version", True, "a whole number from 1"),
        ("explainer", "version", 0, "a whole number from 1"),
        ("explainer", "added", "epochs", "a tuple of names of parameters"),
        ("model", "formerly", {"epochs": 3}, "a tuple of names with values"),
        ("model", "formerly", (("epochs", 3, 4),), "a tuple of names with values"),
        ("model", "on_request", 1, "True or False"),
        ("metric", "kind", 3, "a text on one line"),
        ("metric", "kind", "", "a text on one line"),
        ("metric", "higher_is_better", "yes", "True, False or None"),
        ("metric", "range", (1, 0), "None or the least and the largest value"),
        ("metric", "range", (0, math.nan), "None or the least and the largest value"),
        ("metric", "range", [0, 1], "None or the least and the largest value"),
        ("metric", "range", (0, 50, 100), "None or the least and the largest value"),
        ("metric", "needs", "evidence", "a tuple of fields of Text"),
        ("metric", "needs", ("evidences",), "a tuple of fields of Text"),
        ("metric", "by_order", None, "True or False"),
        ("metric", "keep_parts", "all", "True or False"),
        ("metric", "parts_at", (0.5, 0.1), "a tuple of rising shares from 0 to 1, such as (0.1, 0.5)"),
        ("metric", "unproven", True, "a text on one line"),
        ("explainer", "class_sensitive", 0, "True or False"),
        ("explainer", "sums_to", "probability", "one of '', 'logit', 'content', 'tokens'"),
        ("dataset", "lr", 0, "a number above 0"),
        ("dataset", "lr", "2e-5", "a number above 0"),
        ("dataset", "base", 3, "the spec of a data set"),
        ("dataset", "only_for", "segment", "a field of Text"),
        ("dataset", "only_for", ["segments"], "a field of Text"),
    ],
)
def test_what_is_malformed_names_component_trait_value_and_what_is_allowed(kind, name, value, allowed):
    component = type("Odd", (), {name: value})()
    with pytest.raises(UserError) as error:
        read_traits(kind, component, f"{kind} 'odd'")
    assert str(error.value).startswith(
        f"{kind} 'odd' says {name}={value!r}, which is not allowed; it must be {allowed}"
    )


def test_a_class_is_asked_before_it_is_built_and_a_property_is_no_answer():
    assert read_trait(Talkative, "on_request", "it") is False
    late = type("Late", (), {"on_request": property(lambda self: True)})
    with pytest.raises(UserError, match=r"it says on_request=<property .*; it must be True or False"):
        read_trait(late, "on_request", "it")


SOURCE = """
class Lamp:
    added = ("oil",)
    def __init__(self, wick=1): self.wick = wick
class Torch:
    needs = "evidence"
class Gas:
    formerly = (("oil", True),)
    def __init__(self, wick=1): self.wick = wick
class Candle:
    on_request = "perhaps"
"""


@pytest.fixture
def _odd(tmp_path, monkeypatch):
    entries = {"metrics": {"lamp": "odd_lights:Lamp", "torch_light": "odd_lights:Torch", "candle": "odd_lights:Candle"}}
    entries["metrics"]["gas"] = "odd_lights:Gas"
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "odd", entries, {"odd_lights": SOURCE}))


@pytest.mark.usefixtures("_odd")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("lamp", r"metric 'lamp' says added=\('oil',\), but 'oil' is not a parameter with a default"),
        ("gas", r"metric 'gas' says formerly=\(\('oil', True\),\), but 'oil' is not a parameter with a default"),
        ("torch_light", "metric 'torch_light' says needs='evidence', which is not allowed"),
        ("candle", "metric 'candle' says on_request='perhaps', which is not allowed"),
    ],
)
def test_a_component_that_says_nonsense_is_not_built_and_left_out_of_what_runs_unnamed(name, complaint):
    with pytest.raises(UserError, match=complaint):
        spec.build("metric", name)
    chosen = select_components(Plan(("planted",), ("conv-tiny",)))
    assert name not in {metric.label for metric in chosen.metrics}
    assert any(complaint.replace("\\", "") in problem for problem in chosen.left_out)


def test_every_installed_metric_says_its_range_or_has_none():
    unlimited = set()
    for name in finding.find("metric"):
        traits = spec.build("metric", "normalised(deletion)" if name == "normalised" else name).traits
        if traits.range is None:
            unlimited.add(name)
    assert unlimited == {"log_odds"}


def test_a_wrapper_says_what_the_component_inside_says():
    inside = spec.build("metric", "deletion(operator=sample)").traits
    outside = spec.build("metric", "normalised(deletion(operator=sample))").traits
    assert (outside.needs, outside.kind, outside.version) == (inside.needs, inside.kind, inside.version + 1)
    assert outside.needs == ("vocabulary",)
    assert not spec.build("explainer", "words(attention)").traits.class_sensitive
    assert spec.build("explainer", "words(saliency)").traits.class_sensitive
