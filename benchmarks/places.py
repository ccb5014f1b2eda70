"""What known evidence is worth as a test: how high rules rank it that look at no model, but at places and words alone.

    python benchmarks/places.py [--tiny]

Each row is one kind of next-token questions, counted in words, by the mean reciprocal rank (`evidence_mrr`) in percent:
chance, the first word first, the last first, the best fixed order of places (counted from the front or the back), words
by how often they are evidence where they occur, and words by how many questions they are in. The last three are found
on each half of the questions and measured on the other.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from faithbench_metrics.ranking import chance_reciprocal_rank, expected_reciprocal_rank
from jaxtyping import Bool, Float

from faithbench.datasets.blimp import PARADIGMS
from faithbench.datasets.planted_grammar import NAMES
from faithbench.plugins.naming import build_dataset
from faithbench.types import Example

DATASETS = (
    *(f"planted-grammar(template={name}, test=1000)" for name in NAMES),
    "planted-grammar(test=1000)",
    "ioi",
    *(f"blimp(paradigm={name})" for name in PARADIGMS),
)
TINY = ("planted-grammar(template=determiner, test=20)",)
COLUMNS = ("n", "chance C", "first word", "last word", "best order of places", "word", "common words")


@dataclass(frozen=True)
class Question:
    """The words of a prefix, and which are evidence."""

    words: tuple[str, ...]
    marks: Bool[np.ndarray, "words"]

    @classmethod
    def of(cls, example: Example) -> "Question":
        """A data set's."""
        found = list(re.finditer(r"\S+", example.text))
        spans = example.evidence or ()
        marks = [any(start < word.end() and word.start() < end for start, end in spans) for word in found]
        return cls(tuple(word.group().lower() for word in found), np.array(marks))

    def rank(self, scores: Sequence[float]) -> float:
        """The reciprocal rank of the evidence, in percent."""
        return 100 * expected_reciprocal_rank(np.array(scores, dtype=np.float64), self.marks)


Rule = Callable[[Question], Sequence[float]]


def first(question: Question) -> Sequence[float]:
    """Words in their order."""
    return [-float(i) for i in range(len(question.words))]


def last(question: Question) -> Sequence[float]:
    """Words in reverse."""
    return [float(i) for i in range(len(question.words))]


def by_place(some: Sequence[Question]) -> Rule:
    """Places by how often they are evidence, from the front or the back, whichever finds more."""

    def counted(step: int) -> Rule:
        often = Counter(int(i) for each in some for i in np.flatnonzero(each.marks[::step]))
        return lambda question: [often[i] for i in range(len(question.words))][::step]

    return max((counted(1), counted(-1)), key=lambda rule: mean(some, rule))


def by_word(some: Sequence[Question]) -> Rule:
    """Words by how often they are evidence where they occur."""
    there = Counter(word for each in some for word in each.words)
    marked = Counter(word for each in some for word, mark in zip(each.words, each.marks, strict=True) if mark)
    return lambda question: [marked[word] / max(there[word], 1) for word in question.words]


def common(some: Sequence[Question]) -> Rule:
    """Words by how many questions they are in."""
    there = Counter(word for each in some for word in set(each.words))
    return lambda question: [there[word] for word in question.words]


def mean(questions: Sequence[Question], rule: Rule) -> float:
    """The mean reciprocal rank by a rule."""
    return float(np.mean([each.rank(rule(each)) for each in questions]))


def learnt(questions: Sequence[Question], learn: Callable[[Sequence[Question]], Rule]) -> float:
    """By a rule that is found on each half of the questions and measured on the other."""
    halves = questions[::2], questions[1::2]
    parts: list[Float[np.ndarray, "_"]] = []
    for seen, asked in (halves, halves[::-1]):
        rule = learn(seen)
        parts.append(np.array([each.rank(rule(each)) for each in asked]))
    return float(np.concatenate(parts).mean())


def measured(dataset: str) -> Iterator[float]:
    """The numbers of a row."""
    every = [Question.of(example) for example in build_dataset(dataset).object.load("test")]
    scored = [each for each in every if each.marks.any() and not each.marks.all()]
    order = np.random.default_rng(0).permutation(len(scored))  # neighbours may be counterparts
    questions = [scored[i] for i in order]
    yield len(questions)
    yield 100 * float(np.mean([chance_reciprocal_rank(len(q.words), int(q.marks.sum())) for q in questions]))
    yield from (mean(questions, rule) for rule in (first, last))
    yield from (learnt(questions, learn) for learn in (by_place, by_word, common))


def main() -> None:
    """Prints a table for docs/data.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a few questions of one kind")
    datasets = TINY if parser.parse_args().tiny else DATASETS
    print(f"| questions | {' | '.join(COLUMNS)} |\n| --- |{' --: |' * len(COLUMNS)}")
    for dataset in datasets:
        n, *numbers = measured(dataset)
        print(f"| `{dataset}` | {n:.0f} | {' | '.join(f'{number:.0f}' for number in numbers)} |", flush=True)


if __name__ == "__main__":
    main()
