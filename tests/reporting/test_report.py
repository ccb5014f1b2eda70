"""The page of a report: its numbers are the table's, it reads without a script, and words from outside stay words."""

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import add_distribution, call
from hostile_words import OBEYED, WORDS
from records import record, run_of
from reports import COMP, RANDOM, SRG, SUFF, keep_texts, records_of, text_of, values_of

import faithbench
from faithbench.errors import UserError
from faithbench.records.results import labels
from faithbench.records.store import Store
from faithbench.records.texts import numbered
from faithbench.reporting.lines import codes, marked_line, named, written
from faithbench.tables.wording import places_of
from faithbench.types import Attribution, Target

A, B = "occlusion(window=1, baseline=mask, contrastive=False)", "saliency(contrastive=False)"
MEANS = {A: 20.0, B: 12.0, RANDOM: 0.0}
CLASSES = ("dull", "superb")
LINKED = {"src", "href", "action", "formaction", "data", "poster", "srcset", "xlink:href"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text that is shown without a script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.source = text
        self.shown: list[str] = []
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden:
            self.shown.append(data)

    @property
    def shape(self) -> Counter[tuple[str, ...]]:
        """How often each kind of element is there, but for drawings, which depend on numbers."""
        drawn = ("line", "text", "rect", "circle", "path")
        return Counter((tag, *sorted(attributes)) for tag, attributes in self.elements if tag not in drawn)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())


def scores_of(name: str, text) -> np.ndarray:
    """A favours the word superb, B the second word; random likes all of them."""
    scores = np.zeros(len(text))
    content = text.content
    if name == A:
        scores[content] = [3.0 if text.tokens[i] == "superb" else -0.5 for i in content]
    elif name == B:
        scores[content[1]] = 1.0
    else:
        scores[content] = np.random.default_rng(len(text)).normal(size=len(content))
    return scores


def run_with_texts(folder: Path, n: int = 12, words: str = "a {} superb film indeed", classes=CLASSES) -> Path:
    parts = tuple(i / 10 for i in range(9))
    values = values_of(n, **MEANS)
    records = records_of(values)
    records += [
        record(float(v), i, explainer=name, metric=COMP, parts=parts)
        for name, each in values.items()
        for i, v in enumerate(each)
    ]
    run = run_of(folder, records)
    texts = [text_of(str(i), words.format(f"number{i}"), label=i % 2, mark="superb") for i in range(n)]
    keep_texts(run, texts, list(MEANS), scores_of, classes)
    return run


def report_of(run: Path, *more: Path) -> str:
    return faithbench.report([run, *more], run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of(run_with_texts(tmp_path_factory.mktemp("run") / "run"))


def test_the_first_screen_says_whom_to_trust_on_how_many_texts(shown: str):
    text = Page(shown).text
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", shown)[1]
    assert heading.startswith(
        "Trust occlusion, the best; saliency beats random too, but is behind (srg, n = 12, detects "
    )
    assert text.index(heading) < text.index("model's accuracy") < text.index("higher is better: mean over texts")


def test_the_numbers_are_those_of_the_table(tmp_path: Path):
    run = run_with_texts(tmp_path / "run")
    page = report_of(run)
    frame = faithbench.table([run])
    rows = frame[frame["metric"] == SRG]
    places = places_of(rows["high"] - rows["low"])
    names = labels("explainer", rows["explainer"])
    found = dict(re.findall(r'<th scope="row">(\w+)</th><td class="right" data-value="([^"]*)">', page))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {names[row.explainer]: row.mean for row in rows.itertuples()}
    )
    for row in rows.itertuples():
        assert f"{row.mean:.{places}f}" in page
    text = Page(page).text
    for line in faithbench.render([run]).splitlines():  # all cells of all tables
        for number in re.findall(r"\d+\.\d+ ± \d+\.\d+|\d+\.\d+ \(\d+\.\d+, \d+\.\d+\)", line):
            assert number in text


def test_the_difference_from_random_is_that_of_compare(tmp_path: Path):
    run = run_with_texts(tmp_path / "run", n=30)
    row = faithbench.comparison("occlusion", "random", [run], metrics=["srg"]).table().iloc[0]
    page = report_of(run)
    cells = re.search(r'<th scope="row">occlusion</th>(.*?)</tr>', page[page.index("main-table") :])[1]
    assert f'data-value="{row["difference"]:.10g}"' in cells


def test_a_text_has_its_class_words_and_values_without_a_script(shown: str):
    page = Page(shown)
    details = shown[shown.index('id="s1-t7"') :]
    details = Page(details[details.index(">") + 1 : details.index("</details>")]).text
    assert details.startswith("Text 7 superb 0.80")
    assert "gold: superb · predicted: superb · superb 0.80, dull 0.20" in details
    assert "occlusion names superb ++" in details
    assert "saliency names number7 ++" in details
    assert "a number7 superb film indeed" in details
    assert "framed: what the data mark as the reason" in details
    assert 'class="p4 framed"' in shown
    assert re.search(r"occlusion \d+\.\d+ \(\d+\)", details)  # a value with its percentile
    assert "Text 0" in page.text  # ids are numbers from 0 on, which are the texts' numbers


def test_a_wrong_prediction_is_said_and_can_be_chosen(shown: str):
    assert len(re.findall(r"<details class=\"text\"[^>]* data-wrong", shown)) == sum(
        i % 2 != int(i % 5 > 0) for i in range(12)
    )
    assert '<option value="=superb">predicted superb</option>' in shown


def test_curves_are_drawn_where_records_have_parts(shown: str):
    assert "<h2>Mean curves</h2>" in shown
    assert "0.00 at 10 %, 0.40 at 50 %, 0.80 at 90 %" in shown
    assert shown.count('<svg class="curve"') == 12 * 3 + 2  # random has none of its own among the means


def test_curves_are_said_to_those_who_do_not_see_them(shown: str):
    curves = re.findall(r'<svg class="curve"[^>]*>', shown)
    assert len(curves) > 12
    assert {re.search(r'role="img" aria-label="([^"]*)"', each)[1] for each in curves} == {
        "0.00 at 10 %, 0.40 at 50 %, 0.80 at 90 %"
    }


PLUGIN = """
class Mine:
    higher_is_better = True
    parts_at = (0.1, 0.2, 0.6)
    def measure(self, model, text, target, attribution): ...
"""


def test_a_plugins_metric_has_a_curve_at_its_own_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entries = {"metrics": {"mine": "mine_curve:Mine"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "plugin", "mine", entries, {"mine_curve": PLUGIN}))
    values = values_of(12, **MEANS)
    records = [
        record(float(v), i, explainer=name, metric="mine", parts=(0.0, 1.0, 0.5))
        for name, each in values.items()
        for i, v in enumerate(each)
    ]
    page = report_of(run_of(tmp_path / "run", records))
    assert "The parts of its value at 10 to 60 % of the tokens; from 0.00" in page
    assert 'aria-label="0.00 at 10 %, 1.00 at 20 %, 0.50 at 60 %"' in page
    assert '<path d="M0 56L24 0L120 28"/>' in page


def test_nothing_is_fetched_and_one_script_may_run(shown: str):
    page = Page(shown)
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "audio", "video")
        assert not any(name.startswith("on") for name in attributes)
        assert all((attributes[name] or "").startswith("#") for name in LINKED & set(attributes))
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [each for each in scripts if each.get("type") != "application/json"] == [{}]
    assert "url(" not in shown
    assert "@import" not in shown
    policy = next(each["content"] for tag, each in page.elements if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_every_id_is_given_once_and_every_link_leads_somewhere(shown: str):
    elements = Page(shown).elements
    ids = [each["id"] for _, each in elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert {each["href"][1:] for tag, each in elements if tag == "a"} <= set(ids)


def outside_page(folder: Path, words: Sequence[str]) -> Page:
    """A page into which these words come as ids, texts, and names of classes, explainers, models and errors."""
    every, ids = " ".join(words), [f"{word} {i}" for i, word in enumerate(words)]
    evil, n = f"evil {every}", len(words)
    values = {evil: np.arange(n, dtype=float), RANDOM: np.zeros(n)}
    records = records_of(values, ids=ids)
    records.append(record(np.nan, 0, explainer=evil, metric=COMP, error=f"ValueError: {every}"))
    run = run_of(folder, records, label=every, said=[every], hardware=every)
    texts = [text_of(name, f"a {word} b", mark=word.split(" ")[0]) for name, word in zip(ids, words, strict=True)]
    keep_texts(run, texts, [evil], lambda _, text: np.arange(len(text), dtype=float), (every, f"{every}2"))
    return Page(report_of(run))


def test_words_from_outside_stay_words(tmp_path: Path):
    words = [word.replace("\ud800", "").replace("\udc9b", "") for word in WORDS.values()]  # Parquet holds no halves
    evil = outside_page(tmp_path / "evil", words)
    plain = outside_page(tmp_path / "plain", [re.sub("[^ ]", "x", word) for word in words])
    assert evil.shape == plain.shape
    assert not OBEYED.search(evil.source)
    assert "<script>alert(1)</script>" in evil.text  # shown, not obeyed


def test_a_run_without_texts_says_so_and_names_positions(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of(values_of(12, **MEANS)))
    page = Page(report_of(run)).text
    assert "This run has not kept its texts" in page
    assert "values are shown without explanations" in page
    keep_texts(run, [], [], scores_of, CLASSES)
    with_scores = run_with_texts(tmp_path / "other")
    for path in [*(with_scores / "texts").iterdir(), *(with_scores / "predictions").iterdir()]:
        path.unlink()
    page = Page(report_of(with_scores)).text
    assert "explanations are named by the positions of tokens" in page
    assert "occlusion names token 3 +" in page


def test_several_models_and_data_sets_have_a_section_each(tmp_path: Path):
    records = [
        one
        for model in ("conv-tiny(seed=42)", "bcos-tiny(seed=42)")
        for one in records_of(values_of(12, **MEANS), model=model)
    ]
    page = report_of(run_of(tmp_path / "run", records))
    assert "2 verdicts at a glance" in page
    assert page.count("<h1") == 2
    assert '<section class="panel" id="s2"' in page


def test_a_metric_without_better_or_worse_alone_is_no_reason_to_fail(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of(values_of(5, **MEANS), "gini(part=absolute)"))
    assert "No metric here says which explainer is better, so there is no verdict." in report_of(run)


def test_a_model_at_chance_is_doubted_above_the_fold(tmp_path: Path):
    run = run_of(
        tmp_path / "run",
        records_of(values_of(12, **MEANS)),
        performance={"accuracy": 50.0, "macro F1": 50.0, "chance": 50.0, "labelled": 12},
    )
    page = report_of(run)
    assert page.index("is not shown to be above chance") < page.index('class="badges"')
    assert '<li class="doubt"><span class="sign" aria-hidden="true">!</span> <b>model&#39;s accuracy</b>' in page


def test_failures_are_counted_and_listed(tmp_path: Path):
    records = records_of(values_of(12, **MEANS))
    records.append(record(np.nan, 99, explainer=A, metric=SRG, error="ValueError: <b>no</b>"))
    page = Page(report_of(run_of(tmp_path / "run", records))).text
    assert "failures 1 of 37 results" in page
    assert "ValueError: <b>no</b> (1 text)" in page


def test_where_lower_is_better_the_page_says_so(tmp_path: Path):
    page = Page(report_of(run_of(tmp_path / "run", records_of(values_of(12, **{A: -9.0, RANDOM: 0.0}), SUFF)))).text
    assert "sufficiency , lower is better: mean over texts" in page.replace("sufficiency,", "sufficiency ,")
    assert "Trust occlusion (sufficiency, n = 12" in page


def test_texts_that_are_left_out_are_counted_and_not_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("faithbench.reporting.texts.MOST", 5)
    page = Page(report_of(run_of(tmp_path / "run", records_of(values_of(12, **MEANS)))))
    assert "The first 5 of 12 texts are here" in page.text
    ids = {each.get("id") for _, each in page.elements}
    links = {each["href"][1:] for tag, each in page.elements if tag == "a"}
    assert links <= ids
    assert "text 11" in page.text


@pytest.mark.slow
def test_five_hundred_long_texts_are_less_than_ten_megabytes(tmp_path: Path):
    explainers = {f"explainer{i}": float(i) for i in range(9)} | {RANDOM: 0.0}
    values = values_of(500, **explainers)
    metrics = [SRG, COMP, SUFF, *(f"mine(number={i})" for i in range(12))]
    parts = tuple(i / 10 for i in range(9))
    records = [
        record(float(v), i, explainer=name, metric=metric, parts=parts if metric == COMP else ())
        for metric in metrics
        for name, column in values.items()
        for i, v in enumerate(column)
    ]
    run = run_of(tmp_path / "run", records)
    draws = np.random.default_rng(0)
    texts = [
        text_of(str(i), " ".join(draws.choice(["wonderful", "a", "of", "dreary", "film"], 230))) for i in range(500)
    ]
    keep_texts(run, texts, list(explainers), lambda _, text: draws.normal(size=len(text)), CLASSES)
    page = report_of(run)
    assert len(page.encode()) < 10_000_000
    assert page.count('<details class="text"') == 500
    assert page.count('<p class="fb-line" dir="auto">') >= 500
    assert "data-codes" in page


def test_numbers_of_texts_are_their_ids_where_these_count_without_a_gap():
    assert numbered(["test-2", "test-0", "test-1"]) == [2, 0, 1]
    assert numbered(["1", "2", "3"]) == [1, 2, 3]
    assert numbered(["t-10", "t-9", "t-700"]) == [2, 1, 3]
    assert numbered(["a", "b2", "b10"]) == [1, 2, 3]
    assert numbered(["01", "1"]) != [1, 1]


def test_a_line_in_codes_is_the_written_line():
    text = text_of("1", "a superb <b> film", mark="film")
    found = marked_line(text, Attribution("1", Target(1), np.array([9.0, 0.0, 2.0, -2.0, 0.6, 9.0])))
    assert codes(found) == "04d2"
    assert written(found) == (
        '<p class="fb-line" dir="auto"><mark>a</mark> <mark class="p4">superb</mark> <mark class="n4">&lt;b&gt;</mark> '
        '<mark class="p2 framed">film</mark></p>'
    )
    assert named(found) == ["superb ++", "<b> −−", "film +"]


def test_scores_that_are_of_another_text_make_no_line():
    assert marked_line(text_of("1", "a b"), Attribution("1", Target(1), np.zeros(3))) is None


def test_the_command_writes_the_file_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = run_with_texts(tmp_path / "run")
    assert f"wrote {tmp_path / 'mine.html'}" in call(capsys, "report", run, "--out", tmp_path / "mine.html").err
    assert (tmp_path / "mine.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_cannot_be_reported_is_said_in_a_sentence(tmp_path: Path):
    run = run_with_texts(tmp_path / "run")
    with pytest.raises(UserError, match=r"report 'a.pdf' does not end in .html; give a file such as report.html."):
        faithbench.report([run], "a.pdf")
    with pytest.raises(UserError, match="is not a run: it has no records"):
        faithbench.report([tmp_path], tmp_path / "a.html")


def test_the_same_run_gives_the_same_page(tmp_path: Path):
    run = run_with_texts(tmp_path / "run")
    assert report_of(run) == report_of(run)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    """As WCAG 2 defines it."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_palette_has_contrast_enough():
    style = (Path(faithbench.__file__).parent / "reporting/report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style))
    for ink in ("ink", "soft", "accent", "doubt"):
        for paper in (colours["paper"], colours["shade"]):
            assert contrast(colours[ink], paper) >= 4.5, ink
    assert contrast(colours["doubt"], "#fdf3ea") >= 4.5
    assert min(contrast(colours["edge"], colours[beside]) for beside in ("paper", "band")) >= 3
    for mark in ("accent", "ink", "soft"):  # what is drawn on the band of random scores
        assert contrast(colours[mark], colours["band"]) >= 3
    assert contrast("#767676", colours["paper"]) >= 3  # the edge of fields


def test_a_page_without_the_best_order_says_how_to_get_it(shown: str, tmp_path: Path):
    told = 'measure it with --metric "normalised(srg)"'
    assert told in Page(shown).text
    assert "best order found by search" not in Page(shown).text
    values = values_of(12, **MEANS)
    best = [
        record(50.0, i, explainer=name, metric=f"normalised(metric='{SRG}', randoms=16, beam=1, width=5)", parts=parts)
        for name, each in values.items()
        for i, parts in enumerate((float(v), 0.0, 40.0) for v in each)
    ]
    text = Page(report_of(run_of(tmp_path / "run", [*records_of(values), *best]))).text
    assert "best order found by search (40.0)" in text
    assert told not in text
    unordered = "evidence(by=token)"
    assert "measure it with" not in Page(report_of(run_of(tmp_path / "x", records_of(values, metric=unordered)))).text


def test_the_band_of_random_scores_has_edges(shown: str):
    assert shown.count('class="edge"') == 2 * shown.count('class="band"') == 2 * len(MEANS)


def test_outputs_of_a_text_are_shown_one_by_one(tmp_path: Path):
    values = values_of(12, **MEANS)
    records = [one for target in (0, 1) for one in records_of(values, target=target)]
    page = Page(report_of(run_of(tmp_path / "run", records))).text
    assert "n = 24 texts" in page
    assert "id 3 [1]" in page


def test_a_number_of_texts_that_was_chosen_by_looking_is_doubted(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of(values_of(12, **MEANS)))
    look = {"texts": 12, "level": 0.95, "width": 1.0, "planned": True}
    until = {"fingerprint": "d", "until": 2.0, "split_texts": 40, "planned": 1, "looks": [look], "ended": "narrow"}
    Store(run).change_manifest(lambda manifest: manifest.update(until={"planted": {**until, "leading": []}}))
    page = Page(report_of(run)).text
    assert "The number of texts was chosen by looking: these intervals and tests are as if it had been fixed" in page
    assert "texts were added until the leading differences" in page


def test_commands_that_wrote_the_run_are_part_of_its_provenance(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of(values_of(12, **MEANS)))
    (run / "commands.jsonl").write_text(
        '{"id": "1", "command": "faithbench run --model <b>", "plan": "", "began": "2026-11-27", "version": "0.1.0"}\n'
    )
    assert "command of 2026-11-27 faithbench run --model <b> (faithbench 0.1.0)" in Page(report_of(run)).text


def test_the_files_of_the_page_are_in_the_package():
    files = {each.name for each in resources.files("faithbench.reporting").iterdir()}
    assert {"report.html.j2", "report.js", "report.css"} <= files
