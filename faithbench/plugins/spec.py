"""`name(key=value)` ⇄ component. The text with every parameter written out is the identity of a result."""

import ast
import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faithbench.errors import UserError, unknown
from faithbench.interfaces import Traits
from faithbench.plugins import finding
from faithbench.plugins.traits import read_trait, read_traits

SHAPE = re.compile(r"\s*([A-Za-z0-9_.\-]+)\s*(?:\((.*)\))?\s*", re.DOTALL)
BARE = re.compile(  # a value that is no Python and yet clear: a path, a hub id, an encoding, a part of a split
    r"""[^'"=,{}#\0\n]*(?:[/\\][^'"=,{}#\0\n]*|\.(?:csv|tsv|txt|jsonl?|ndjson|parquet)(?:\.(?:gz|bz2|xz))?)"""
    r"|(?:latin|utf|iso|windows|koi8|euc)(?:-\w+)+|[A-Za-z]\w*\[[-\d:%]*\]|[;|]"
)
PIECE = re.compile(r"""(?:[^,'"(\[]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\([^()]*\)|\[[^\[\]]*\])+""", re.DOTALL)
KEY = re.compile(r"\s*[A-Za-z_]\w*\s*=")
PROBLEMS = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
REFERENCE = re.compile(r"\s*([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)\s*")  # package.module:function


@dataclass(frozen=True)
class Component:
    """A loaded component with its identity (all parameters), its label (defaults left out) and its traits."""

    identity: str
    label: str
    object: Any
    traits: Traits = field(default_factory=Traits)

    @property
    def version(self) -> int:
        """The component's own version: raised when its numbers change."""
        return self.traits.version

    @property
    def content(self) -> str:
        """A hash of what the spec of a data set does not pin; empty if it pins everything. May read files."""
        return str(getattr(self.object, "content", ""))


def build(kind: str, text: str, overrides: Mapping[str, object] | None = None) -> Component:
    """The component that a spec text names; `overrides` set the parameters of those names where it has them.

    Raises:
        UserError: the text is malformed, the name unknown, or a parameter unknown, missing or refused.
    """
    name, args, kwargs = parse(text)
    factory = finding.get(kind, name).load()
    signature = inspect.signature(factory)
    for key in kwargs:
        if key not in signature.parameters:
            raise unknown(f"parameter of {kind} {name!r}", key, signature.parameters)
    chosen = {k: v for k, v in (overrides or {}).items() if k in signature.parameters and k not in kwargs}
    try:
        bound = signature.bind(*args, **{**chosen, **kwargs})
    except TypeError as error:
        raise UserError(f"{text!r}: {error}; parameters: {', '.join(signature.parameters)}.") from error
    defaults = _defaults(signature)
    given = {key: _typed(text, key, value, defaults.get(key)) for key, value in bound.arguments.items()}
    component = _make(text, factory, given)
    stated = {k: _stated(component, k, given.get(k, defaults.get(k))) for k in signature.parameters}
    who = f"{kind} {name!r}"
    added = _added(factory, who, defaults)
    return Component(
        identity=write(name, {k: v for k, v in stated.items() if k not in added or v != defaults[k]}),
        label=_label(name, {k: v for k, v in stated.items() if k not in defaults or v != defaults[k]}, signature),
        object=component,
        traits=read_traits(kind, component, who),
    )


def parse(text: str) -> tuple[str, list[object], dict[str, object]]:
    """`lime(n_samples=500)` → ("lime", [], {"n_samples": 500}). No code is run.

    Bare words, with hyphens or without, are strings, and so are specs inside a spec, as in
    `words(lime(n_samples=500))`, and a reference alone, as in `callable(package.module:function)`. So are paths, hub
    ids, encodings and parts of splits: `file(path=data/reviews (1).csv, encoding=latin-1)`.
    """
    match = SHAPE.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} is not of the form name or name(key=value, …).")
    name, inside = match.groups()
    if reference := REFERENCE.fullmatch(inside or ""):
        return name, [reference[1]], {}
    try:
        return name, *_parameters(inside or "")
    except PROBLEMS as error:
        try:
            return name, *_parameters(_quoted(inside))
        except PROBLEMS:
            raise UserError(f"{text!r}: {inside!r} is not a list of key=value with plain values.") from error


def _parameters(inside: str) -> tuple[list[object], dict[str, object]]:
    """Positional and named parameters, read as Python; one of `PROBLEMS` if they are none."""
    call = ast.parse(f"f({inside})", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(inside)
    kwargs = {str(each.arg): _literal(each.value) for each in call.keywords}
    if "None" in kwargs or len(kwargs) < len(call.keywords):  # ** or a parameter twice
        raise ValueError(inside)
    return [_literal(arg) for arg in call.args], kwargs


def _quoted(inside: str) -> str:
    """Parameters with quotes around bare values."""
    pieces, found = [], PIECE.findall(inside)
    if ",".join(found) != inside.rstrip().removesuffix(","):
        return inside
    for piece in found:
        key, equals, value = piece.partition("=") if KEY.match(piece) else ("", "", piece)
        value = _tight(value.strip())
        pieces.append(f"{key}{equals}{value!r}" if BARE.fullmatch(value) else piece)
    return ",".join(pieces)


def _tight(value: str) -> str:
    """A hub id as people write it, where Python has put spaces into it: a spec inside a spec is written by Python."""
    tight = re.sub(r" ([-/@]) ", r"\1", value)
    return tight if " / " in value and " " not in tight else value


def write(name: str, parameters: Mapping[str, object]) -> str:
    """The text of a spec; bare words stay bare."""
    inside = ", ".join(f"{key}={_text(value)}" for key, value in parameters.items())
    return f"{name}({inside})" if inside else name


def _label(name: str, told: Mapping[str, object], signature: inspect.Signature) -> str:
    """The text of a spec for people: a component that is told another one first shows that one's label."""
    first = next(iter(signature.parameters), "")
    inner = told.get(first)
    if first not in finding.GROUPS or not isinstance(inner, str) or SHAPE.fullmatch(inner) is None:
        return write(name, told)
    try:
        label = build(first, inner).label
    except UserError:  # a path, for instance
        return write(name, told)
    rest = [f"{key}={_text(value)}" for key, value in told.items() if key != first]
    return f"{name}({', '.join([label, *rest])})"


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return ast.unparse(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):  # a name with a hyphen, such as conv-minilm
        parts = _literal(node.left), _literal(node.right)
        if all(isinstance(part, str) for part in parts):
            return "-".join(parts)
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _stated(component: object, key: str, given: object) -> object:
    """A parameter as the component states it itself, where it puts what it was given more exactly."""
    stated = getattr(component, key, given)
    return stated if type(stated) is type(given) else given


def _added(factory: Callable[..., object], who: str, defaults: Mapping[str, object]) -> tuple[str, ...]:
    """Parameters that the identity leaves out while they have their default."""
    added: tuple[str, ...] = read_trait(factory, "added", who)
    for name in added:
        if name not in defaults:
            raise UserError(f"{who} says added={added!r}, but {name!r} is not a parameter with a default.")
    return added


def _text(value: object) -> str:
    bare = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", value) and not keyword.iskeyword(value)
    return str(value) if bare else repr(value)


def _defaults(signature: inspect.Signature) -> dict[str, object]:
    return {k: p.default for k, p in signature.parameters.items() if p.default is not inspect.Parameter.empty}


def _typed(text: str, key: str, value: object, default: object) -> object:
    """The value in the type of the default, if that is a plain one: 2 becomes 2.0 where the default is 1.5."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, (bool, int, float, str)) and type(value) is not type(default):
        kind = type(default).__name__
        raise UserError(f"{text!r}: {key}={value!r} is not allowed; it must be of type {kind}, such as {default!r}.")
    return value


def _make(text: str, factory: Callable[..., object], given: Mapping[str, object]) -> object:
    try:
        return factory(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{text!r}: {error}") from error
