"""Texts explained for people: `faithbench.explain`."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from transformers import PreTrainedTokenizerBase

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain as explained_by
from faithbench.answering.explaining import ready
from faithbench.bcos.convert import is_bcos
from faithbench.console import say
from faithbench.conversations import Asking, attempt, gather
from faithbench.datasets.columns import PAIR, TEXT
from faithbench.datasets.file import File
from faithbench.errors import UserError, WrongTypeError, brief, describe
from faithbench.interfaces import Classifier
from faithbench.models.continuing import continuation_of
from faithbench.paths import as_names, as_path
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.running.arguments import examples_of, target_of
from faithbench.running.attribute import texts_of
from faithbench.running.calibration import tried
from faithbench.running.classifiers import AnyModel, Named, named_classifier
from faithbench.running.explained import ExplainedText
from faithbench.running.explanation import Explained, Explanation, Explanations, doubts
from faithbench.running.generation import Generation, Generations
from faithbench.running.next_tokens import (
    Asked,
    Choice,
    check_continuations,
    continuation,
    language_model,
    of_step,
    questions,
    with_continuations,
)
from faithbench.running.prediction import Prediction, at_chance, is_unproven, names_of
from faithbench.running.progress import duration
from faithbench.running.showable import check_file
from faithbench.running.trust import DRAWS, Trust, trust
from faithbench.shown import counted
from faithbench.tasks import logits_of
from faithbench.types import Attribution, Example, Target, Text

if TYPE_CHECKING:
    import torch

BCOS, OTHERS = ("bcos", "occlusion"), ("attn_lrp", "occlusion")  # cheap explainers of two kinds
UNITS = ("word", "token")
MOST_DRAWS = 1_000_000
FAILURE = 200  # characters of what an explainer's error says


def explain(
    model: AnyModel,
    texts: str | Path | Iterable[str | tuple[str, str] | Example],
    explainers: str | Sequence[str] | None = None,
    target: int | str | Target | None = None,
    *,
    against: int | str | None = None,
    good: str | None = None,
    bad: str | None = None,
    generate: int | None = None,
    pair: str | None = None,
    column: str | None = None,
    limit: int | None = None,
    by: str | None = None,
    draws: int = DRAWS,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dataset: str | Path | None = None,
    device: str | None = None,
    dtype: "str | torch.dtype | None" = None,
    save: Sequence[Path | str] = (),
    console: Console | None = None,
) -> Explanation | Explanations | Generation | Generations:
    """Explains a text, or several, for people: what the model says, what explainers name, and how far to trust that.

    Each explanation is tried on the model: the words with the largest scores are masked, and so are as many words drawn
    at random (docs/explain.md).

    Args:
        model: a checkpoint folder, a hub id, a named model (then `dataset` says which fine-tuned one), or a
            classifier or causal language model of transformers in memory (then with its `tokenizer`; a copy is used).
        texts: a text; or a list of texts, of pairs of texts (tuples), or of rows of a data set; or the path of a file
            of texts, as a `Path`: CSV, JSON lines, Parquet, a text a line and the like.
        explainers: one or several specs, such as `"lime(n_samples=500)"`; None for two that are cheap: `bcos` for a
            B-cos model and `attn_lrp` for others, and `occlusion`.
        target: the class to explain, by its number or its name; None for the one that the model predicts.
        against: the class, likewise, over which it is preferred: then the difference of the two logits is explained.
        good: for a language model, a word that might follow the text: why it and not `bad` is explained. Without both,
            the model's own next token is, and not the runner-up.
        bad: the word that it is compared with.
        generate: let a language model go on for so many tokens, the likeliest each time, and explain each of them.
        pair: the second text, where `texts` is one and the model reads two; of a file its column.
        column: of a file, that of the text; None to look for a usual name.
        limit: explain the first so many; None for all.
        by: `word` or `token`: what coloured lines and frames score; None for words, and for tokens with `generate`.
        draws: how many other sets of words are masked, or for a language model deleted; 0 to try no explanation.
        tokenizer: of a model in memory.
        dataset: of a named model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        dtype: of weights and activations; None for the model's own, of one that is loaded float32 at least.
        save: files to write, `.html`, `.svg`, `.png` or `.pdf`; checked before anything is computed.
        console: where to say what is out of the usual; None for silence.

    Returns:
        An `Explanation` of one text, or a list of them; with `generate` a `Generation`, or a list of them. They show
        themselves in notebooks and with rich, and have `frame()`, `html()` and `save(path)`.

    Raises:
        UserError: a name is not known, a text is empty, a class does not exist, or an explainer that was named fails.
        WrongTypeError: an argument is no such thing.
    """
    _check(by, draws, limit)
    check_continuations(good, bad, generate)
    files = [check_file(path, "file") for path in _listed(save)]
    examples = with_continuations(_examples(texts, pair, column, console)[:limit], good, bad)
    for path in files:
        check_file(path, "file", len(examples))
    named = None if explainers is None else components_of(explainers)
    found = named_classifier(model, tokenizer, dataset, device, dtype, console)
    _check_kind(found, good, generate)
    names = names_of(found.classifier)
    aim = _Aim(names, target_of(target, found.classifier, names), _against(against, found.classifier, names))
    chosen = components_of(usual(found.classifier)) if named is None else named
    asking = _Asker(found, chosen, aim, by or ("word" if generate is None else "token"), draws, named is not None)
    explained: Explanations | Generations
    if generate is None:
        explained = Explanations(asking(_asked(found.classifier, examples), console))
    else:
        aim.check_free()
        explained = Generations(_generated(asking, examples, generate, console))
    for path in files:
        explained.save(path)
    return explained[0] if isinstance(texts, str) else explained


def _check_kind(model: Named, good: str | None, generate: int | None) -> None:
    """Raises a UserError if a classifier is asked what only a language model can say."""
    given = "good and bad are" if good is not None else "generate is" if generate is not None else ""
    if given and language_model(model.classifier) is None:
        raise UserError(
            f"{given} for language models, and {brief(model.label)} is a classifier: name a class as target."
        )


def _asked(classifier: Classifier, examples: Sequence[Example]) -> list[Asked]:
    """The texts as a model reads them, with what it is asked of them."""
    model = language_model(classifier)
    if model is not None:
        return questions(model, examples)
    names = names_of(classifier)
    return [Asked(text, names) for text in texts_of(classifier, examples)]


def _generated(
    asking: "_Asker", examples: Sequence[Example], count: int, console: Console | None
) -> Iterator[Generation]:
    """What a language model says behind each text, token by token; the cost is said before."""
    model = language_model(asking.model.classifier)
    assert model is not None
    runs = [continuation(model, example, count, n) for n, example in enumerate(examples)]
    asked = [[of_step(model, step) for step in run] for run in runs]
    if console is not None:
        say(console, asking.cost([each for own in asked for each in own]))
    for example, run, own in zip(examples, runs, asked, strict=True):
        said = continuation_of(model.tokenizer, run)
        yield Generation(example.text, tuple(asking(own, None)), said, run[-1].ends)


def components_of(explainers: str | Sequence[str]) -> list[Component]:
    """The explainers that specs name, each once.

    Raises:
        UserError: one is not known, or there is none.
        WrongTypeError: it is no list of names.
    """
    names = [explainers] if isinstance(explainers, str) else as_names("explainers", explainers)
    found = {each.identity: each for each in (spec.build("explainer", name) for name in names)}
    if not found:
        raise UserError("explainers is empty; name one or more, or leave it out.")
    for component in found.values():
        ready("explainer", component)
    return list(found.values())


def usual(classifier: Classifier) -> tuple[str, ...]:
    """Cheap explainers that fit a model: one that looks into it, and one that asks it."""
    inside = getattr(classifier, "model", None)
    return BCOS if inside is not None and is_bcos(inside) else OTHERS


@dataclass(frozen=True)
class _Aim:
    """What is to be explained, as it was asked for.

    Args:
        names: of the outputs.
        target: None for the predicted class.
        against: None for nothing.
    """

    names: tuple[str, ...]
    target: Target | None
    against: int | None

    def of(self, prediction: Prediction) -> Target:
        """The target for a text."""
        own = Target(prediction.usual) if self.target is None else self.target
        if self.against is None:
            return own
        if self.against == own.output:
            said = " (which the model predicts)" if self.target is None and own.output == prediction.predicted else ""
            raise UserError(
                f"against={self.names[self.against]!r} is what is explained itself{said}; name another class."
            )
        return Target(own.output, self.against)

    def check_free(self) -> None:
        """Raises a UserError if something is to be explained that a generation does not leave open."""
        if self.target is not None or self.against is not None:
            raise UserError("generate explains each token against the runner-up; leave out target and against.")


@dataclass(frozen=True)
class _Asker:
    """Asks a model and explainers of texts, all side by side.

    Args:
        model: which.
        components: the explainers.
        aim: what is explained.
        by: units of lines.
        draws: other sets of words.
        required: whether an explainer that fails is an error; else it is left out.
    """

    model: Named
    components: Sequence[Component]
    aim: _Aim
    by: str
    draws: int
    required: bool

    def __call__(self, asked: Sequence[Asked], console: Console | None) -> Iterator[Explanation]:
        """An explanation for each text."""
        if len(asked) > 1:
            say(console, f"Explaining {counted(len(asked), 'text')} with {self._names}.")
        said = self._said(asked)
        targets = [self.aim.of(each) for each in said]
        asking = (attempt(n, self._asked(each.text, targets[n], said[n])) for n, each in enumerate(asked))
        outcomes = dict(Engine(self.model.classifier).run(asking))
        for number, each in enumerate(asked):
            found = outcomes[number]
            if found.value is None:
                raise UserError(f"texts[{number}] cannot be explained: {str(found.error).removeprefix('UserError: ')}.")
            yield self._explanation(each.text, said[number], targets[number], *found.value)

    def cost(self, asked: Sequence[Asked]) -> str:
        """What explaining texts takes, in a sentence: what a middle one takes, few rows of which are run, for each."""
        middle = asked[len(asked) // 2]
        said = self._said([middle])[0]
        asking = self._asked(middle.text, self.aim.of(said), said)
        rows, seconds = tried(self.model.classifier, asking, len(asked))
        taken = (
            "how long that takes is not known"
            if math.isnan(seconds)
            else (f"about {rows * len(asked):,.0f} rows of the model, {duration(seconds * len(asked))}")
        )
        return f"Explaining {counted(len(asked), 'token')} with {self._names}: {taken}."

    @property
    def _names(self) -> str:
        return ", ".join(each.label for each in self.components)

    def _said(self, asked: Sequence[Asked]) -> list[Prediction]:
        """What the model says of each text."""
        answers = Engine(self.model.classifier).run(attempt(n, logits_of(each.text)) for n, each in enumerate(asked))
        outcomes, said = dict(answers), []
        for number, each in enumerate(asked):
            outcome = outcomes[number]
            if outcome.value is None:
                raise UserError(f"the model cannot read texts[{number}]: {outcome.error}.")
            is_choice = each.text.candidates is not None
            more = (each.chances, each.about, each.contrast) if is_choice else ()
            said.append((Choice if is_choice else Prediction)(outcome.value, each.text.link, each.names, *more))
        return said

    def _asked(
        self, text: Text, target: Target, said: Prediction
    ) -> "Asking[tuple[list[Attribution | str], list[Trust]]]":
        """What each explainer says, or why it fails; and what masking says of those that do not."""
        found: list[Attribution | str] = yield from gather(
            [self._tried(each, text, target) for each in self.components]
        )
        good = [each for each in found if isinstance(each, Attribution)]
        tried = (yield from trust(text, good, said.weighed(target), self.draws)) if good and self.draws else []
        return found, tried

    def _tried(self, component: Component, text: Text, target: Target) -> "Asking[Attribution | str]":
        try:
            return (yield from explained_by(component, text, target, self.model.classifier.classes))
        except Exception as error:
            if self.required:
                raise UserError(f"explainer {component.label!r} failed ({describe(error, FAILURE)})") from error
            return f"{component.label}, which fails on this model ({describe(error, FAILURE)})"

    def _explanation(
        self, text: Text, said: Prediction, target: Target, found: Sequence[Attribution | str], tried: Sequence[Trust]
    ) -> Explanation:
        notes = [f"Left out: {each}." for each in found if isinstance(each, str)]
        if len(notes) == len(found):
            raise UserError(notes[0].removesuffix(".") + "; name explainers.")
        parts, trusted = list[Explained](), iter(tried)
        for component, each in zip(self.components, found, strict=True):
            if isinstance(each, Attribution):
                name = said.name(target)
                shown = ExplainedText(**vars(each), text=text, explainer=component.label, name=name)
                parts.append(Explained(shown, next(trusted, None), tuple(doubts(component, shown, said.logits))))
        chance = at_chance(self.model.report, len(said.names)) if text.candidates is None else ""
        notes += [chance] if chance else []
        unproven = text.candidates is None and is_unproven(self.model.report, said.link, len(said.names))
        return Explanation(
            text, self.model.label, said, target, tuple(parts), self.by, tuple(notes), self._made, unproven
        )

    @cached_property
    def _made(self) -> str:
        names = ", ".join(each.identity for each in self.components)
        model = f"{self.model.label}, weights {self.model.classifier.fingerprint()}"
        return f"Made by faithbench {version('faithbench')}; model {model}; explainers {names}."


def _examples(texts: object, pair: str | None, column: str | None, console: Console | None) -> list[Example]:
    if isinstance(texts, Path):
        return _of_file(texts, pair, column, console)
    if column is not None:
        raise UserError("column is that of a file; give the file as a Path.")
    if isinstance(texts, str):
        return examples_of([texts if pair is None else (texts, pair)])
    if pair is not None:
        raise UserError("pair is the second text of one text; give several as a list of tuples.")
    examples = examples_of(texts)
    if not examples:
        raise UserError("texts is empty; give one text or more.")
    return examples


def _of_file(path: Path, pair: str | None, column: str | None, console: Console | None) -> list[Example]:
    """The rows of a file, without labels; what had to be assumed or left out is said."""
    data = File(str(as_path("texts", path)), column or TEXT, label="", pair=pair or PAIR)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name one of its files.")
    examples = data.load("test")
    for note in data.notes("test"):
        say(console, f"{note}.")
    skipped = data.skipped("test")
    if skipped:
        say(console, f"{len(skipped):,} rows of {path} are left out; the first: {skipped[0].reason}.")
    return examples


def _check(by: object, draws: object, limit: object) -> None:
    if by is not None and by not in UNITS:
        raise UserError(f"by={by!r} is not allowed; use {' or '.join(UNITS)}.")
    for name, value, least in (("draws", draws, 0), ("limit", limit, 1)):
        if value is None and name == "limit":
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongTypeError(f"{name} is of type {type(value).__name__}; give a whole number.")
        if not least <= value <= MOST_DRAWS:
            raise UserError(f"{name}={value} is not allowed; use {least} to {MOST_DRAWS:,}.")


def _listed(paths: object) -> Sequence[object]:
    if isinstance(paths, (str, Path)) or not isinstance(paths, Sequence):
        raise WrongTypeError(f"save is of type {type(paths).__name__}; give a list of paths.")
    return paths


def _against(against: object, classifier: Classifier, names: Sequence[str]) -> int | None:
    found = target_of(against, classifier, names, "against")
    return None if found is None else found.output
