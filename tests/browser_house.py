"""A real Chromium on the demo page; what it shows is kept in `out/screenshots`."""

import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

SCREENSHOTS = Path(__file__).parents[1] / "out" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]
#: for a browser, a server and a model that share one slow core
PATIENCE_MS = 60_000

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


# not for the session: while it is open, no other test could run an event loop
@pytest.fixture(scope="module")
def chromium():
    """One browser for the tests of a module."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed (on Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open pages; each has its own storage unless it is given a context. No script may fail."""
    contexts, problems = [], []

    def open_one(url, context=None, **options):
        if context is None:
            context = chromium.new_context(**{"viewport": DESKTOP} | options)
            context.set_default_timeout(PATIENCE_MS)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.extend(_policy_breach(message)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


def _policy_breach(message):
    return [message.text] if "Content Security Policy" in message.text else []


def keep_screenshot(page, name):
    """Save the whole page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def check_accessible(page):
    """Hold the page as it stands against axe's rules, all of them."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def state(page, status):
    """Return the stage's line about a job of this status."""
    return page.locator(f"#state[data-status={status}]")
