"""The table of decoders: known evidence found by explainers of language models, paradigm by paradigm, beside chance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.errors import unknown
from faithbench.paper.choose_backbone import is_of, split
from faithbench.paper.paradigms import (
    ADJUSTED,
    CHANCE,
    MACRO,
    MRR,
    RIGHT,
    RIGHT_ADJUSTED,
    RIGHT_CHANCE,
    Block,
    Paradigm,
    blocks_of,
    known_evidence,
)
from faithbench.paper.published import PAPER
from faithbench.records.results import label, labels
from faithbench.records.store import Store
from faithbench.shown import counted
from faithbench.tables.cautions import of_data, of_earlier_versions, perplexity_said
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Note, Number, Part, Signature, Title, Words
from faithbench.tables.signature import signature_of
from faithbench.tables.wording import MINUS, p_value, places_of
from faithbench.tables.writers import rendered

BELOW = "†"  # of paradigms on which the model is not shown to be above chance
HEADINGS = {
    MRR: "MRR of known evidence",
    ADJUSTED: "above chance: (MRR − C)/(1 − C)",
    RIGHT: "MRR, of the items that the model gets right",
    RIGHT_ADJUSTED: "above chance, of the items that the model gets right",
}
TESTS = {
    MRR: "how far the best of a row is above each other, by MRR; in parentheses p",
    RIGHT: "the same, of the items that the model gets right",
}
COLUMNS = {MRR: "mrr", ADJUSTED: "adjusted", RIGHT: "right_mrr", RIGHT_ADJUSTED: "right_adjusted"}
CHANCES = {MRR: CHANCE, ADJUSTED: CHANCE, RIGHT: RIGHT_CHANCE, RIGHT_ADJUSTED: RIGHT_CHANCE}
NOT_OBTAINABLE = (
    f"The numbers of decoder-only models in later versions of {PAPER} are not obtainable: what is published is empty."
)


@dataclass(frozen=True)
class DecoderTable:
    """What runs say of decoder-only models: for each model and family of data sets paradigm × explainer.

    `notes` are sentences that go below; of equal signatures the numbers can be compared.
    """

    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    signature: str = ""

    def frame(self, beside_paper: bool = False) -> pd.DataFrame:
        """A row for each model, paradigm and explainer, and for means over so many `paradigms`.

        `mrr` and `adjusted`, what is above `chance`, in percent with the ends of their intervals and of `n` items;
        `right_…` of the items that the model gets right; `rank_group` from 1, missing where explainers are not ranked;
        `below_best`, how far the best explainer of the paradigm is above this one over the items of both, with the
        Holm-corrected `p` of their paired test; `accuracy` of the model with its interval, and `probability_gap`, in
        percent; its `perplexity` of validation texts, and `perplexity_before` it was converted. `beside_paper` adds
        `mrr_paper`, which is empty.
        """
        rows = [row for block in self.blocks for each in (*block.paradigms, *block.macro) for row in _rows(block, each)]
        frame = pd.DataFrame(rows)
        for name in ("n", "right_n", "rank_group", "right_rank_group"):
            frame[name] = frame[name].astype("Int64")
        return frame.assign(mrr_paper=np.nan) if beside_paper else frame

    def render(self, format: str = "markdown", beside_paper: bool = False) -> str:
        """As `markdown`, `latex`, `html` or for a `terminal`, or `frame` as `csv`.

        Raises:
            UserError: another format.
        """
        return rendered(format, lambda: self.frame(beside_paper), lambda: self.document(beside_paper))

    def document(self, beside_paper: bool = False) -> list[Part]:
        """The table for people."""
        families = dict.fromkeys(block.family for block in self.blocks)
        beside = chain(*(_models([block for block in self.blocks if block.family == each]) for each in families))
        blocks = chain(beside, *(_parts(block, beside_paper) for block in self.blocks))
        told = [*_legend(self.blocks), *self.notes]
        marked = [Note(each.removeprefix(BELOW).strip(), BELOW * each.startswith(BELOW)) for each in told]
        return [*blocks, *marked, Signature(self.signature)]


def decoder_table(folders: Sequence[Path | str], backbone: str | None = None) -> DecoderTable:
    """The table of decoders, of all models in runs that were measured by `evidence_mrr`.

    Args:
        folders: of the runs.
        backbone: whose models alone are shown, such as `gpt2`; None for all.

    Raises:
        UserError: a folder is no run, the runs hold no such records, or no such backbone.
    """
    records = known_evidence(folders)
    if backbone is not None:
        known = sorted({each[1] for each in map(split, records["model"].unique()) if each is not None})
        if backbone not in known:
            raise unknown("backbone of these runs", backbone, known)
        records = records[[is_of(model, backbone) for model in records["model"]]]
    blocks = tuple(blocks_of(records, folders))
    notes = (NOT_OBTAINABLE, *_perplexities(blocks), *chain(*map(_not_ranked, blocks)), *_of_data(blocks, folders))
    notes = (*notes, *chain(*map(_skipped, blocks)), *of_earlier_versions(records))
    return DecoderTable(blocks, notes, signature_of(records, folders))


def _rows(block: Block, paradigm: Paradigm) -> Iterator[dict[str, object]]:
    for explainer in paradigm.panel.explainers:
        row: dict[str, object] = {
            "model": block.model,
            "data": block.family,
            "paradigm": paradigm.name,
            "paradigms": paradigm.members,
            "explainer": explainer,
        }
        for metric, name in COLUMNS.items():
            score = paradigm.scores.get((explainer, metric))
            row |= {name: math.nan if score is None else score.mean}
            row |= {f"{name}_{end}": math.nan if score is None else getattr(score, end) for end in ("low", "high")}
            if metric in (MRR, RIGHT):
                before = "right_" * (metric == RIGHT)
                row |= {
                    f"{before}n": 0 if score is None else score.n,
                    f"{before}chance": paradigm.level(CHANCES[metric]),
                }
                row[f"{before}rank_group"] = (score.group if score is not None else 0) or pd.NA
                below = paradigm.below.get((explainer, metric))
                row[f"{before}below_best"] = math.nan if below is None else below.difference
                row[f"{before}p"] = math.nan if below is None else below.p
        yield row | {
            "ranked": paradigm.is_ranked,
            "accuracy": paradigm.accuracy.value,
            "accuracy_low": paradigm.accuracy.low,
            "accuracy_high": paradigm.accuracy.high,
            "probability_gap": paradigm.accuracy.gap,
            "perplexity": block.perplexity,
            "perplexity_before": block.perplexity_before,
        }


def _parts(block: Block, beside_paper: bool) -> Iterator[Part]:
    """A grid of what is known of the data and the model, and one for each form of the metric."""
    yield Title(label("model", block.model), f" on {block.family}")
    yield Heading("the questions, and the model on them")
    yield _questions(block)
    names = labels("explainer", block.explainers)
    every = [*block.paradigms, *block.macro]
    for metric, heading in HEADINGS.items():
        if any(each.most(metric) for each in every):
            yield Heading(heading)
            yield _grid(every, metric, names, beside_paper and metric == MRR)
    tested = [each for each in every if each.below]
    for metric in (MRR, RIGHT):
        if any(name == metric for each in tested for _, name in each.below):
            yield Heading(TESTS[metric])
            yield _tests(tested, metric, names)


def _models(blocks: Sequence[Block]) -> Iterator[Part]:
    """The accuracies of several models side by side, with probability gaps, and their perplexities."""
    if len(blocks) < 2:
        return
    names = labels("model", [block.model for block in blocks])
    told = [{(each.dataset, each.name): each for each in block.paradigms} for block in blocks]
    order = {place: each.name for paradigms in told for place, each in paradigms.items()}
    rows = [(Words(name), *(_right(paradigms.get(place)) for paradigms in told)) for place, name in order.items()]
    if any(math.isfinite(block.perplexity) for block in blocks):
        rows.append((Words("perplexity of validation texts"), *(Number(block.perplexity, 2) for block in blocks)))
    yield Title("Models", f" on {blocks[0].family}")
    yield Heading("accuracy, chance being 50 %; in parentheses the probability gap")
    yield Grid((Column("paradigm"), *map(Column, names.values())), tuple(rows), minus=MINUS)


def _right(paradigm: Paradigm | None) -> Cell:
    if paradigm is None or not paradigm.accuracy.n:
        return EMPTY
    found = paradigm.accuracy
    gap = (Number(found.gap, 2, signed=True),) * math.isfinite(found.gap)
    return Number(found.value, 1, found.low, found.high, mark=BELOW * (not paradigm.is_ranked), remarks=gap)


def _questions(block: Block) -> Grid:
    every = [*block.paradigms, *block.macro]
    has_right = any(each.most(RIGHT) for each in every)
    heads = ["items", "accuracy", "probability gap", "scored", "chance C", *["right, scored"] * has_right]
    return Grid(
        (Column("paradigm"), *(Column(each) for each in heads)),
        tuple(
            (
                Words(_named(each), mark=BELOW * (not each.is_ranked and each.name != MACRO)),
                _count(each.accuracy.n),
                Number(each.accuracy.value, 1, each.accuracy.low, each.accuracy.high),
                Number(each.accuracy.gap, 2),
                _count(each.most(MRR)),
                Number(each.level(CHANCE), 1),
                *[_count(each.most(RIGHT))] * has_right,
            )
            for each in every
        ),
        minus=MINUS,
    )


def _count(n: int) -> Cell:
    return Number(n) if n else EMPTY


def _grid(paradigms: Sequence[Paradigm], metric: str, names: dict[str, str], paper: bool) -> Grid:
    """Paradigms down, explainers across; the best and those tied with it are bold where explainers are ranked."""
    scores = [score for each in paradigms for (_, name), score in each.scores.items() if name == metric]
    places = places_of(score.high - score.low for score in scores)
    columns = (Column("paradigm"), *(Column(name) for name in names.values()), *[Column("paper")] * paper)
    rows = tuple(
        (
            Words(_named(each), mark=BELOW * (not each.is_ranked and each.name != MACRO)),
            *(_cell(each, explainer, metric, places) for explainer in names),
            *[EMPTY] * paper,
        )
        for each in paradigms
    )
    return Grid(columns, rows, minus=MINUS)


def _cell(paradigm: Paradigm, explainer: str, metric: str, places: int) -> Cell:
    score, most = paradigm.scores.get((explainer, metric)), paradigm.most(metric)
    if score is None or not score.n:
        return EMPTY
    ranked = len({each.group for (_, name), each in paradigm.scores.items() if name == metric} - {0}) > 0
    remarks = (f"of {counted(score.n, 'item')}",) * (score.n < most)
    bold = ranked and score.group == 1
    return Number(score.mean, places, score.low, score.high, bold=bold, remarks=remarks)


def _tests(paradigms: Sequence[Paradigm], metric: str, names: dict[str, str]) -> Grid:
    """Paradigms down, explainers across: how far the best of a row is above each other one, and the p of that."""
    gaps = [found.difference for each in paradigms for (_, name), found in each.below.items() if name == metric]
    places = places_of(map(abs, gaps))
    rows = tuple((Words(_named(each)), *(_gap(each, name, metric, places) for name in names)) for each in paradigms)
    return Grid((Column("paradigm"), *(Column(name) for name in names.values())), rows, minus=MINUS)


def _gap(paradigm: Paradigm, explainer: str, metric: str, places: int) -> Cell:
    found = paradigm.below.get((explainer, metric))
    if found is not None:
        return Number(found.difference, places, signed=True, remarks=(p_value(found.p),) * math.isfinite(found.p))
    is_best = any(name == metric and each.best == explainer for (_, name), each in paradigm.below.items())
    return Words("best") if is_best else EMPTY


def _named(paradigm: Paradigm) -> str:
    if paradigm.name != MACRO:
        return paradigm.name
    return f"{MACRO} of {paradigm.members}" + ("" if paradigm.is_ranked else ", ranked or not")


def _legend(blocks: Sequence[Block]) -> Iterator[str]:
    yield (
        "MRR: 100 / rank of the best evidence token, ties in expectation; C: the same of orders at random. 95 % "
        "bootstrap intervals over items; of accuracies exact ones. Scored: the items in which some tokens, but not "
        "all, are evidence."
    )
    yield (
        "Bold: the best of a row, and those that are tied with it: paired tests over items, Holm-corrected over all "
        "pairs of explainers, 5 %, do not show that they differ. p is of these tests."
    )
    yield (
        "Above chance is not above a bias: where evidence stands in the same place or is one of few words, scores by "
        "place or word alone reach up to 100 (docs/decoders.md: what is found without a model)."
    )
    if any(block.macro for block in blocks):
        yield (
            "Macro means: each paradigm counts alike, and items are drawn within each; what is above chance is made of "
            "the macro means of MRR and C. Of models with other paradigms they cannot be compared."
        )
    yield "Probability gap: p(good) − p(bad) among all tokens of the vocabulary, mean over items, in percent."


def _perplexities(blocks: Sequence[Block]) -> Iterator[str]:
    """Of each model as it was trained, beside the one that it was converted from."""
    for block in {each.model: each for each in blocks}.values():
        if math.isfinite(block.perplexity):
            yield f"{label('model', block.model)}: {perplexity_said(block.perplexity, block.perplexity_before)}."


def _of_data(blocks: Sequence[Block], folders: Sequence[Path | str]) -> Iterator[str]:
    """What the data sets of a table left out, and what they noted."""
    shown = {each.dataset for block in blocks for each in block.paradigms}
    manifests = [Store(Path(folder)).manifest().get("datasets", {}) for folder in folders]
    every = [{name: entry for name, entry in each.items() if name in shown} for each in manifests]
    yield from dict.fromkeys(chain(*map(of_data, every)))


def _not_ranked(block: Block) -> Iterator[str]:
    """Which paradigms are not ranked, and why."""
    weak = [each for each in block.paradigms if not each.is_ranked and each.accuracy.n]
    if weak:
        told = ", ".join(
            f"{each.name} ({each.accuracy.value:.1f} %, {each.accuracy.low:.1f} to {each.accuracy.high:.1f})"
            for each in weak
        )
        yield (
            f"{BELOW} {label('model', block.model)} is not shown to be above chance "
            f"({weak[0].accuracy.chance:.0f} %) on {told}: explainers are not ranked there."
        )
    unsaid = [each.name for each in block.paradigms if not each.accuracy.n]
    if unsaid:
        yield (
            f"{BELOW} How often {label('model', block.model)} is right on {', '.join(unsaid)} is not known: explainers "
            "are not ranked there."
        )


def _skipped(block: Block) -> Iterator[str]:
    told = {label("dataset", each.dataset): each.skipped for each in block.paradigms if each.skipped}
    yield from (f"{label('model', block.model)} on {name}: {skipped}" for name, skipped in told.items())
