"""The contract in words, for authors of components: `faithbench.check` and `faithbench check`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from faithbench.conformance import describers, explainers, metrics, scores
from faithbench.conformance.describers import DESCRIBER_CLAUSES, DescriberTrial
from faithbench.conformance.explainers import EXPLAINER_CLAUSES, ExplainerTrial
from faithbench.conformance.metrics import METRIC_CLAUSES, MetricTrial
from faithbench.conformance.scores import SCORE_CLAUSES, ScoreTrial
from faithbench.conformance.tiny import tiny_model, tiny_texts
from faithbench.console import say
from faithbench.errors import UserError, describe, unknown, words_of
from faithbench.interfaces import Classifier
from faithbench.limits import limited
from faithbench.plugins import finding, spec
from faithbench.running.options import CLAUSE_SECONDS, check_options
from faithbench.types import Text

CONTRACTS: Mapping[str, tuple[Callable[[Any, Classifier, Sequence[Text]], Any], Sequence[Callable[[Any], None]]]] = {
    "explainer": (ExplainerTrial, EXPLAINER_CLAUSES),
    "metric": (MetricTrial, METRIC_CLAUSES),
    "describer": (lambda component, model, texts: DescriberTrial(component), DESCRIBER_CLAUSES),
    "score": (lambda component, model, texts: ScoreTrial(component), SCORE_CLAUSES),
}  # of other kinds it is only seen whether they can be loaded
ANSWERS = "write it as a generator: `answer = yield Logits(text, keep)`, and `return` the result (docs/architecture.md)"
FASTER = "answer faster on a text of ten tokens, or give it longer: --timeout"
BATCHES = "use nothing but the answers to your own questions, and no state that other texts share"
TRAIT = "correct the class attribute, or what the component computes"
CURES: Mapping[Callable[[Any], None], str] = {
    explainers.gives_finite_scores: f"return Attribution(text.id, target, scores), a score a token; {ANSWERS}",
    explainers.explains_alike_in_any_batch: BATCHES,
    explainers.explains_alike_again: "draw with faithbench.draws.generator(text, seed=self.seed), and keep no state",
    explainers.leaves_all_as_found_explaining: "work on copies, and ask questions rather than changing the model",
    explainers.trait_class_sensitive_holds: "say `class_sensitive: ClassVar[bool] = False`, or make use of the target",
    explainers.trait_sums_to_holds: f"{TRAIT}; what is missing can be said in the note completeness_gap",
    explainers.trait_repeats_holds: "let `repeats()` give the same explainer with other seeds",
    explainers.dimensions_come_to_scores: "let `per_dimension` give numbers whose sums, or L2 norms, are the scores",
    metrics.gives_a_measurement: f"return Measurement(a float; NaN where it is not defined); {ANSWERS}",
    metrics.measures_alike_in_any_batch: BATCHES,
    metrics.measures_alike_again: "draw with faithbench.draws.generator(text, seed=self.seed), and keep no state",
    metrics.leaves_all_as_found_measuring: "work on copies, and ask questions rather than changing the model",
    metrics.trait_by_order_holds: TRAIT,
    metrics.trait_range_holds: TRAIT,
    metrics.trait_needs_holds: "say `needs` for every field of Text that the metric reads and a text may lack",
    metrics.trait_direction_holds: f"{TRAIT}; where it cannot hold by definition, say why in `unproven`",
    describers.gives_a_description: "return an object with `text`, `bits` and `simulate`; look at copies, not in place",
    describers.simulates_every_token: "return an array of the shape of `windows.ids`; nan_to_num what is not known",
    describers.simulates_alike_in_any_company: "predict a window by its tokens alone: not by a mean over all of them",
    describers.describes_alike_again: "draw with numpy.random.default_rng(self.seed), and keep no state",
    describers.leaves_all_as_found_describing: "work on copies: activations − mean, rather than activations −= mean",
    describers.description_can_be_kept: "let a description be a frozen dataclass of plain values, without functions",
    scores.gives_a_value: "return Measurement(a float; NaN where it is not defined, with the parts that `Score` names)",
    scores.scores_alike_again: "draw with neuron.generator(purpose, self.seed), and keep no state",
    scores.leaves_all_as_found_scoring: "work on copies: simulated − mean, rather than simulated −= mean",
    scores.trait_range_of_score_holds: TRAIT,
    scores.prefers_the_truth: TRAIT,
    scores.scores_alike_in_any_precision: "compute in double precision: np.asarray(…, dtype=np.float64)",
}


@dataclass(frozen=True)
class Clause:
    """One thing that a component must keep.

    Args:
        what: it is, a sentence.
        problem: how it is broken, a sentence; empty where it is kept.
        cure: what to do then, a sentence.
    """

    what: str
    problem: str = ""
    cure: str = ""


@dataclass(frozen=True)
class CheckedComponent:
    """What became of one component.

    Args:
        kind: dataset, model, explainer, metric or architecture.
        name: its spec.
        origin: whose it is.
        clauses: what was tried, in order; after an answer that is none the others are not.
        problem: why it could not be tried at all; empty if it could.
        note: what else is to be said, such as that it has no contract.
    """

    kind: str
    name: str
    origin: str
    clauses: tuple[Clause, ...] = ()
    problem: str = ""
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problem and not any(clause.problem for clause in self.clauses)


@dataclass(frozen=True)
class Checked:
    """All components that a name stands for."""

    name: str
    components: tuple[CheckedComponent, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with any of them."""
        return all(component.passed for component in self.components)


def check(name: str, console: Console | None = None, timeout: float | None = CLAUSE_SECONDS) -> Checked:
    """Tries whether explainer, metric, describer or score, or all of a package, keep the contract; quick, offline.

    One that takes too long is not tried further.

    Args:
        name: a spec such as `occlusion` or `lime(n_samples=50)`, or an installed package or module with entry points.
        console: is told what is being tried.
        timeout: seconds for each clause of the contract; None for any time.

    Raises:
        UserError: nothing that is installed has that name, or timeout is not a number of seconds above 0.
    """
    check_options(timeout)
    found = list(_meant(name))
    model = tiny_model()
    texts = tiny_texts(model)
    return Checked(name, tuple(_said(plugin, text, model, texts, console, timeout) for plugin, text in found))


def _meant(name: str) -> Iterator[tuple[finding.Plugin, str]]:
    """The components that a name stands for, each with its spec."""
    own = spec.parse(name)[0] if spec.SHAPE.fullmatch(name) else ""
    every = [plugin for kind in finding.GROUPS for plugin in finding.find(kind).values()]
    named = [(plugin, name) for plugin in every if plugin.kind in CONTRACTS and plugin.name == own]
    brought = [(plugin, plugin.name) for plugin in every if _brings(name, plugin)]
    if not named and not brought:
        known = {plugin.name for plugin in every if plugin.kind in CONTRACTS}
        kinds = "explainer, metric, describer, score or package with some"
        raise unknown(kinds, name, known | {_package(plugin) for plugin in every})
    yield from ([each for each in named if _is_made(*each)] or named) if len(named) > 1 else named or brought


def _is_made(plugin: finding.Plugin, text: str) -> bool:
    """Whether a spec is one of that kind, where several kinds have a component of the name."""
    try:
        spec.build(plugin.kind, text)
    except UserError:
        return False
    return True


def _brings(name: str, plugin: finding.Plugin) -> bool:
    """Whether a component is of a distribution, or of a module, of that name."""
    modules = [entry.value.partition(":")[0] for entry in plugin.claims]
    return _plain(name) == _plain(_package(plugin)) or any(f"{each}.".startswith(f"{name}.") for each in modules)


def _package(plugin: finding.Plugin) -> str:
    return plugin.origin.partition(" ")[0].rstrip(",")


def _plain(name: str) -> str:
    """Names of packages are the same with `-`, `_` or `.`, in capitals or not."""
    return name.lower().replace("_", "-").replace(".", "-")


def _said(
    plugin: finding.Plugin,
    text: str,
    model: Classifier,
    texts: Sequence[Text],
    console: Console | None,
    timeout: float | None,
) -> CheckedComponent:
    """What becomes of one component."""
    say(console, f"trying {plugin.kind} {text} …")
    made = CheckedComponent(plugin.kind, text, plugin.origin)
    try:
        plugin.signature()
        if plugin.kind not in CONTRACTS:
            return replace(made, note=f"it can be loaded; there is no contract of a {plugin.kind} to try.")
        if needed := _needed(plugin, text):
            return replace(made, note=f"not tried: it needs {needed}; check {plugin.name}({needed}=…).")
        component = spec.build(plugin.kind, text).object
    except UserError as error:
        return replace(made, problem=str(error))
    return replace(made, clauses=tuple(_tried(plugin.kind, text, component, model, texts, timeout)))


def _needed(plugin: finding.Plugin, text: str) -> str:
    """The first parameter without a default, where a bare name does not say it."""
    if text != plugin.name:
        return ""
    parameters = plugin.signature().parameters.values()
    named = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return next(iter(named), "")


def _tried(
    kind: str, name: str, component: Any, model: Classifier, texts: Sequence[Text], timeout: float | None
) -> Iterator[Clause]:
    """The clauses of a kind, as long as the component gives an answer at all, and in time."""
    begin, clauses = CONTRACTS[kind]
    trial: Any = None
    for clause in clauses:
        problem, cure, started = "", CURES[clause], time.monotonic()
        try:
            with limited(timeout):
                if trial is None:
                    trial = begin(component, model, texts)
                clause(trial)
        except KeyboardInterrupt:
            raise
        except AssertionError as error:
            problem = _named(words_of(error), component, f"{kind} {name}")
        except BaseException as error:  # a plugin may fail in any way, also by ending the program
            problem = f"{kind} {name} fails: {describe(error)}."
            cure = f"mend what raises this; where that is not your own code, {cure}"
        late = timeout is not None and time.monotonic() - started >= timeout  # whatever became of the interruption
        if late:
            problem, cure = f"{kind} {name} took longer than {timeout:g} seconds.", FASTER
        yield Clause(" ".join((clause.__doc__ or "").split()), problem, cure if problem else "")
        if late or (problem and clause is clauses[0]):
            return


def _named(problem: str, component: object, name: str) -> str:
    """A problem that names the component as people do, rather than by its fields."""
    try:
        return problem.replace(repr(component), name)
    except Exception:  # its __repr__ is somebody's code
        return problem
