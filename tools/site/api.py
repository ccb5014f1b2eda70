"""Pages of reference: directives that mkdocstrings replaces by what docstrings say."""

import faithbench

MODULES = {
    "questions": "Questions to models",
    "interfaces": "What a component offers",
    "types": "Texts, targets, attributions, measurements",
    "conversations": "How components ask",
    "conformance": "The contract, to be run on anybody's components",
}


def api_pages() -> dict[str, str]:
    """A page of all public names of the package, and one of each module that a component's author reads."""
    pages = {f"api/{module}.md": _module(module, title) for module, title in MODULES.items()}
    return {"api/faithbench.md": _package(), **pages}


def _package() -> str:
    names = "\n\n".join(f"::: faithbench.{name}" for name in faithbench.__all__)
    return f"# faithbench\n\nAll that `import faithbench` gives.\n\n{names}\n"


def _module(module: str, title: str) -> str:
    options = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
    return f"# {title}\n\nThe module `faithbench.{module}`.\n\n::: faithbench.{module}\n{options}"
