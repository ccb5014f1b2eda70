"""`name(key=value)` ⇄ component. The text with every parameter written out is the identity of a result."""

import ast
import inspect
import keyword
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Union, get_args, get_origin

from faithbench.errors import UserError, brief, short, unknown, words_of
from faithbench.interfaces import Traits
from faithbench.plugins import finding
from faithbench.plugins.faults import blaming
from faithbench.plugins.traits import read_trait, read_traits

LONGEST = 10_000  # characters of a spec
DEEPEST = 10  # specs inside each other; quotes inside of quotes double the length of a text
BRACKETS = 20  # inside each other, in one text
BITS = 256  # of a whole number
PLAIN = (bool, int, float, str)
SHAPE = re.compile(r"\s*([A-Za-z0-9_.\-]+)(?:\s*\((.*)\))?\s*", re.DOTALL)
SPECIAL = re.compile(r"""['"=,{}#\0\n]""")
FILE = re.compile(r"\.(?:csv|tsv|txt|jsonl?|ndjson|parquet)(?:\.(?:gz|bz2|xz))?\Z")
BARE = re.compile(r"(?:latin|utf|iso|windows|koi8|euc)(?:-\w+)+|[A-Za-z]\w*\[[-\d:%]*\]|[;|]")
SIZED = re.compile(r"([A-Za-z_]\w*\s*-\s*)(\d+[A-Za-z_]\w*)")  # a name that goes on with a number, such as crate-2l
MARK = "sized__"  # before such a number, so that Python reads it as a word
PIECE = re.compile(r"""(?:[^,'"(\[]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\([^()]*\)|\[[^\[\]]*\])+""", re.DOTALL)
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*('|\\?\Z)|"(?:[^"\\]|\\.)*("|\\?\Z)""", re.DOTALL)  # perhaps to the end
QUOTES = ("'", '"')
BRACKET = re.compile(r"[()\[\]{}]")
KEY = re.compile(r"\s*[A-Za-z_]\w*\s*=")
PROBLEMS = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
OF = "of"  # a first parameter that is a spec of the same kind
REFERENCE = re.compile(r"\s*([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)\s*")  # package.module:function


@dataclass(frozen=True)
class Component:
    """A loaded component with its identity (all parameters), its label (defaults left out) and its traits.

    `spec` is what `build` makes the same of: the identity, with what that leaves out to be that of older results.
    """

    identity: str
    label: str
    object: Any
    traits: Traits = field(default_factory=Traits)
    spec: str = ""

    @property
    def version(self) -> int:
        """The component's own version: raised when its numbers change."""
        return self.traits.version

    @property
    def content(self) -> str:
        """A hash of what the spec of a data set does not pin; empty if it pins everything. May read files.

        Raises:
            UserError: they cannot be read, or whatever else goes wrong.
        """
        with blaming(f"{brief(self.identity)} cannot say what it holds"):
            return str(getattr(self.object, "content", ""))


def build(kind: str, text: str, overrides: Mapping[str, object] | None = None) -> Component:
    """The component that a spec text names; `overrides` set the parameters of those names where it has them.

    Raises:
        UserError: the text is malformed, the name unknown, or a parameter unknown, missing or refused; or the plugin
            fails, in whatever way.
    """
    with _deeper(text):
        name, args, kwargs = parse(text)
        plugin = finding.get(kind, name)
        factory, signature = plugin.load(), plugin.signature()
        for key in kwargs:
            if key not in signature.parameters:
                raise unknown(f"parameter of {kind} {name!r}", key, signature.parameters)
        chosen = {k: v for k, v in (overrides or {}).items() if k in signature.parameters and k not in kwargs}
        given = _given(text, signature, args, {**chosen, **kwargs})
        component = _make(text, plugin, factory, given)
        with blaming(f"{plugin.whose} cannot be described"):
            return _described(plugin, factory, signature, component, given)


_depth: ContextVar[int] = ContextVar("_depth", default=0)


@contextmanager
def _deeper(text: str) -> Iterator[None]:
    """One spec more inside the others.

    Raises:
        UserError: they are too many.
    """
    before = _depth.set(_depth.get() + 1)
    try:
        if _depth.get() > DEEPEST:
            raise UserError(
                f"{short(text)} is nested too deep; a spec may hold specs inside each other {DEEPEST} deep."
            )
        yield
    finally:
        _depth.reset(before)


def _given(
    text: str, signature: inspect.Signature, args: list[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """The parameters by name, each of the type that it must have."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise UserError(
            f"{short(text)}: {brief(words_of(error))}; parameters: {brief(', '.join(signature.parameters), 200)}."
        ) from error
    return {key: _typed(text, value, signature.parameters[key]) for key, value in bound.arguments.items()}


def _described(
    plugin: finding.Plugin,
    factory: Callable[..., object],
    signature: inspect.Signature,
    component: object,
    given: Mapping[str, object],
) -> Component:
    """A component with its names and traits."""
    defaults, who = _defaults(signature), f"{plugin.kind} {plugin.name!r}"
    stated = {k: _stated(component, k, given.get(k, defaults.get(k))) for k in signature.parameters}
    usual = {name: defaults[name] for name in _added(factory, who, defaults)}
    former = _formerly(factory, who, defaults)
    identity, text = (
        write(plugin.name, {k: v for k, v in stated.items() if k not in unsaid or v != unsaid[k]})
        for unsaid in (usual | former, usual)
    )
    if len(identity) > LONGEST:
        raise UserError(f"{brief(identity)} is too long with all parameters written out: {len(identity):,} characters.")
    return Component(
        identity=identity,
        label=_label(plugin.kind, plugin.name, stated, signature),
        object=component,
        traits=read_traits(plugin.kind, component, who),
        spec=text,
    )


def label(kind: str, identity: str) -> str:
    """An identity without the parameters that have their default; as it is where it cannot be told which have.

    No component is made, and no file is looked at: identities may be anybody's.
    """
    try:
        return _short(kind, identity)
    except UserError:
        return identity


def _short(kind: str, text: str) -> str:
    name, args, kwargs = parse(text)
    plugin = finding.get(kind, name)
    signature = plugin.signature()
    with blaming(f"{plugin.whose} cannot be described"):
        said = _formerly(plugin.load(), f"{kind} {name!r}", _defaults(signature))
        said |= _given(text, signature, args, kwargs)
        return _label(kind, name, {key: said[key] for key in signature.parameters if key in said}, signature)


def named_parameters(kind: str, text: str) -> tuple[str, dict[str, object]]:
    """The name of a spec, and the parameters that it gives by their names: `program(xor)` gives a `name`.

    No component is made.

    Raises:
        UserError: it is no spec, or none of a component that is installed.
    """
    name, args, kwargs = parse(text)
    return name, _given(text, finding.get(kind, name).signature(), args, kwargs)


def parse(text: str) -> tuple[str, list[object], dict[str, object]]:
    """`lime(n_samples=500)` → ("lime", [], {"n_samples": 500}). No code is run.

    Bare words, with hyphens or without, are strings, and so are specs inside a spec, as in
    `words(lime(n_samples=500))`, or several with a plus between, as in `corpus(standard_ebooks + imdb)`, and a
    reference alone, as in `callable(package.module:function)`. So are paths, hub ids, encodings and parts of splits:
    `file(path=data/reviews (1).csv, encoding=latin-1)`.

    Raises:
        UserError: it is malformed, longer than `LONGEST` or deeper than `BRACKETS`.
    """
    if not isinstance(text, str):
        raise UserError(f"{short(text)} is not a spec; it must be a text of the form name(key=value, …).")
    if len(text) > LONGEST:
        raise UserError(
            f"{brief(repr(text))} is too long for a spec: {len(text):,} characters, of {LONGEST:,} allowed."
        )
    match = SHAPE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{brief(repr(text))} is not of the form name or name(key=value, …).")
    name, inside = match.groups()
    if reference := REFERENCE.fullmatch(inside or ""):
        return name, [reference[1]], {}
    if _brackets(inside or "") > BRACKETS:
        raise UserError(f"{brief(repr(text))} has too many brackets inside each other; {BRACKETS} are allowed.")
    try:
        return name, *_parameters(inside or "")
    except PROBLEMS as error:
        try:
            return name, *_parameters(_quoted(inside))
        except PROBLEMS:
            raise UserError(
                f"{brief(repr(text))}: {brief(repr(inside))} is not a list of key=value with plain values."
            ) from error


def _brackets(inside: str) -> int:
    """How many brackets are open at most, outside quotes."""
    depth = deepest = 0
    for bracket in BRACKET.findall(QUOTED.sub("", inside)):
        depth += 1 if bracket in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def _parameters(inside: str) -> tuple[list[object], dict[str, object]]:
    """Positional and named parameters, read as Python; one of `PROBLEMS` if they are none."""
    call = ast.parse(f"f({_marked(inside)})", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(inside)
    if not inside.isascii():
        _check_spelling(call, inside)
    kwargs = {str(each.arg): _literal(each.value) for each in call.keywords}
    if "None" in kwargs or len(kwargs) < len(call.keywords):  # ** or a parameter twice
        raise ValueError(inside)
    return [_literal(arg) for arg in call.args], kwargs


def _marked(inside: str) -> str:
    """The text with a mark in names that Python would take for a number too many; what is in quotes stays."""
    begin, pieces = 0, list[str]()
    for quoted in QUOTED.finditer(inside):
        pieces += [SIZED.sub(rf"\1{MARK}\2", inside[begin : quoted.start()]), quoted[0]]
        begin = quoted.end()
    return "".join([*pieces, SIZED.sub(rf"\1{MARK}\2", inside[begin:])])


def _check_spelling(call: ast.Call, inside: str) -> None:
    """Raises a ValueError for a bare word that Python takes for another, of the same letters in another form."""
    for node in ast.walk(call):
        word = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.keyword) else None
        if word is not None and node is not call.func and word not in inside:
            raise ValueError(word)


def _quoted(inside: str) -> str:
    """Parameters with quotes around bare values."""
    if not all(quoted[quoted.lastindex or 0] in QUOTES for quoted in QUOTED.finditer(inside)):
        return inside
    pieces, found = [], PIECE.findall(inside)
    if ",".join(found) != inside.rstrip().removesuffix(","):
        return inside
    for piece in found:
        key, equals, value = piece.partition("=") if KEY.match(piece) else ("", "", piece)
        value = _tight(value.strip())
        pieces.append(f"{key}{equals}{value!r}" if _is_bare(value) else piece)
    return ",".join(pieces)


def _is_bare(value: str) -> bool:
    """Whether a value is no Python and yet clear: a path, a hub id, an encoding, a part of a split."""
    if SPECIAL.search(value) is None and ("/" in value or "\\" in value or FILE.search(value)):
        return True
    return BARE.fullmatch(value) is not None


def _tight(value: str) -> str:
    """A hub id as people write it, where Python has put spaces into it: a spec inside a spec is written by Python."""
    tight = re.sub(r" ([-/@]) ", r"\1", value)
    return tight if " / " in value and " " not in tight else value


def write(name: str, parameters: Mapping[str, object]) -> str:
    """The text of a spec; bare words stay bare."""
    inside = ", ".join(f"{key}={_text(value)}" for key, value in parameters.items())
    return f"{name}({inside})" if inside else name


def _label(kind: str, name: str, stated: Mapping[str, object], signature: inspect.Signature) -> str:
    """The text of a spec for people: a component that is told another one first shows that one's label."""
    defaults = _defaults(signature)
    told_it = {k: v for k, v in stated.items() if k not in defaults or v != defaults[k]}
    first = next(iter(signature.parameters), "")
    inner = told_it.get(first)
    of = first if first in finding.GROUPS else kind if first == OF else ""
    if not of or not isinstance(inner, str) or SHAPE.fullmatch(inner) is None:
        return write(name, told_it)
    try:
        short = _short(of, inner)
    except UserError:  # a path, for instance
        return write(name, told_it)
    rest = [f"{key}={_text(value)}" for key, value in told_it.items() if key != first]
    return f"{name}({', '.join([short, *rest])})"


def _literal(node: ast.expr) -> Any:
    """A plain value; one of `PROBLEMS` if the text is something else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return ast.unparse(node).replace(MARK, "")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):  # a name with a hyphen, such as conv-minilm
        parts = _literal(node.left), _literal(node.right)
        if all(isinstance(part, str) for part in parts):
            return "-".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):  # several specs, as corpus has them
        parts = _literal(node.left), _literal(node.right)
        if all(isinstance(part, str) for part in parts):
            return " + ".join(parts)
    value = node.id.removeprefix(MARK) if isinstance(node, ast.Name) else ast.literal_eval(node)
    if not is_plain(value):
        raise ValueError(ast.unparse(node))
    return value


def is_plain(value: object) -> bool:
    """Whether a value can stand in a spec and be read back as it was: texts, finite numbers, and lists of those."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(each) for key, each in value.items())
    if isinstance(value, int):
        return value.bit_length() <= BITS
    return value is None or isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def _stated(component: object, key: str, given: object) -> object:
    """A parameter as the component states it itself, where it puts what it was given more exactly."""
    stated = getattr(component, key, given)
    return stated if type(stated) is type(given) and is_plain(stated) else given


def _added(factory: Callable[..., object], who: str, defaults: Mapping[str, object]) -> tuple[str, ...]:
    """Parameters that the identity leaves out while they have their default."""
    added: tuple[str, ...] = read_trait(factory, "added", who)
    for name in added:
        if name not in defaults:
            raise UserError(f"{who} says added={added!r}, but {name!r} is not a parameter with a default.")
    return added


def _formerly(factory: Callable[..., object], who: str, defaults: Mapping[str, object]) -> dict[str, object]:
    """Parameters that the identity leaves out while they have the value of results that are older than they."""
    formerly: tuple[tuple[str, object], ...] = read_trait(factory, "formerly", who)
    for name, _ in formerly:
        if name not in defaults:
            raise UserError(f"{who} says formerly={short(formerly)}, but {name!r} is not a parameter with a default.")
    return dict(formerly)


def _text(value: object) -> str:
    bare = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", value) and not keyword.iskeyword(value)
    return str(value) if bare else repr(value)


def _defaults(signature: inspect.Signature) -> dict[str, object]:
    return {k: p.default for k, p in signature.parameters.items() if p.default is not inspect.Parameter.empty}


def _typed(text: str, value: object, parameter: inspect.Parameter) -> object:
    """The value in the type that the parameter has: 2 becomes 2.0 where its default is 1.5."""
    allowed = _types(parameter)
    if float in allowed and type(value) is int:
        return float(value)
    if float in allowed and value == 0 and type(value) is float:
        return 0.0  # and not −0, which equals it and is written otherwise
    if allowed and type(value) not in allowed:
        kinds = " or ".join("None" if each is type(None) else each.__name__ for each in allowed)
        default = parameter.default
        such = "" if default is parameter.empty or default is None else f", such as {short(default)}"
        key = parameter.name
        raise UserError(f"{short(text)}: {key}={short(value)} is not allowed; it must be of type {kinds}{such}.")
    return value


def _types(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The plain types that a parameter may have: that of its default, or those it is annotated with; none if others."""
    if isinstance(parameter.default, PLAIN):
        return (type(parameter.default),)
    annotation = parameter.annotation
    found = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(found) if all(any(each is plain for plain in (*PLAIN, type(None))) for each in found) else ()


def _make(text: str, plugin: finding.Plugin, factory: Callable[..., object], given: Mapping[str, object]) -> object:
    with blaming(f"{short(text)}: {plugin.whose} cannot be made"):
        try:
            return factory(**given)
        except (TypeError, ValueError) as error:
            raise UserError(f"{short(text)}: {brief(words_of(error), 250) or type(error).__name__}") from error
