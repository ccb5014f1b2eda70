"""Lists of components: all on one screen, those of a kind a line each, and as tables for pipes and programs."""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from faithbench.console import words
from faithbench.plugins.listing import Listed
from faithbench.tables.parts import Column, Grid, Note, Part, Title, Words

KINDS = {
    "dataset": "labelled texts or questions; files, folders and hub ids will do too",
    "model": "trained at first use; folders and hub ids will do too",
    "explainer": "how much does each token matter for what a model says?",
    "metric": "can that be believed?",
    "describer": "what does a neuron of a model do?",
    "score": "does such a description predict activations?",
    "architecture": "exceptions; other encoders are looked at when they are loaded",
    "package": "cannot be read",
}
OF_ANOTHER = "of another metric"
FAMILIES = (("bcos-", "conv-"), ("crate-", "gpt-relu-"))  # how names of models begin that there are in both forms
FEW = 2  # names of a group that has no line of its own on the screen
ON_A_LINE = {"describer": "  of neurons: ", "score": "  of these: ", "architecture": "  exceptions: "}
HINT = "faithbench list explainer: a line each; faithbench list occlusion: one in full"
Names = list[tuple[str, list[str]]]  # a heading, and what is under it


def screen(console: Console, found: Sequence[Listed]) -> RenderableType:
    """All names, grouped; none is cut or folded. What faithbench brings fits on 28 lines of 80 characters.

    Of models that there are in both forms, such as B-cos and conventional, the rest of the name stands once.
    """
    shown: list[RenderableType] = []
    for kind, several in _by_kind(found):
        groups = _grouped(kind, several)
        if kind in ON_A_LINE and [about for about, _ in groups] == [""]:
            named = Text(", ").join(_kept(console, groups[0][1]))
            shown.append(Text.assemble(words(console, f"{kind}s", "bold"), (ON_A_LINE[kind], "dim"), named))
        else:
            shown += [_head(console, kind), _names(console, _with_few_together(_in_families(groups)))]
        shown += [_broken(console, each) for each in several if each.problem]
    return Group(*shown, words(console, HINT, "dim"))


def lines(console: Console, found: Sequence[Listed]) -> RenderableType:
    """A line for each: its name, and as much of what it is as there is room for."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, min_width=max((len(each.name) for each in found), default=0))
    table.add_column(overflow="ellipsis", ratio=1)
    for each in found:
        what = f"BROKEN: {each.problem}" if each.problem else each.summary
        shown = words(console, what, "red" if each.problem else "")
        shown.overflow, shown.no_wrap = "ellipsis", True
        table.add_row(words(console, each.name, "bold"), shown)
    kind = found[0].kind if found else "component"
    example = next((each.name for each in found if not each.problem), "NAME")
    return Group(_head(console, kind), table, words(console, f"faithbench list {example}   in full", "dim"))


def overview(found: Sequence[Listed]) -> Iterator[Part]:
    """All names, as a table for people."""
    rows = []
    for kind, several in _by_kind(found):
        for about, names in _grouped(kind, several):
            rows.append((Words(kind), Words(about or KINDS[kind]), Words(", ".join(names))))
    yield Grid((Column("kind"), Column("what it is"), Column("names")), tuple(rows), long=True)
    yield from (Note(f"BROKEN: {each.kind} {each.name}: {each.problem}") for each in found if each.problem)
    yield Note("list KIND says what each is, list NAME all of one.")


def grid(found: Sequence[Listed]) -> Iterator[Part]:
    """A row for each."""
    heads = ("kind", "name", "parameters", "what it is", "from")
    rows = (
        (each.kind, each.name, each.signature, f"BROKEN: {each.problem}" if each.problem else each.summary, each.origin)
        for each in found
    )
    cells = tuple(tuple(map(Words, row)) for row in rows)
    yield Title(f"{found[0].kind}s" if found else "nothing", f" ({len(found)})")
    yield Grid(tuple(map(Column, heads)), cells, keys=2, long=True)


def _head(console: Console, kind: str) -> Text:
    return Text.assemble(words(console, f"{kind}s", "bold"), words(console, f"  {KINDS.get(kind, '')}", "dim"))


def _by_kind(found: Sequence[Listed]) -> Iterator[tuple[str, list[Listed]]]:
    yield from ((kind, list(several)) for kind, several in groupby(found, lambda each: each.kind))


def _grouped(kind: str, found: Sequence[Listed]) -> Names:
    """Names of those that work: metrics by what they are about, and what other packages bring by the package."""
    groups: dict[str, list[str]] = {}
    for each in found:
        if not each.problem:
            package = "" if each.origin.startswith("faithbench ") else f"from {each.origin}"
            about = (each.about or OF_ANOTHER) if kind == "metric" else ""
            groups.setdefault(", ".join(filter(None, (about, package))), []).append(each.name)
    return sorted(groups.items(), key=lambda group: (group[0] == OF_ANOTHER, -len(group[1])))


def _with_few_together(groups: Names) -> Names:
    """The groups of our own that have few names as one, which says behind its names what they are about."""
    few = [(about, names) for about, names in groups if about and "from " not in about and len(names) <= FEW]
    if len(few) < 2:
        return groups
    rest = [group for group in groups if group not in few]
    return [*rest, ("others", [f"{name} ({about})" for about, names in few for name in names])]


def _in_families(groups: Names) -> Names:
    return [(about, reduce(_family, FAMILIES, names)) for about, names in groups]


def _family(names: list[str], forms: tuple[str, str]) -> list[str]:
    """The names of which there is one form alone; then, for the others, how they begin and what follows."""
    one, other = ({name.removeprefix(form) for name in names if name.startswith(form)} for form in forms)
    both = sorted(one & other)
    if not both:
        return names
    folded = {form + rest for form in forms for rest in both}
    return [*(name for name in names if name not in folded), f"{' or '.join(forms)} with {both[0]}", *both[1:]]


def _names(console: Console, groups: Names) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for about, names in groups:
        table.add_row(words(console, f"  {about}" if about else " "), Text(", ").join(_kept(console, names)))
    return table


def _kept(console: Console, names: Sequence[str]) -> list[Text]:
    return [words(console, name) for name in names]


def _broken(console: Console, each: Listed) -> RenderableType:
    return words(console, f"  BROKEN: {each.name} of {each.origin}: {each.problem}", "red")
