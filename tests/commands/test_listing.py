"""`faithbench list`: one screen by kind, a line each of a kind, one in full; no name is cut, what is broken is said."""

import io
import json
from pathlib import Path

import pytest
from fixtures_run import add_distribution, call
from rich.console import Console

import faithbench
from faithbench.commands import described, listed
from faithbench.plugins.finding import GROUPS

BROKEN = {"explainers": {"faulty": "no_such_module:Lamp"}, "metrics": {"lamp": "acme_lamp:Lamp"}}
LAMP = '''
"""Light (Edison 1879, arXiv 1234.56789)."""
class Lamp:
    """How bright it is.

    More of it.

    Args:
        watts: of the
            bulb.
    """

    kind = "light"

    def __init__(self, watts: int = 60, cap: str = "E27"):
        pass
'''


def drawn(renderable, width: int) -> list[str]:
    """The lines on a terminal of some width."""
    screen = io.StringIO()
    Console(file=screen, width=width, force_terminal=True, color_system=None).print(renderable)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_on_one_screen_and_no_name_is_cut(width):
    found = [each for each in faithbench.components() if each.origin.startswith("faithbench ")]
    lines = drawn(listed.screen(Console(width=width), found), width)
    assert 15 <= len(lines) <= 29 - 1  # the prompt has a line too
    assert max(map(len, lines)) <= width
    words = set(" ".join(lines).replace(",", " ").split())
    for name in (each.name for each in found):
        ends = [place + 1 for place, sign in enumerate(name) if sign == "-"]
        assert name in words or any({name[:end], name[end:]} <= words for end in ends)


@pytest.mark.parametrize("kind", GROUPS)
def test_a_kind_has_a_line_each(kind):
    found = faithbench.components(kind)
    lines = drawn(listed.lines(Console(width=80), found), 80)
    assert len(lines) == len(found) + 2
    assert [line.split()[0] for line in lines[1:-1]] == [each.name for each in found]
    assert max(map(len, lines)) <= 80


def test_a_component_is_told_in_full():
    text = "\n".join(drawn(described.renderable(Console(width=80), faithbench.describe("lime")), 80))
    for part in (
        "lime, explainer, from faithbench ",
        "https://arxiv.org/abs/1602.04938",
        "3,001 rows of the model for a text of 20 tokens",
        "n_samples=3000",
        "version",
    ):
        assert part in text


@pytest.mark.parametrize(("name", "rows"), [("occlusion", 21), ("random", 0), ("entropy", 0), ("lime", 3001)])
def test_costs_are_counted(name, rows):
    assert faithbench.describe(name)[0].rows == rows


def test_a_name_of_two_kinds_is_told_twice(capsys):
    out = call(capsys, "list", "seqpg").out
    assert "**seqpg**, dataset, from " in out
    assert "**seqpg**, metric of faithfulness, from " in out


def test_of_a_foreign_component_its_own_words_are_shown(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme", BROKEN, {"acme_lamp": LAMP}))
    out = call(capsys, "list", "lamp").out
    assert "**lamp**, metric of light, from acme 1.0" in out
    assert "| watts | int | 60 | of the bulb. |" in out
    assert "| cap | str | E27 |  |" in out
    assert "1234.56789" in out
    lines = drawn(listed.screen(Console(width=80), faithbench.components()), 80)
    assert any("BROKEN: faulty of acme 1.0" in line for line in lines)
    assert any("light, from acme 1.0" in line and "lamp" in line for line in lines)
    assert "BROKEN: explainer faulty: " in call(capsys, "list").out


def test_programs_read_json(capsys):
    told = json.loads(call(capsys, "list", "explainer", "--format", "json").out)
    assert {"occlusion", "lime"} <= {each["name"] for each in told}
    assert {each["kind"] for each in told} == {"explainer"}


@pytest.mark.parametrize(
    ("words", "said"), [(["oclusion"], "occlusion"), (["metrc"], "metric"), (["--format", "pdf"], "'pdf'")]
)
def test_mistakes_are_a_sentence(words, said, capsys):
    ended = call(capsys, "list", *words)
    assert ended.status == 2
    assert said in ended.complaints[0]
