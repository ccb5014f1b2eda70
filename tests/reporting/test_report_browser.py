"""A report in a real browser: sorted, filtered, searched, drilled into; by keyboard, without a script, on paper."""

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from browser import browser, complaints, page
from records import run_of
from reports import RANDOM, keep_texts, records_of, text_of, values_of

import faithbench

pytestmark = pytest.mark.slow
A, B = "occlusion(window=1, baseline=mask, contrastive=False)", "saliency(contrastive=False)"
EVIL = """</script><script>document.title='broken'</script><img src=x onerror="document.title='broken'">'"&"""
N = 30


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two models, in whose texts, classes and names of explainers there are scripts."""
    folder = tmp_path_factory.mktemp("run") / "run"
    values = values_of(N, **{A: 20.0, B: 12.0, EVIL: 6.0, RANDOM: 0.0})
    records = [one for model in ("conv-tiny(seed=42)", "zz(seed=1)") for one in records_of(values, model=model)]
    run = run_of(folder, records)
    texts = [text_of(str(i), f"a number{i} superb {EVIL} film", label=i % 2, mark="superb") for i in range(N)]
    keep_texts(
        run, texts, [A, B, EVIL, RANDOM], lambda name, text: np.arange(len(text)) - len(name) % 5.0, ("dull", EVIL)
    )
    return faithbench.report([run], run / "report.html")


@pytest.fixture(scope="module")
def opened(file: Path):
    with browser() as driver:
        yield driver


@pytest.fixture
def shown(opened, file: Path):
    opened.get("about:blank")
    opened.get(page(file))
    yield opened
    assert complaints(opened) == []
    assert "believed" in opened.title


def texts_of(shown, what: str) -> list[str]:
    return [each.text for each in shown.find_elements("css selector", what) if each.is_displayed()]


def numbers(shown) -> list[int]:
    return [int(name.split()[1]) for name in texts_of(shown, "#s1 details.text .number")]


def choose(shown, what: str, value: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(shown.find_element("css selector", what)).select_by_value(value)
    settle(shown)


def settle(shown) -> None:
    """Waits until the page has answered what it was told."""
    shown.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 100));")


def press(shown, *keys: str) -> None:
    shown.switch_to.active_element.send_keys(*keys)
    settle(shown)


def test_the_first_screen_holds_the_verdict_and_the_plot(shown):
    place = shown.execute_script("return document.querySelector('#s1 .dots').getBoundingClientRect().bottom")
    assert place <= 900
    assert texts_of(shown, "h1")[0].startswith("Trust occlusion, the best (better than random by ")
    assert texts_of(shown, "#s1 .rest")[0].startswith("saliency and ")
    assert len(texts_of(shown, "#s1 .badges li")) == 5


def test_a_click_on_a_heading_sorts_and_another_turns_it(shown):
    def means() -> list[float]:
        cells = shown.find_elements("css selector", "#s1 .main-table tbody tr td:nth-child(2)")
        return [float(each.get_attribute("data-value")) for each in cells]

    heading = shown.find_element("css selector", "#s1 .main-table th:nth-child(2)")
    heading.find_element("tag name", "button").click()
    assert means() == sorted(means(), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.find_element("tag name", "button").click()
    assert means() == sorted(means())
    assert heading.get_attribute("aria-sort") == "ascending"
    shown.find_element("css selector", "#s1 .main-table th:first-child button").click()
    names = texts_of(shown, "#s1 .main-table tbody th")
    assert names == sorted(names)


def test_search_and_filter_leave_the_texts_that_fit(shown):
    assert len(numbers(shown)) == N
    shown.find_element("css selector", "#s1 .search").send_keys("NUMBER7")
    settle(shown)
    assert numbers(shown) == [7]
    assert texts_of(shown, "#s1 output.count") == [f"1 of {N} texts"]
    shown.find_element("css selector", "#s1 .search").clear()
    press(shown, " ")
    choose(shown, "#s1 .filter", "wrong")
    wrong = [i for i in range(N) if i % 2 != int(i % 5 > 0)]
    assert numbers(shown) == wrong
    choose(shown, "#s1 .filter", "=dull")
    assert numbers(shown) == [i for i in range(N) if i % 5 == 0]


def test_texts_are_put_in_the_order_of_the_best_explainers_values(shown):
    choose(shown, "#s1 .order", "value")
    values = [
        float(each.get_attribute("data-value")) for each in shown.find_elements("css selector", "#s1 details.text")
    ]
    assert values == sorted(values)
    choose(shown, "#s1 .order", "number")
    assert numbers(shown) == list(range(N))


def test_text_17_is_reached_by_its_number_and_says_what_was_named(shown):
    shown.find_element("css selector", "#s1 .jump").send_keys("17\n")
    settle(shown)
    text = shown.find_element("css selector", "#s1-t17")
    assert text.get_attribute("open")
    assert "occlusion names film ++" in text.text.replace("\n", " ")
    assert "number17" in text.text
    assert shown.switch_to.active_element.tag_name == "summary"
    assert 0 <= text.rect["y"] - shown.execute_script("return window.scrollY") < 300
    shown.find_element("css selector", "#s1 .jump").clear()
    shown.find_element("css selector", "#s1 .jump").send_keys("999\n")
    settle(shown)
    assert texts_of(shown, "#s1 output.count") == ["There is no text 999 here"]


def test_two_others_are_compared_and_lead_to_their_texts(shown):
    before = shown.find_element("css selector", "#s1 .bars path").get_attribute("d")
    first = texts_of(shown, "#s1 .most tbody tr")
    choose(shown, "#s1 select.b", "3")
    assert "occlusion is shown to be better than random: difference " in texts_of(shown, "#s1 .sentence")[0]
    assert shown.find_element("css selector", "#s1 .bars path").get_attribute("d") != before
    assert len(texts_of(shown, "#s1 .most tbody tr")) == 10
    choose(shown, "#s1 select.b", "1")
    assert (
        shown.find_element("css selector", "#s1 .bars path").get_attribute("d") == before
    )  # as it was drawn without it
    assert texts_of(shown, "#s1 .most tbody tr") == first
    shown.find_element("css selector", "#s1 .most tbody a").click()
    settle(shown)
    assert shown.switch_to.active_element.tag_name == "summary"


def test_one_model_is_shown_at_a_time_and_all_on_request(shown):
    assert [each.is_displayed() for each in shown.find_elements("css selector", "section.panel")] == [True, False]
    choose(shown, "#which", "s2")
    assert [each.is_displayed() for each in shown.find_elements("css selector", "section.panel")] == [False, True]
    choose(shown, "#which", "")
    assert [each.is_displayed() for each in shown.find_elements("css selector", "section.panel")] == [True, True]


def test_the_keyboard_alone_opens_a_text_and_focus_is_seen(shown):
    shown.execute_script("document.querySelector('#s1-t0 summary').focus({focusVisible: true})")
    press(shown, "\ue007")
    assert shown.find_element("css selector", "#s1-t0").get_attribute("open")
    outline = shown.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.execute_script("document.querySelector('#s1 .main-table button').focus()")
    press(shown, " ")
    assert shown.find_element("css selector", "#s1 .main-table th").get_attribute("aria-sort") == "ascending"


def test_lines_that_were_kept_short_are_the_written_ones(shown):
    shown.execute_script(
        "const one = document.querySelector('#s1-t3 .one:nth-of-type(2) .fb-line');"
        "window.wanted = one.outerHTML; const later = document.createElement('div'); later.className = 'later';"
        "later.dataset.codes = [...one.querySelectorAll('mark')].map(m => { const c = m.className.match(/([pn])(\\d)/);"
        "return c ? (c[1] === 'p' ? '1234' : 'abcd')[c[2] - 1] : '0'; }).join('');"
        "window.holder = one.parentElement; one.replaceWith(later);"
        "document.querySelector('#s1-t3').open = true;"
    )
    shown.find_element("css selector", "#s1-t3 .fb-line")
    got, wanted = shown.execute_async_script(
        "const done = arguments[0];"
        "setTimeout(() => done([window.holder.querySelector('.fb-line').outerHTML, window.wanted]), 200)"
    )
    assert got.replace(' class=""', "") == wanted


def test_a_telephone_is_not_overrun(file: Path):
    with browser(400, 800) as driver:
        driver.get(page(file))
        driver.execute_script("document.querySelector('#s1-t17').open = true")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
        assert complaints(driver) == []


def test_without_a_script_everything_is_there(file: Path):
    with browser() as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(page(file))
        assert [each.is_displayed() for each in driver.find_elements("css selector", "section.panel")] == [True, True]
        assert not driver.find_element("css selector", "#s1 .find").is_displayed()
        driver.find_element("css selector", "#s1-t17 summary").click()
        assert "occlusion names film ++" in driver.find_element("css selector", "#s1-t17").text.replace("\n", " ")


def test_it_can_be_printed(shown):
    paper = b64decode(shown.print_page())
    assert paper.startswith(b"%PDF")
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not shown.find_element("css selector", "#s1 .find").is_displayed()
    assert shown.find_element("css selector", "#s1 .dots").is_displayed()
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_paper_holds_every_section_and_text_whatever_is_chosen_on_the_screen(shown):
    def state() -> tuple[list[bool], int, int]:
        panels = [each.is_displayed() for each in shown.find_elements("css selector", "section.panel")]
        texts = [each.is_displayed() for each in shown.find_elements("css selector", "details.text .facts")]
        return panels, sum(texts), len(shown.find_elements("css selector", "details[open]"))

    shown.find_element("css selector", "#s1 .search").send_keys("number7")
    shown.execute_script("document.querySelector('#s1-t7').open = true")
    settle(shown)
    before = state()
    assert before == ([True, False], 1, 1)
    shown.execute_script("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('beforeprint'))")
    settle(shown)
    every = len(shown.find_elements("css selector", "details"))
    assert state() == ([True, True], 2 * N, every)
    shown.execute_script("dispatchEvent(new Event('afterprint'))")
    settle(shown)
    assert state() == before
    assert numbers(shown) == [7]


def test_closed_texts_are_printed_without_a_script(file: Path):
    with browser() as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(page(file))
        facts = driver.find_element("css selector", "#s2-t17 .facts")
        assert not driver.execute_script("return arguments[0].checkVisibility()", facts)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert driver.execute_script("return arguments[0].checkVisibility()", facts)
        assert facts.rect["height"] > 0


@pytest.mark.parametrize("anchor", ["%E0%A4%A", "%", "<script>", "s1-t17%00", "__proto__", ""])
def test_a_link_that_leads_nowhere_breaks_nothing(anchor: str, shown, file: Path):
    shown.get("about:blank")
    shown.get(f"{page(file)}#{anchor}")
    shown.find_element("css selector", "#s1 .jump").send_keys("17\n")
    settle(shown)
    assert shown.find_element("css selector", "#s1-t17").get_attribute("open")
