"""Next-token questions for people: what a language model is asked of a text, and how that is said."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from faithbench.errors import UserError, WrongTypeError, short
from faithbench.interfaces import Classifier
from faithbench.models.continuing import Step, named_candidates, next_step, steps, whole_words
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.running.attribute import texts_of
from faithbench.running.prediction import BARELY, Prediction, named_choice, number
from faithbench.types import Example, Target, Text

MOST_STEPS = 1_000  # tokens that are generated
NO_PAIR = "a language model goes on with one text; pair is for models that read two."


@dataclass(frozen=True, eq=False)
class Asked:
    """A text with the names of the outputs that a model is asked for; of a language model these are two tokens.

    Args:
        text: as the model reads it.
        names: of its outputs.
        chances: of two tokens, their probabilities among all.
        about: sentences on the question.
        contrast: whether scores are of how far the first token exceeds the second; False: of its logit alone.
    """

    text: Text
    names: tuple[str, ...]
    chances: tuple[float, ...] = ()
    about: tuple[str, ...] = ()
    contrast: bool = True


@dataclass(frozen=True, eq=False)
class Choice(Prediction):
    """What a language model says of two tokens that might follow a text.

    Args:
        chances: their probabilities among all tokens; empty where these are not known.
        remarks: sentences on the question.
        contrast: whether scores are of how far the first exceeds the second.
    """

    chances: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()
    contrast: bool = True

    @property
    def usual(self) -> int:
        """The good token, whatever the model prefers."""
        return 0

    @property
    def title(self) -> str:
        """`P(sleep rather than sleeps) = 0.87`."""
        said = number(float(self.probabilities[0]), True)
        return f"P({self.names[0]} rather than {self.names[1]}) {said if said[0] in '<>' else f'= {said}'}"

    def name(self, target: Target) -> str:
        """`sleep rather than sleeps`."""
        return named_choice(target.output, self.names, self.contrast)

    def weighed(self, target: Target) -> str:
        """`P(sleep rather than sleeps)`, whether or not scores are of the contrast."""
        return f"P({named_choice(target.output, self.names)})"

    def about(self, target: Target) -> Iterator[str]:
        """Sentences: how likely the two are among all tokens, and what is to be known of the question."""
        if self.chances:
            told = (f"{name} {number(chance, True)}" for name, chance in zip(self.names, self.chances, strict=True))
            yield f"Among all tokens: {', '.join(told)}."
        yield from self.remarks
        if target.output == 1:
            yield f"Explained: {self.name(target)}."
        if not self.contrast:
            yield f"Scores are of the logit of {self.names[target.output]} alone; the other token is not subtracted."
        share, own = float(self.probabilities[target.output]), self.names[target.output]
        if abs(share - 0.5) < BARELY / 2:
            yield f"The model is undecided between {self.names[0]} and {self.names[1]}: this explains little."
        elif share < 0.5:
            yield f"The model prefers {self.names[1 - target.output]}; what is explained speaks for {own} all the same."


def language_model(classifier: Classifier) -> HuggingFaceLanguageModel | None:
    """The classifier, if it is a language model that answers next-token questions."""
    return classifier if isinstance(classifier, HuggingFaceLanguageModel) else None


def check_continuations(good: object, bad: object, generate: object) -> None:
    """What is asked of a language model.

    Raises:
        UserError: it makes no sense.
        WrongTypeError: an argument is no such thing.
    """
    for name, value in (("good", good), ("bad", bad)):
        if value is not None and not isinstance(value, str):
            raise WrongTypeError(f"{name} is of type {type(value).__name__}; give a word that might follow the text.")
    if (good is None) != (bad is None):
        raise UserError("good and bad go together: a model chooses between two continuations; give both, or neither.")
    if generate is None:
        return
    if isinstance(generate, bool) or not isinstance(generate, int):
        raise WrongTypeError(f"generate is of type {type(generate).__name__}; give a number of tokens.")
    if not 1 <= generate <= MOST_STEPS:
        raise UserError(f"generate={generate} is not allowed; use 1 to {MOST_STEPS:,} tokens.")
    if good is not None:
        raise UserError("generate explains the tokens that the model itself says; leave out good and bad.")


def with_continuations(examples: Sequence[Example], good: str | None, bad: str | None) -> list[Example]:
    """The examples, as questions if two continuations are given."""
    if good is None:
        return list(examples)
    return [replace(example, good=good, bad=bad, label=0) for example in examples]


def questions(model: HuggingFaceLanguageModel, examples: Sequence[Example]) -> list[Asked]:
    """The questions of examples; of those without continuations whether the model's own next token or the runner-up.

    Raises:
        UserError: one cannot be asked.
    """
    given = {n: example for n, example in enumerate(examples) if example.good is not None or example.bad is not None}
    if any(example.pair is not None for example in examples):
        raise UserError(NO_PAIR)
    texts = dict(zip(given, texts_of(model, list(given.values())), strict=True))
    chances = dict(zip(given, model.chances(list(texts.values())).tolist() if texts else [], strict=True))
    return [
        _given(model, example, texts[n], chances[n]) if n in given else of_step(model, _own(model, example, n))
        for n, example in enumerate(examples)
    ]


def of_step(model: HuggingFaceLanguageModel, step: Step) -> Asked:
    """The question of a token that the model itself puts behind a text."""
    told = f"{step.names[0]} is what the model itself says next, {step.names[1]} the runner-up."
    return Asked(step.text, step.names, step.chances, (told,), model.contrast)


def continuation(model: HuggingFaceLanguageModel, example: Example, count: int, place: int) -> list[Step]:
    """So many tokens with which the model goes on with an example, or fewer where it ends the text.

    Raises:
        UserError: it cannot be read, or there is no room.
    """
    with _explaining(example, place):
        return list(steps(model, example, count))


@contextmanager
def _explaining(example: Example, place: int) -> Iterator[None]:
    """Names the text in what goes wrong."""
    if example.pair is not None:
        raise UserError(NO_PAIR)
    try:
        yield
    except UserError as error:
        words = str(error).removeprefix(f"text {example.id!r} ")
        raise UserError(f"texts[{place}] cannot be explained: it {words}") from error


def _own(model: HuggingFaceLanguageModel, example: Example, place: int) -> Step:
    with _explaining(example, place):
        return next_step(model, example)


def _given(model: HuggingFaceLanguageModel, example: Example, text: Text, chances: Sequence[float]) -> Asked:
    words = (example.good, example.bad)
    pieces = named_candidates(model.tokenizer, text)
    names = tuple(word.strip() if word and word.strip() else piece for word, piece in zip(words, pieces, strict=True))
    told = () if whole_words(model.tokenizer, text, words) else (_differing(text, pieces),)
    known = tuple(chances) if all(map(math.isfinite, chances)) else ()
    return Asked(text, names, known, told, model.contrast)


def _differing(text: Text, pieces: tuple[str, str]) -> str:
    """Which tokens stand for two continuations."""
    last = int(text.content[-1]) if len(text.content) else -1
    shared = len(text) - 1 - last
    behind = f", behind {shared:,} that both begin with" if shared > 0 else ""
    return f"Compared are the first tokens in which the two differ{behind}: {short(pieces[0])} and {short(pieces[1])}."
