"""Mutation test: plants small faults, one at a time, and runs the component's tests on each; what survives is listed.

    python tests/mutations.py [COMPONENT …] [--most 40] [--seed 0] [--slow] [--seconds 120]

A fault is one node of the syntax tree changed: a comparison, an operator, a constant by one, a condition turned round,
a statement or a keyword argument taken out. It is written into a copy of the tree, never into the tree itself. It is
killed when a test fails, or takes longer than `--seconds`. The libraries are imported once, and each fault has a
process of its own, for which a system is needed that can fork. CONTRIBUTING.md has the numbers.
"""

import argparse
import ast
import contextlib
import copy
import gc
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREES = ("faithbench", "explainers", "metrics", "tests", "docs", "pyproject.toml")
QUICKER = ("-p", "no:cacheprovider", "-p", "no:unraisableexception", "--no-header")
E, M, C = "explainers/faithbench_explainers", "metrics/faithbench_metrics", "faithbench"


@dataclass(frozen=True)
class Target:
    """Files of a component, and the tests that must notice a fault in them."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "bcos": Target(
        (f"{E}/bcos.py", f"{E}/dimensions.py"),
        ("tests/running/test_precision.py", "tests/explainers/test_explainers.py"),
    ),
    "sig": Target((f"{E}/sig.py",), ("tests/explainers/test_integrated.py", "tests/running/test_precision.py")),
    "integrated_gradients": Target(
        (f"{E}/integrated_gradients.py", f"{E}/quadrature.py", f"{E}/objective.py", f"{E}/baselines.py"),
        ("tests/explainers/test_integrated.py", "tests/running/test_precision.py"),
    ),
    "shap_sampl": Target((f"{E}/shap_sampl.py",), ("tests/explainers/test_shapley.py",)),
    "lime": Target((f"{E}/lime.py", f"{E}/ridge.py"), ("tests/explainers/test_lime.py",)),
    "decompx": Target(
        (f"{E}/decompx.py", f"{E}/decomposition/propagation.py", f"{E}/decomposition/anatomy.py"),
        ("tests/explainers/test_decompx.py",),
    ),
    "comprehensiveness": Target(
        (f"{M}/comprehensiveness.py", f"{M}/perturbation/ratios.py", f"{M}/perturbation/ordering.py"),
        ("tests/metrics/test_metrics.py", "tests/metrics/test_perturbation.py"),
    ),
    "sufficiency": Target(
        (f"{M}/sufficiency.py", f"{M}/perturbation/curves.py"),
        ("tests/metrics/test_metrics.py", "tests/metrics/test_perturbation.py"),
    ),
    "operators": Target((f"{M}/perturbation/operators.py",), ("tests/metrics/test_operators.py",)),
    "entropy": Target((f"{M}/entropy.py",), ("tests/metrics/test_metrics.py",)),
    "evidence": Target(
        (f"{M}/evidence.py", f"{M}/ranking.py"), ("tests/metrics/test_metrics.py", "tests/metrics/test_plausibility.py")
    ),
    "infidelity": Target((f"{M}/infidelity.py",), ("tests/metrics/test_infidelity.py",)),
    "intervals": Target((f"{C}/statistics/intervals.py",), ("tests/statistics/test_stats.py",)),
    "paired_tests": Target((f"{C}/statistics/paired_tests.py",), ("tests/statistics/test_stats.py",)),
    "score": Target((f"{C}/importing/in_memory.py",), ("tests/importing/test_in_memory.py",)),
}
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "any": "all"}


@dataclass(frozen=True)
class Fault:
    """One change of a file: the line, what it does in words, and the source that has it."""

    file: str
    line: int
    what: str
    source: str


def faults(file: str, source: str) -> Iterator[Fault]:
    """All changes of a source."""
    tree = ast.parse(source)
    places = [node for node in ast.walk(tree) if hasattr(node, "lineno") and id(node) not in _spared(tree)]
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    for node in places:
        for change in _changes(node):
            changed = copy.deepcopy(tree)
            twin = next(one for number, one in enumerate(ast.walk(changed)) if number == numbers[id(node)])
            before = ast.unparse(node).splitlines()[0]
            after = change(twin)
            words = "taken out" if isinstance(after, ast.Pass) else f"→ {ast.unparse(after).splitlines()[0]}"
            if after is not twin:
                _Replace(twin, after).visit(changed)
            yield Fault(file, node.lineno, f"{before} {words}", ast.unparse(ast.fix_missing_locations(changed)))


def _spared(tree: ast.AST) -> set[int]:
    """Docstrings, annotations, decorators and words of errors: no fault there changes a number."""
    spared: set[int] = set()
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += getattr(node, "decorator_list", [])
        if isinstance(node, (ast.Raise, ast.JoinedStr)):
            parts += list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.append(node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and "Float" in ast.dump(node.value):
            parts.append(node)
        for part in parts:
            spared |= {id(each) for each in ast.walk(part)} if part is not None else set()
    return spared


def _changes(node: ast.AST) -> list:
    """Functions that change a copy of the node, and give what stands in its place."""
    found: list = []
    if isinstance(node, ast.Compare):
        found += [lambda n, i=i: _set_in(n.ops, i, COMPARISONS[type(n.ops[i])](), n) for i in range(len(node.ops))]
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        found.append(lambda n: _set(n, "op", OPERATORS[type(n.op)]()))
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        found.append(lambda n: n.operand)
    elif isinstance(node, ast.BoolOp):
        found.append(lambda n: _set(n, "op", ast.Or() if isinstance(n.op, ast.And) else ast.And()))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        found.append(lambda n: _set(n, "value", not n.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        found.append(lambda n: _set(n, "value", n.value + 1))
    elif isinstance(node, (ast.IfExp, ast.If)):
        found.append(lambda n: _set(n, "test", ast.UnaryOp(ast.Not(), n.test)))
    elif isinstance(node, (ast.Raise, ast.Continue, ast.Break)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        found.append(lambda n: ast.Pass())
    elif isinstance(node, ast.Call):
        found += [lambda n, i=i: _without(n, i) for i, keyword in enumerate(node.keywords) if keyword.arg]
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        found.append(lambda n: _set(n, "attr", NAMES[n.attr]))
    if isinstance(node, ast.Name) and node.id in NAMES:
        found.append(lambda n: _set(n, "id", NAMES[n.id]))
    return found


def _set(node: ast.AST, name: str, value: object) -> ast.AST:
    setattr(node, name, value)
    return node


def _set_in(values: list, place: int, value: object, node: ast.AST) -> ast.AST:
    values[place] = value
    return node


def _without(call: ast.Call, place: int) -> ast.AST:
    del call.keywords[place]
    return call


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def copied(folder: Path) -> Path:
    """A copy of what tests need."""
    for name in TREES:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
    return folder


def import_libraries(folder: Path, tests: Sequence[str]) -> bool:
    """Imports what the tests import that is not ours, so that no fault has to; whether the tests pass as they are."""
    told = folder / "imported.txt"
    fine = passes(folder, tests, 3600, slow=False, told=told)
    for name in told.read_text().split() if told.exists() else ():
        with contextlib.suppress(BaseException):  # some modules are there for one system or one import only
            importlib.import_module(name)
    gc.freeze()
    return fine


def passes(folder: Path, tests: Sequence[str], seconds: float, slow: bool, told: Path | None = None) -> bool:
    """Whether the tests pass on the copy, in a process of their own and in time; `told` is to say what they import."""
    child = os.fork()
    if child == 0:
        _run_tests(folder, tests, slow, told)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(folder: Path, tests: Sequence[str], slow: bool, told: Path | None) -> None:
    """Ends the process: 0 where all pass."""
    status = 1
    try:
        os.chdir(folder)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.dont_write_bytecode = True
        sys.path[:0] = [str(folder), str(folder / "metrics"), str(folder / "explainers")]
        pytest = importlib.import_module("pytest")
        marks = [] if slow else ["-m", "not slow"]
        status = int(pytest.main([*tests, "-x", "-q", *QUICKER, *marks]))
        if told is not None:
            told.write_text("\n".join(name for name, module in list(sys.modules.items()) if _is_library(module)))
    finally:
        os._exit(0 if status == 0 else 1)


def _is_library(module: object) -> bool:
    file = getattr(module, "__file__", None) or ""
    return "site-packages" in file and "pytest" not in file and "shapes" not in file


def main() -> None:
    """Plants faults and prints which survive, then the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("components", nargs="*", metavar="COMPONENT", help=f"of {', '.join(TARGETS)}; none for all")
    parser.add_argument("--most", type=int, default=0, help="faults of a component, drawn with the seed; 0 for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", action="store_true", help="try those that survive with tests marked slow too")
    parser.add_argument("--seconds", type=float, default=120, help="after which a fault counts as killed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = copied(Path(place))
        for name in arguments.components or TARGETS:
            target = TARGETS[name]
            if not import_libraries(folder, target.tests):
                print(f"{name}: the tests fail as they are", flush=True)
                continue
            every = [one for file in target.files for one in faults(file, (ROOT / file).read_text())]
            drawn = random.Random(arguments.seed).sample(every, min(arguments.most or len(every), len(every)))
            alive = 0
            for one in sorted(drawn, key=lambda each: (each.file, each.line)):
                (folder / one.file).write_text(one.source)
                if all(passes(folder, target.tests, arguments.seconds, slow) for slow in {False, arguments.slow}):
                    alive += 1
                    print(f"  {one.file}:{one.line}: {one.what}", flush=True)
                shutil.copy(ROOT / one.file, folder / one.file)
            print(
                f"{name}: {len(drawn)} of {len(every)} faults planted, {len(drawn) - alive} killed, {alive} alive",
                flush=True,
            )


if __name__ == "__main__":
    main()
