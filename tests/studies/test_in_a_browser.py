"""A study from one end to the other: a page that is opened, rated by pointer and by keyboard, saved and read."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from browser import browser, complaints, page
from studies import a_text, run_with_texts

import faithbench
from faithbench.shown import visible
from faithbench.studies.key import QUESTIONS, read_key
from faithbench.studies.questionnaire import orders

pytestmark = pytest.mark.slow
HOSTILE = (
    """</script><script>document.title='broken'</script><img/src=x/onerror="document.title='broken'">'"&\u202e\x1b"""
)
NAMES = (f'">{HOSTILE}', "{{ 7 * 7 }}")
DRAWN = np.random.default_rng(0).integers(1, 6, (2, 4, 3, 2))
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"


@pytest.fixture
def made(tmp_path):
    texts = [a_text(f"t{i}", ["the", HOSTILE, "club", f"number {i}", "]]>", "<!--"], i % 2) for i in range(4)]
    said = [i % 2 for i in range(4)]
    run = run_with_texts(tmp_path / "run", texts, {"conv-x": said, "bcos-x": said}, NAMES)
    return faithbench.make_study([run], items=4, raters=2)


def wanted(key, rater, name, question):
    """The rating that this rater is to give."""
    (text, method), *_ = [
        (i, item["explanations"].index(name)) for i, item in enumerate(key["items"]) if name in item["explanations"]
    ]
    return int(DRAWN[rater - 1, text, method, QUESTIONS.index(question)])


def begin(opened, made, rater):
    opened.get(page(made.page))
    find(opened, f"#rater option[value='{rater}']").click()
    find(opened, "#consent").click()
    find(opened, "#begin button").click()


def find(opened, place):
    return opened.find_element("css selector", place)


def shown(opened, place):
    return [one for one in opened.find_elements("css selector", place) if one.is_displayed()]


def rate_by_pointer(opened, key, rater):
    for field in shown(opened, "article fieldset"):
        number = wanted(key, rater, field.get_attribute("data-explanation"), field.get_attribute("data-question"))
        field.find_element("css selector", f"button[value='{number}']").click()


def rate_by_keyboard(opened, key, rater):
    for _ in shown(opened, "article fieldset"):
        field = opened.switch_to.active_element
        number = wanted(key, rater, field.get_attribute("data-explanation"), field.get_attribute("data-question"))
        field.send_keys(str(number))


def saved(opened, folder: Path):
    """The text of the answers as it can be copied, which is also the file that is saved."""
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    find(opened, "#download").click()
    (path,) = wait_for(folder, "answers-*.json")
    assert path.read_text() == find(opened, "#copy").get_attribute("value")
    return path


def wait_for(folder: Path, pattern: str):
    for _ in range(100):
        found = list(folder.glob(pattern))
        if found and found[0].stat().st_size:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} in {folder}")


def test_from_the_run_to_the_result(made, tmp_path):
    key, files = read_key(made.page.parent), []
    for rater, rate in ((1, rate_by_pointer), (2, rate_by_keyboard)):
        folder = tmp_path / f"saved{rater}"
        folder.mkdir()
        with browser() as opened:
            begin(opened, made, rater)
            for name, *_ in orders(key)[rater - 1]:
                assert shown(opened, "article")[0].get_attribute("id") == f"t{name}"
                assert find(opened, "#answer").text in {visible(known) for known in NAMES}
                rate(opened, key, rater)
                find(opened, "#next").click() if rater == 1 else opened.switch_to.active_element.send_keys(RIGHT)
            assert find(opened, "#ended").text == "Thank you, everything is rated"
            files.append(saved(opened, folder))
            assert opened.title == "Rate explanations"
            assert complaints(opened) == []
    results = faithbench.read_study(made.page.parent, files)
    for one in results.means:
        assert one.value == pytest.approx(DRAWN[:, :, one.method, QUESTIONS.index(one.question)].mean())
    assert [len(results.ratings.of[question]) for question in QUESTIONS] == [2, 2]


def test_progress_is_kept_and_files_are_taken_up_again(made, tmp_path):
    with browser(400, 800) as opened:
        begin(opened, made, 2)
        first = shown(opened, "article")[0].get_attribute("id")
        opened.switch_to.active_element.send_keys("4")
        opened.switch_to.active_element.send_keys("2")
        begin(opened, made, 2)  # a reload
        assert shown(opened, "article")[0].get_attribute("id") == first
        pressed = [one.get_attribute("value") for one in shown(opened, "button[aria-pressed='true']")]
        assert pressed == ["4", "2"]
        assert find(opened, "#told").text.startswith("2 of 24 ratings, kept in this browser")
        find(opened, "#finish").click()
        assert find(opened, "#ended").text == "Not everything is rated yet"
        path = saved(opened, tmp_path)
        opened.execute_script("localStorage.clear()")
        opened.get(page(made.page))
        find(opened, "#load").send_keys(str(path))
        find(opened, "#loaded").is_displayed()
        until(lambda: find(opened, "#loaded").text == "2 of 24 ratings of number 2 are loaded.")
        find(opened, "#consent").click()
        find(opened, "#begin button").click()
        assert len(shown(opened, "button[aria-pressed='true']")) == 2
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 400


def test_a_file_of_another_study_is_not_taken(made, tmp_path):
    own = {"format": 1, "study": made.name, "rater": 1, "consent": True, "answers": {}}
    bad = {
        "another study": own | {"study": "0"},
        "no number": own | {"rater": 3},
        "what is not asked": own | {"answers": {"__proto__": {"agreement": 1}}},
        "holds no ratings": [],
    }
    with browser() as opened:
        opened.get(page(made.page))
        for word, answers in bad.items():
            path = tmp_path / f"{word}.json"
            path.write_text(json.dumps(answers))
            find(opened, "#load").send_keys(str(path))
            until(lambda word=word: word in find(opened, "#loaded").text)
        assert complaints(opened) == []


def test_arrows_go_between_questions_and_texts_and_change_no_rating(made):
    with browser() as opened:
        begin(opened, made, 1)
        fields = shown(opened, "article fieldset")
        fields[0].find_element("css selector", "button[value='3']").click()
        opened.switch_to.active_element.send_keys(DOWN, DOWN)
        assert opened.switch_to.active_element == fields[1] or opened.switch_to.active_element == fields[2]
        opened.switch_to.active_element.send_keys(UP)
        opened.switch_to.active_element.send_keys(RIGHT)
        assert find(opened, "#place").text == "Text 2 of 4"
        opened.switch_to.active_element.send_keys(LEFT)
        assert find(opened, "#place").text == "Text 1 of 4"
        assert [one.get_attribute("value") for one in shown(opened, "button[aria-pressed='true']")] == ["3"]


def test_a_browser_that_keeps_nothing_is_said_to(made):
    with browser() as opened:
        opened.get(page(made.page))
        opened.execute_script("Storage.prototype.setItem = () => { throw new Error('full') }")
        find(opened, "#rater option[value='1']").click()
        find(opened, "#consent").click()
        find(opened, "#begin button").click()
        shown(opened, "article button")[0].click()
        assert "this browser keeps nothing, so save them before you close it" in find(opened, "#told").text
        assert complaints(opened) == []
        opened.execute_script("window.onbeforeunload = null")


def until(is_so):
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to be")
