"""Which column is the text, which its pair, which the label: as the user says, or by the field's usual names."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from faithbench.errors import BRIEF, UserError, brief, enumerated, short

TEXTS = (
    *("text", "sentence", "content", "review", "tweet", "comment", "document", "headline", "utterance", "message"),
    *("post", "body"),
)
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
    ("question", "sentence"),
    ("question", "passage"),
    ("query", "passage"),
)
LABELS = (
    *("label", "labels", "target", "class", "gold_label", "category", "sentiment", "emotion", "intent", "topic"),
    *("stars", "rating", "score", "is_duplicate"),
)
QUESTION = ("prefix", "good", "bad")  # of next-token questions
KNOWN = frozenset((*TEXTS, *LABELS, *QUESTION, *(name for pair in PAIRS for name in pair)))
TEXT, PAIR, LABEL = "text", "", "label"  # what a data set's parameters are where nothing is said


@dataclass(frozen=True)
class Columns:
    """Names of columns. What a user says, or, once they have been looked for, what there is (then "" is none).

    Of next-token questions `text` is the prefix, and `good` and `bad` are its continuations.
    """

    text: str = TEXT
    pair: str = PAIR
    label: str = LABEL
    good: str = ""
    bad: str = ""

    @property
    def known(self) -> frozenset[str]:
        """Names, in lower case, by which a header is known."""
        return KNOWN | {name.lower() for name in (self.text, self.pair, self.label) if name}


def find_columns(source: str, present: Sequence[str], wanted: Columns) -> Columns:
    """The columns to read.

    What is left to its default is looked for under the usual names, whatever their case, where the column of the
    default's own name is not there. A label need not be there. Prefixes with a good and a bad continuation are
    next-token questions, which have no label and no second text.

    Args:
        source: what to call the table in messages.
        present: all columns.
        wanted: what the user says.

    Raises:
        UserError: a column is not there, occurs twice, or several might be meant.
    """
    found = _find_question(present, wanted)
    if found is None:
        text, pair = _find_texts(source, present, wanted)
        found = Columns(text, pair, _find_label(source, present, wanted.label, (text, pair)))
    for name in filter(None, (found.text, found.pair, found.label, found.good, found.bad)):
        if list(present).count(name) > 1:
            raise UserError(f"{source} has more than one column {short(name)}; rename one of them.")
    return found


def _find_question(present: Sequence[str], wanted: Columns) -> Columns | None:
    """The columns of next-token questions; None where there are none, or something else is wanted."""
    own = {name.lower(): name for name in present}
    prefix = own.get("prefix", "") if wanted.text == TEXT else wanted.text
    if "good" not in own or "bad" not in own or prefix not in present or wanted.pair or wanted.label not in ("", LABEL):
        return None
    if wanted.text == TEXT and TEXT in present:
        return None
    if prefix.lower() != "prefix" and any(name in own for name in LABELS):
        return None
    return Columns(prefix, "", "", own["good"], own["bad"])


def _find_texts(source: str, present: Sequence[str], wanted: Columns) -> tuple[str, str]:
    if wanted.text != TEXT:
        pair = wanted.pair and _there(source, present, wanted.pair, "pair")
        return _there(source, present, wanted.text, "text"), pair
    own = {name.lower(): name for name in present}
    pairs = [(own[a], own[b]) for a, b in PAIRS if a in own and b in own]
    if wanted.pair:
        second = _there(source, present, wanted.pair, "pair")
        first = [a for a, b in pairs if b == second]
        return (first[0] if len(first) == 1 else _find_text(source, present, (second,))), second
    if TEXT in present or not pairs:
        both = next((both for both in pairs if TEXT in both), None)
        return both or (_find_text(source, present, ()), "")
    return pairs[0] if len(pairs) == 1 else _ambiguous(source, present, "text", [f"{a} and {b}" for a, b in pairs])


def _find_text(source: str, present: Sequence[str], taken: Sequence[str]) -> str:
    if TEXT in present:
        return TEXT
    found = [name for name in present if name.lower() in TEXTS and name not in taken]
    if len(found) > 1:
        _ambiguous(source, present, "text", found)
    _check_no_part(source, present)
    return found[0] if found else _there(source, present, TEXT, "text")


def _check_no_part(source: str, present: Sequence[str]) -> None:
    """Whether a table has two of the three columns of questions, and no texts."""
    own = {name.lower() for name in present}
    missing = [name for name in QUESTION if name not in own]
    if len(missing) == 1 and not own.intersection(TEXTS):
        others = " and ".join(name for name in QUESTION if name in own)
        raise UserError(f"{source} has no column {missing[0]!r}, without which {others} are no next-token questions.")


def _find_label(source: str, present: Sequence[str], wanted: str, taken: Sequence[str]) -> str:
    if wanted == LABEL and LABEL not in present:
        found = [name for name in present if name.lower() in LABELS and name not in taken]
        if len(found) > 1:
            _ambiguous(source, present, "label", found)
        return found[0] if found else ""
    return wanted and _there(source, present, wanted, "label")


def _there(source: str, present: Sequence[str], name: str, parameter: str) -> str:
    if name in present:
        return name
    known = {column.lower(): column for column in present if column}
    near = get_close_matches(name.lower()[:BRIEF], known, n=1, cutoff=0.5)
    columns = enumerated(known.values())
    meant = f"did you mean {brief(known[near[0]])}? (its columns: {columns})" if near else f"its columns are {columns}."
    raise UserError(
        f"{source} has no column {brief(repr(name))}; name it with {parameter}=… (on the command line --{parameter}): "
        f"{meant}"
    )


def _ambiguous(source: str, present: Sequence[str], parameter: str, found: Sequence[str]) -> NoReturn:
    raise UserError(
        f"{source} has no column {parameter!r}, and {' or '.join(found)} might be meant; say which with {parameter}=… "
        f"(on the command line --{parameter}); its columns: {enumerated(filter(None, present))}."
    )
