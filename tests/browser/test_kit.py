"""The tests of pages would notice: what a page must not have is found, and the browser stays on this machine."""

from __future__ import annotations

import pytest
from selenium.common.exceptions import WebDriverException

from tests.browser.browser import DARK, PHONE, Browser
from tests.seeded import names

BAD = f"""data:text/html,<title>x</title><h1 onclick="1">text<img src="x:y"><script>{names.MARK}</script>
<a href="javascript:{names.MARK}">link</a><div style="width:1000px">wide</div><script>console.error('oh')</script>
<p><b>run</b></p><style>@media (prefers-color-scheme: dark) {{ b {{ display: none }} }}</style>"""


def test_what_a_page_must_not_have_is_found(browser: Browser) -> None:
    browser.look(PHONE)
    browser.go(BAD)
    assert any("oh" in line for line in browser.complaints())
    assert browser.complaints() == []
    harm = " ".join(browser.harm())
    assert all(part in harm for part in ("a script of the data ran", "<h1 onclick", "<a href", "<script"))
    assert {line.split()[0] for line in browser.barriers()} >= {"html-has-lang", "image-alt"}
    assert browser.overflow() > 500
    assert "run" in browser.text("p")
    browser.look(DARK)
    assert (browser.overflow(), browser.text("p")) == (0, "")


def test_without_scripts_none_runs(browser: Browser) -> None:
    with browser.without_scripts():
        browser.go("data:text/html,<title>still</title><script>document.title = 'ran'</script>")
        assert browser.driver.title == "still"


def test_the_browser_reaches_nothing_but_this_machine(browser: Browser) -> None:
    with pytest.raises(WebDriverException, match="ERR_NAME_NOT_RESOLVED"):
        browser.go("http://www.example.org/")
