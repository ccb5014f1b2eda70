"""What a component's docstring says (Google style): what it is, what its parameters mean, which papers it names."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ARXIV = re.compile(r"\b(?:arXiv[: ]?)?(\d{4}\.\d{4,5}|(?:cs|stat|math)/\d{7})\b")
SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Attributes|Note|Notes):\s*$", re.MULTILINE)
ARGUMENT = re.compile(r"^    (\w+)(?: \([^)]*\))?: ", re.MULTILINE)


@dataclass(frozen=True)
class Docstring:
    """What a factory says of itself.

    Args:
        summary: the first paragraph.
        paragraphs: all of them, each on one line, without the sections.
        parameters: what is said of each.
        source: first line of its module, which names its paper.
        papers: arXiv ids, in the order in which they are named.
    """

    summary: str = ""
    paragraphs: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    papers: tuple[str, ...] = ()


def read_docstring(factory: Callable[..., object]) -> Docstring:
    """The docstring of a class or function, and of the module that it is from."""
    text = _own(factory)
    source = _joined((_module_docstring(factory)).split("\n\n")[0])
    prose = SECTION.split(text)[0]
    paragraphs = tuple(filter(None, map(_joined, prose.split("\n\n"))))
    papers = tuple(dict.fromkeys(ARXIV.findall(f"{source} {text}")))
    return Docstring(next(iter(paragraphs), ""), paragraphs, _inherited(factory) | _arguments(text), source, papers)


def _inherited(factory: Callable[..., object]) -> dict[str, str]:
    """What the classes that a class is made of say of its parameters."""
    bases = inspect.getmro(factory)[:0:-1] if isinstance(factory, type) else ()
    return {name: meaning for base in bases for name, meaning in _arguments(_own(base)).items()}


def _own(factory: Callable[..., object]) -> str:
    """Its docstring; none where Python has made one out of the fields of a dataclass."""
    text = inspect.getdoc(factory) or ""
    return "" if text.startswith(f"{getattr(factory, '__name__', '')}(") else text


def _module_docstring(factory: Callable[..., object]) -> str:
    module = sys.modules.get(getattr(factory, "__module__", None) or "")
    return inspect.getdoc(module) or "" if module else ""


def _arguments(text: str) -> dict[str, str]:
    parts = SECTION.split(text)
    section = next((body for head, body in zip(parts[1::2], parts[2::2], strict=True) if head == "Args"), "")
    pieces = ARGUMENT.split(section)
    return {name: _joined(meaning) for name, meaning in zip(pieces[1::2], pieces[2::2], strict=True)}


def _joined(text: str) -> str:
    return " ".join(text.split())
