"""BLiMP: pairs of sentences of which one is acceptable (Warstadt et al. 2020, TACL 8:377), as next-token questions.

BLiMP is licensed CC-BY 4.0 by its authors. It was changed: some of its paradigms, as prefixes with two continuations,
and what decides between them, marked by rules of our own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from faithbench.datasets.asking import CLASS_NAMES, check_split, texts_of
from faithbench.datasets.sources import DATA_VARIABLE, read_parquet
from faithbench.errors import UserError
from faithbench.parameters import check_choice
from faithbench.types import Example

PARADIGMS = (  # those of arXiv 2502.12992
    "anaphor_gender_agreement",
    "anaphor_number_agreement",
    "animate_subject_passive",
    "determiner_noun_agreement_1",
    "determiner_noun_agreement_irregular_1",
    "determiner_noun_agreement_with_adjective_1",
    "determiner_noun_agreement_with_adj_irregular_1",
    "npi_present_1",
    "distractor_agreement_relational_noun",
)
MORE = ("irregular_plural_subject_verb_agreement_1", "regular_plural_subject_verb_agreement_1")
COLUMNS = ("id", "paradigm", "prefix", "good", "bad", "start", "end", "phrase_start", "phrase_end")
ALL = "all"  # in place of a paradigm
MARKED = ("word", "phrase")

Fields = Mapping[str, Any]  # a row of the file


@dataclass(frozen=True)
class BLiMP:
    """Which word follows, of two: 1,000 questions a paradigm, without those that repeat another.

    They are read from `$FAITHBENCH_DATA/blimp/test.parquet`. Ids begin with the paradigm. In the two paradigms of
    subjects and verbs, in which the prefix is little more than the subject, all of it is often evidence, and then
    there is nothing to rank.

    Args:
        paradigm: one of eleven; empty for the nine of arXiv 2502.12992 together, `all` for all eleven.
        evidence: `word`, what decides, or `phrase`, the subject with its determiner too.
        texts: a data set, which named language models are trained on.
    """

    paradigm: str = PARADIGMS[0]
    evidence: str = "word"
    texts: str = "standard_ebooks"
    class_names: ClassVar[tuple[str, ...]] = CLASS_NAMES

    def __post_init__(self) -> None:
        if self.paradigm:
            check_choice("paradigm", self.paradigm, (*PARADIGMS, *MORE, ALL))
        check_choice("evidence", self.evidence, MARKED)
        object.__setattr__(self, "texts", texts_of(self.texts))

    @property
    def base(self) -> str:
        """What models are trained on."""
        return self.texts

    def load(self, split: str) -> list[Example]:
        """The questions, in the order of the source.

        Raises:
            UserError: it is not the test split, or the file is not there or not as it must be.
        """
        check_split("blimp", split, self.texts)
        return [self._example(row) for row in self._rows.values()]

    def notes(self, split: str) -> tuple[str, ...]:
        """How many rows repeat another, and in how many all of the prefix is evidence."""
        check_split("blimp", split, self.texts)
        repeated, examples = len(self._chosen) - len(self._rows), self.load(split)
        whole = sum(example.evidence == ((0, len(example.text)),) for example in examples)
        return (
            *([f"blimp: {repeated} of {len(self._chosen):,} rows repeat another and are left out"] if repeated else []),
            *([f"blimp: {whole} of {len(examples):,} prefixes are all evidence: nothing to rank"] if whole else []),
        )

    @cached_property
    def _chosen(self) -> list[Fields]:
        folder = os.environ.get(DATA_VARIABLE)
        if not folder:
            raise UserError(
                f"data set 'blimp' is on no hub as it is needed here; set {DATA_VARIABLE} to a folder that holds "
                "blimp/test.parquet with the columns that docs/data.md names."
            )
        path = Path(folder) / "blimp" / "test.parquet"
        if not path.is_file():
            raise UserError(f"data set 'blimp': {path} does not exist (looked there because {DATA_VARIABLE} is set).")
        rows = read_parquet(path)
        if lacking := [name for name in COLUMNS if rows and name not in rows[0]]:
            raise UserError(f"{path} has no column {', '.join(lacking)}; docs/data.md says which it must have.")
        return [row for row in rows if row["paradigm"] in self._wanted]

    @property
    def _wanted(self) -> tuple[str, ...]:
        several = {"": PARADIGMS, ALL: (*PARADIGMS, *MORE)}
        return several.get(self.paradigm, (self.paradigm,))

    @cached_property
    def _rows(self) -> Mapping[tuple[str, ...], Fields]:
        """The first of each question."""
        found: dict[tuple[str, ...], Fields] = {}
        for row in self._chosen:
            found.setdefault(tuple(row[name] for name in ("paradigm", "prefix", "good", "bad")), row)
        return found

    def _example(self, row: Fields) -> Example:
        begin = "phrase_" if self.evidence == "phrase" else ""
        span = (row[f"{begin}start"], row[f"{begin}end"])
        return Example(row["id"], row["prefix"], 0, evidence=(span,), good=row["good"], bad=row["bad"])
