"""A real browser that opens files: Debian's chromium with its chromedriver, without any network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def browser(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator["object"]:
    """A selenium driver of a headless chromium; the test is skipped where there is none.

    Any request to a network fails: nothing but files can be loaded.
    """
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    options.binary_location = program
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--window-size={width},{height}",
        "--force-device-scale-factor=1",
        *(("--force-dark-mode",) if dark else ()),
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=Service(driver))
    try:
        opened.set_page_load_timeout(60)
        # windows cannot be narrower than chromium's own frame allows: the page is told its width instead
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        yield opened
    finally:
        opened.quit()


def complaints(opened: "object") -> list[str]:
    """What the page's console has said: errors of scripts, and whatever could not be loaded."""
    return [entry["message"] for entry in opened.get_log("browser")]  # type: ignore[attr-defined]


def page(path: Path) -> str:
    """The address of a file."""
    return path.resolve().as_uri()
