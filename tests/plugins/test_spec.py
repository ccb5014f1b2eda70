"""Specs and plugins: texts become components and texts again, and no plugin can disturb another."""

from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_run import add_distribution

import faithbench
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.plugins import finding, spec
from faithbench.plugins.naming import build_dataset
from faithbench.running.grid import load_examples, select_components

LAB = '''
from dataclasses import dataclass


@dataclass(frozen=True)
class Lamp:
    """Shines."""

    watts: int = 60
    warmth: float = 0.5
    colour: str = "white"
    dim: bool = False
    limit: int | None = None
    version = 3

    def __post_init__(self):
        if self.watts < 0:
            raise ValueError(f"watts={self.watts!r} is not allowed; it must not be negative.")


@dataclass(frozen=True)
class Bare:
    """Needs a size."""

    size: int


@dataclass(frozen=True)
class Shy:
    """Shines on request, and puts what it is given more exactly."""

    glow: float = 0.5
    tint: str = "red"
    on_request = True

    def __post_init__(self):
        object.__setattr__(self, "glow", round(self.glow, 1))
        object.__setattr__(self, "tint", ["of another type", self.tint])
'''
TOLD = (
    "calibrated",
    "callable",
    "captum",
    "classifier",
    "degraded",
    "fitted",
    "function",
    "hub",
    "llm",
    "lm",
    "neurons",
    "untrained",
    "topk",
    "sae",
    "imported",
    "normalised",
    "permuted",
    "program",
    "shap",
    "words",
)  # components that cannot be built without being told what


@pytest.fixture
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with the metrics `lamp` and `bare` and the explainers `told` and `shy`."""
    entries = {
        "metrics": {"lamp": "lab_of_lamps:Lamp", "bare": "lab_of_lamps:Bare"},
        "explainers": {"told": "lab_of_lamps:Bare", "shy": "lab_of_lamps:Shy"},
    }
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "lab", "lab", entries, {"lab_of_lamps": LAB}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lime", ("lime", [], {})),
        ("lime()", ("lime", [], {})),
        ("  bcos-bert( b = 2.0 )  ", ("bcos-bert", [], {"b": 2.0})),
        ("lime(500, seed=-3)", ("lime", [500], {"seed": -3})),
        ("f(a=word, b='two words', c=None, d=True)", ("f", [], {"a": "word", "b": "two words", "c": None, "d": True})),
        ("f(path='a (b), c=d.csv')", ("f", [], {"path": "a (b), c=d.csv"})),
        ("f(a=[1, 2], b=(0.1, 0.2))", ("f", [], {"a": [1, 2], "b": (0.1, 0.2)})),
        ("f(a=1e-5,\n  b=2,)", ("f", [], {"a": 1e-5, "b": 2})),
        ("words(lime(n_samples=500))", ("words", ["lime(n_samples=500)"], {})),
        ("words(explainer=words(lime(500, seed=1)))", ("words", [], {"explainer": "words(lime(500, seed=1))"})),
        (
            "captum(IntegratedGradients(n_steps=2), over=ids)",
            ("captum", ["IntegratedGradients(n_steps=2)"], {"over": "ids"}),
        ),
        ("callable(package.module:function)", ("callable", ["package.module:function"], {})),
        ("callable( my_module:make.it )", ("callable", ["my_module:make.it"], {})),
        ("hub(nyu-mll/glue, name=mrpc)", ("hub", ["nyu-mll/glue"], {"name": "mrpc"})),
        ("hub(SetFit/20_news@v1.0, split=test[:200])", ("hub", ["SetFit/20_news@v1.0"], {"split": "test[:200]"})),
        ("file(a b/reviews (1).csv, text=t)", ("file", ["a b/reviews (1).csv"], {"text": "t"})),
        ("file(path=reviews.csv, encoding=latin-1)", ("file", [], {"path": "reviews.csv", "encoding": "latin-1"})),
        ("file(/data/Mine - old.csv)", ("file", ["/data/Mine - old.csv"], {})),
        ("file(path='a.csv', delimiter=;)", ("file", [], {"path": "a.csv", "delimiter": ";"})),
        ("words(hub(a-b/c, split=x[1:]))", ("words", ["hub(a - b / c, split=x[1:])"], {})),
        ("hub(a - b / c, split=x[1:])", ("hub", ["a-b/c"], {"split": "x[1:]"})),
    ],
)
def test_parse_reads_name_positional_and_named_parameters(text, expected):
    assert spec.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "()", "two words", "f(", "f)", "f(a=1", "f(a=1))", "f(a==1)", "f(a=b c)", "f(1=2)", "f(a=1, 2)"),
        *("f(a=1) g(b=2)", "f(a=1), g(b=2)", "f(a=1);g()", "f(**{'a': 1})", "f(*[1])", "f(a=lambda: 1)", "f(a=b.c)"),
        *("f(a=1 # no)", "f(a=\0)", "f(a=[i for i in (1,)])", "f(a=f'{1}')", "f(a=(b:=1))", "f(a=1+b)"),
        *("f(1)(2)", "f(a=1)(a=2)", "f(1).g(2)"),
        *("f(a=1, a=2)", "f(a=b(c=/x (1).csv))", "f(a/b c=1)", "f(a=/x=y.csv)", "f(a='x/y)", "f(,a/b)", "f(a-1)"),
        "f(a={[]: 1})",
        "f(a=" + "-" * 20_000 + "1)",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_malformed_text_is_a_user_error_that_repeats_it(text):
    with pytest.raises(UserError) as error:
        spec.parse(text)
    assert str(error.value).startswith(repr(text)[:20])


@pytest.mark.parametrize("call", ["open({0!r}, 'w')", "__import__('pathlib').Path({0!r}).touch()"])
def test_no_code_is_run(call, tmp_path):
    text = f"planted(seed={call.format(str(tmp_path / 'touched'))})"
    with pytest.raises(UserError):
        spec.build("dataset", text)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 10**20, 0.1, -2.5, 1e-05, 1e300, True, False, None, [1, 2], (0.5,)),
        *("word", "Word_1", "two words", "a/b c.csv", "it's", 'say "x"', "", "1", "1.5", "-", "tab\tnew\nline", "ünï"),
        *("a\\b", "(", ")", ",", "=", "#"),
        *("True", "None", "class", "lambda", "not"),
        "aﬁ",
    ],
    ids=repr,
)
def test_write_then_parse_gives_the_value_back(value):
    text = spec.write("name", {"key": value})
    name, args, kwargs = spec.parse(text)
    assert (name, args, kwargs) == ("name", [], {"key": value})
    assert type(kwargs["key"]) is type(value)


@pytest.mark.usefixtures("_lab")
def test_defaults_are_in_the_identity_and_not_in_the_label():
    component = spec.build("metric", "lamp(colour=red)")
    assert component.identity == "lamp(watts=60, warmth=0.5, colour=red, dim=False, limit=None)"
    assert component.label == "lamp(colour=red)"
    assert component.version == 3


@pytest.mark.usefixtures("_lab")
@pytest.mark.parametrize("text", ["lamp", "lamp()", "lamp(watts=60)", "lamp(60)", "lamp(60, dim=False, warmth=0.5)"])
def test_one_component_has_one_identity_however_it_is_written(text):
    assert spec.build("metric", text) == spec.build("metric", "lamp")
    assert spec.build("metric", text).label == "lamp"


@pytest.mark.usefixtures("_lab")
def test_an_integer_where_the_default_is_a_float_is_that_float():
    component = spec.build("metric", "lamp(warmth=2)")
    assert component == spec.build("metric", "lamp(warmth=2.0)")
    assert isinstance(component.object.warmth, float)
    assert component.label == "lamp(warmth=2.0)"


@pytest.mark.usefixtures("_lab")
def test_positional_parameters_are_taken_in_order():
    assert spec.build("metric", "lamp(40, 0.1, blue)").object.colour == "blue"
    assert spec.build("metric", "bare(7)").identity == "bare(size=7)"


@pytest.mark.usefixtures("_lab")
@pytest.mark.parametrize(
    ("text", "overrides", "short"),
    [
        ("lamp", {"colour": "red"}, "lamp(colour=red)"),
        ("lamp(colour=blue)", {"colour": "red"}, "lamp(colour=blue)"),
        ("lamp", {"protocol": "paper"}, "lamp"),
        ("lamp", {"colour": "white"}, "lamp"),
        ("bare", {"size": 3}, "bare(size=3)"),
    ],
)
def test_overrides_set_what_a_component_has_and_its_text_leaves_open(text, overrides, short):
    assert spec.build("metric", text, overrides).label == short


@pytest.mark.parametrize("kind", finding.GROUPS)
def test_every_installed_component_is_rebuilt_from_its_identity_and_its_label(kind):
    names = [name for name in finding.find(kind) if name not in ("file", "hub", *TOLD)]
    assert names
    for component in (spec.build(kind, name) for name in names):
        assert spec.build(kind, component.identity) == component
        assert spec.build(kind, component.label) == component
        assert component.label == component.identity.partition("(")[0]


@pytest.mark.usefixtures("_lab")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lampp", ["'lampp'", "metric", "did you mean lamp?"]),
        ("xyzzy", ["'xyzzy'", "metric", "known: ", "comprehensiveness", "lamp"]),
        ("lamp(wats=3)", ["'wats'", "'lamp'", "did you mean watts"]),
        ("lamp(zzz=3)", ["'zzz'", "known: colour, dim, limit, warmth, watts"]),
        ("lamp(watts=-3)", ["lamp(watts=-3)", "watts=-3 is not allowed"]),
        ("lamp(watts=lots)", ["lamp(watts=lots)"]),
        ("lamp(1, 2, 3, 4, 5, 6)", ["lamp(1, 2, 3, 4, 5, 6)", "too many", "watts, warmth"]),
        ("lamp(1, watts=2)", ["lamp(1, watts=2)", "watts"]),
        ("bare", ["'bare'", "'size'", "parameters: size"]),
    ],
)
def test_what_cannot_be_built_is_named_with_what_would_be_allowed(text, words):
    with pytest.raises(UserError) as error:
        spec.build("metric", text)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.usefixtures("_lab")
@pytest.mark.parametrize(
    "text", ["lamp(dim=true)", "lamp(dim=1)", "lamp(watts=2.5)", "lamp(watts=True)", "lamp(colour=3)"]
)
def test_a_value_of_another_type_than_the_default_is_refused(text):
    with pytest.raises(UserError):
        spec.build("metric", text)


def test_two_distributions_that_claim_a_name_are_both_named_and_the_rest_works(tmp_path, monkeypatch):
    for name in ("acme", "bolt"):
        entries = {"explainers": {"torch_light": f"{name}_light:Light", f"{name}_only": f"{name}_light:Light"}}
        source = "class Light:\n    '''Shines.'''\n"
        monkeypatch.syspath_prepend(add_distribution(tmp_path / name, name, entries, {f"{name}_light": source}))
    with pytest.raises(UserError, match=r"'torch_light' is claimed by .*acme 1\.0.*; uninstall one") as error:
        spec.build("explainer", "torch_light")
    assert "bolt 1.0" in str(error.value)
    assert spec.build("explainer", "acme_only").identity == "acme_only"
    listed = {row.name: row.problem for row in faithbench.components("explainer")}
    assert "bolt 1.0" in listed["torch_light"]
    assert not listed["bolt_only"]


def test_one_distribution_found_on_two_paths_is_one_claim(tmp_path, monkeypatch):
    for place in ("here", "there"):
        entries = {"explainers": {"twice": "twice_light:Light"}}
        folder = add_distribution(tmp_path / place, "twice", entries, {"twice_light": "class Light: pass\n"})
        monkeypatch.syspath_prepend(folder)
    assert spec.build("explainer", "twice").identity == "twice"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('out of oil\\nand wick')", "RuntimeError: out of oil"),
        ("import no_such_module_of_this_name", "ModuleNotFoundError"),
        ("class Other: pass", "AttributeError"),
        ("this is no python", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("Light = 3", "callable"),
    ],
    ids=["raises", "lacks a package", "lacks the name", "bad syntax", "exits", "not callable"],
)
def test_a_broken_plugin_is_listed_with_its_cause_and_breaks_nothing_else(source, cause, tmp_path, monkeypatch):
    healthy = {row.name for row in faithbench.components("explainer")}
    module = f"broken_{tmp_path.name}"
    entries = {"explainers": {"broken": f"{module}:Light"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme", entries, {module: source}))
    listed = {row.name: row for row in faithbench.components("explainer")}
    assert set(listed) == healthy | {"broken"}
    assert [name for name, row in listed.items() if row.problem] == ["broken"]
    assert cause in listed["broken"].problem
    assert "\n" not in listed["broken"].problem
    assert listed["broken"].origin == "acme 1.0"
    with pytest.raises(UserError, match=r"acme 1\.0"):
        spec.build("explainer", "broken")
    assert spec.build("explainer", "random").object


def test_an_unknown_kind_is_answered_with_near_misses():
    with pytest.raises(UserError, match=r"'models' is not a known kind; did you mean model"):
        faithbench.components("models")


def test_listed_components_say_what_they_are():
    rows = {(row.kind, row.name): row for row in faithbench.components()}
    assert rows["model", "conv-tiny"].signature == "seed=42, masking=half"
    assert rows["model", "bcos-tiny"].signature.startswith("b=1.5, qkv=False, seed=42, loss=bce, ")
    assert rows["dataset", "file"].signature == "path, text=text, label=label, pair=, delimiter=, encoding="
    assert rows["metric", "comprehensiveness"].summary.endswith(".")
    assert rows["explainer", "random"].origin.startswith("faithbench ")


INNER = "n_samples=500, kernel_width=25.0, feature_selection=none, num_features=10, baseline=mask, seed=0"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("words(lime(n_samples=500))", f"words(explainer='lime({INNER})')"),
        ("words(explainer='lime(500)')", f"words(explainer='lime({INNER})')"),
        ("words(words(bcos))", """words(explainer="words(explainer='bcos(contrastive=False)')")"""),
        ("callable(os.path:basename)", "callable(function='os.path:basename')"),
        ("words(callable('os.path:basename'))", """words(explainer="callable(function='os.path:basename')")"""),
        ("imported(mine, content='0a1b')", "imported(name=mine, content='0a1b')"),
        ("captum(IntegratedGradients(n_steps=20))", None),
        ("lime_package(num_samples=50)", None),
    ],
)
def test_identity_of_a_spec_in_a_spec_states_all_parameters_of_both(text, full):
    component = spec.build("explainer", text)
    assert component.identity == (full or component.identity)
    assert spec.build("explainer", component.identity).identity == component.identity
    assert spec.build("explainer", component.label).identity == component.identity


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("words(__import__('os'))", "'__import__' is not a known explainer"),
        ("words(__import__('pathlib').Path({0!r}).touch())", "is not a list of key=value with plain values"),
        ("words(explainer=open({0!r}, 'w'))", "'open' is not a known explainer"),
        ("words(words(open({0!r}, 'w')))", "'open' is not a known explainer"),
        ("words(lime(n_samples=open({0!r}, 'w')))", "n_samples=.* must be of type int"),
        ("captum(IntegratedGradients(n_steps=open({0!r}, 'w').fileno()))", "is not a list of key=value"),
        ("callable(open({0!r}, 'w'))", "function=.* must be package.module:function"),
        ("words((lambda: open({0!r}, 'w'))())", "is not a list of key=value with plain values"),
        ("words(lime(n_sample=5))", "'n_sample' is not a known parameter of explainer 'lime'; did you mean n_samples"),
        ("words(lime(n_samples=-1))", r"'lime\(n_samples=-1\)': n_samples=-1 is not allowed"),
        ("words", "'words': missing a required argument: 'explainer'; parameters: explainer"),
        ("callable(no-such-module:function)", "is not"),
        ("attention(variant=flow(1))", r"variant='flow\(1\)' is not allowed; use raw or rollout or flow"),
    ],
)
def test_mistakes_and_code_inside_a_spec_are_refused_in_one_sentence_and_not_run(text, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint) as error:
        spec.build("explainer", text.format(str(tmp_path / "touched")))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_lab")
def test_identity_states_a_parameter_as_the_component_does_if_that_is_of_the_same_type():
    component = spec.build("explainer", "shy(glow=0.123)")
    assert component.identity == "shy(glow=0.1, tint=red)"
    assert spec.build("explainer", component.identity).identity == component.identity


@pytest.mark.usefixtures("_lab")
def test_what_needs_telling_or_a_request_runs_only_where_it_is_named():
    plan = Plan(models=("conv-tiny",), datasets=("planted(test=8)",))
    unnamed = load_examples(build_dataset(plan.datasets[0]), select_components(plan), plan.split, plan.limit)
    left = {*TOLD, "lime_package", "place", "told", "shy"}
    assert {component.label for component in unnamed.explainers} == set(finding.find("explainer")) - left
    assert unnamed.left_out == ()  # nor is there any noise about them
    plan = replace(plan, explainers=("told(3)", "shy", "words(lime(n_samples=500))"))
    named = load_examples(build_dataset(plan.datasets[0]), select_components(plan), plan.split, plan.limit)
    assert [type(component.object).__name__ for component in named.explainers] == ["Bare", "Shy", "Words"]


@pytest.mark.parametrize(
    ("kind", "text", "short"),
    [
        ("metric", "normalised(comprehensiveness(operator=delete))", "normalised(comprehensiveness(operator=delete))"),
        ("metric", "normalised(metric=comprehensiveness, beam=2)", "normalised(comprehensiveness, beam=2)"),
        ("explainer", "words(lime(n_samples=3000))", "words(lime)"),
        ("dataset", "shortcut(dataset=planted(test=7), kind=pair)", "shortcut(planted(test=7), kind=pair)"),
        ("dataset", "shortcut(dataset='planted(test=7)', seed=0)", "shortcut(planted(test=7))"),
    ],
)
def test_the_label_of_a_component_inside_another_leaves_defaults_out(kind, text, short):
    component = spec.build(kind, text)
    assert component.label == short
    assert spec.build(kind, short).identity == component.identity == spec.build(kind, component.identity).identity


def test_names_with_hyphens_need_no_quotes():
    _, _, parameters = spec.parse("seqpg(judge=bcos-minilm(b=2.0), dataset=ag_news, seed=-1)")
    assert parameters == {"judge": "bcos-minilm(b=2.0)", "dataset": "ag_news", "seed": -1}
    assert spec.parse("words(a-b-c)") == ("words", ["a-b-c"], {})
    assert spec.parse("topk(crate-2l, k=2, rate=1e-5)") == ("topk", ["crate-2l"], {"k": 2, "rate": 1e-5})
    assert spec.parse("sae(crate-2l(seed=43, data='a-1b - 2c'), layer=-1)")[1] == [
        "crate-2l(seed=43, data='a-1b - 2c')"
    ]
    outer = spec.parse("topk(model=untrained(model=gpt-relu-2l(seed=43)), k=3)")[2]
    assert spec.parse(outer["model"]) == ("untrained", [], {"model": "gpt-relu-2l(seed=43)"})
    for wrong in ("words(a-1)", "words(1-a)", "words(2-1)"):
        with pytest.raises(UserError, match="plain values"):
            spec.parse(wrong)
