"""Every page of a tower with 20 CEs, 30 queues and jobs in all states, in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from act.pages.render import ROOT
from act.storage import Store
from act.web.app import create_app
from tests.browser.browser import LOOKS, Browser, Look
from tests.browser.conftest import Visitor, actctl
from tests.seeded import SeededTower
from tests.seeded.pages import pages

MOST_BYTES = 300_000
FILES = ("/static/", "/logs/", "/files/", "<path:_>")  # in addresses of what is no page


@pytest.mark.parametrize("look", LOOKS, ids=[look.name for look in LOOKS])
def test_no_page_gives_cause_for_complaint(operator: Visitor, look: Look) -> None:
    operator.browser.look(look)
    faults: dict[str, list[str]] = {}
    for name, path in pages(operator.tower).items():
        operator.visit(path)
        if found := faults_of(operator.browser):
            faults[name] = found
    assert not faults, "\n".join(f"{name}: {fault}" for name, found in faults.items() for fault in found)


def test_no_page_is_forgotten_here(tower: SeededTower) -> None:
    urls = create_app(tower.config, tower.db, Store(tower.config.paths.store_dir)).url_map
    ours = {rule.endpoint for rule in urls.iter_rules() if rule.rule.startswith(ROOT) and "GET" in (rule.methods or ())
            and not any(part in rule.rule for part in FILES)}  # fmt: skip
    there = urls.bind("localhost")
    assert {there.match(f"{ROOT}{urlsplit(path).path}")[0] for path in pages(tower).values()} == ours


@pytest.mark.parametrize("look", LOOKS, ids=[look.name for look in LOOKS])
def test_the_page_that_stands_alone_is_as_good(
    browser: Browser, tower: SeededTower, tmp_path: Path, look: Look
) -> None:
    tower.freshen()
    actctl(tower, "report", "--html", str(tmp_path / "report.html"))
    browser.look(look)
    browser.go(f"file://{tmp_path}/report.html")
    assert "things need somebody now" in browser.text("main")
    assert faults_of(browser) == []


def faults_of(browser: Browser) -> list[str]:
    """What is wrong with the page that is shown."""
    found = [*browser.complaints(), *browser.harm(), *browser.barriers()]
    if (size := browser.size()) > MOST_BYTES:
        found.append(f"{size} bytes")
    if too_wide := browser.overflow():
        found.append(f"{too_wide} px wider than the window")
    return found
