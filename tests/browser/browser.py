"""A headless Chromium that reaches nothing but this machine, and what it says of a page."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.services.process import Watchdog, find

T = TypeVar("T")
PATIENCE_S = 60
# --remote-debugging-pipe: the browser ends with its driver.
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-sync", "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--no-first-run",
    "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    "--remote-debugging-pipe", "--force-device-scale-factor=1", "--hide-scrollbars", "--lang=en",
)  # fmt: skip
HARM = """
const handlers = [...document.querySelectorAll('*')].filter(e => e.getAttributeNames().some(n => n.startsWith('on')));
const scripts = [...document.querySelectorAll('script')].filter(s => new URL(s.src || 'x:').origin !== location.origin);
const links = [...document.querySelectorAll('[href], [action]')].filter(
  e => !['http:', 'https:', location.protocol].includes(
    new URL(e.getAttribute('href') || e.getAttribute('action'), location.href).protocol));
return [window.injected ? 'a script of the data ran' : null,
        ...[...handlers, ...scripts, ...links].map(e => e.outerHTML.slice(0, 200))].filter(x => x);
"""
AXE = "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(done, error => done(String(error)))"


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    name: str
    width: int
    height: int
    scheme: str


LIGHT = Look("light", 1280, 900, "light")
DARK = Look("dark", 1280, 900, "dark")
PHONE = Look("phone", 390, 844, "light")
LOOKS = (LIGHT, DARK, PHONE)


class Browser:
    """One window; a context manager."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="act-browser-"))
        options = ChromeOptions()
        options.binary_location = str(find("chromium"))
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for switch in (*SWITCHES, f"--user-data-dir={self._profile}"):
            options.add_argument(switch)
        service = Service(str(find("chromedriver")))
        self.driver = Chrome(options=options, service=service)
        self._watchdog = Watchdog(service.process.pid, self._profile)
        self.driver.set_page_load_timeout(PATIENCE_S)
        self.driver.set_script_timeout(PATIENCE_S)

    @staticmethod
    def missing() -> str | None:
        """Why there can be no browser here; None if nothing is missing."""
        wanted = [name for name in ("chromium", "chromedriver") if find(name) is None]
        wanted += [] if _axe_file() else ["axe-core"]
        return f"no {', '.join(wanted)}: run tests/setup.sh" if wanted else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.dismiss()
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def look(self, how: Look) -> None:
        """From now on pages are seen so."""
        size = {"width": how.width, "height": how.height, "deviceScaleFactor": 1, "mobile": False}
        self._cdp("Emulation.setDeviceMetricsOverride", **size)
        self._cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": how.scheme}])

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """As for people who have switched JavaScript off."""
        self._cdp("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self._cdp("Emulation.setScriptExecutionDisabled", value=False)

    def forget(self) -> None:
        """Cookies, the page, and what the console has said."""
        self._cdp("Network.clearBrowserCookies")
        self.go("about:blank")
        self.complaints()

    def go(self, url: str) -> None:
        """Load a page; what the console said before is forgotten."""
        self.complaints()
        self.driver.get(url)

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked: errors of scripts, violations of the policy, failed
        requests."""
        said = self.driver.execute("getLog", {"type": "browser"})["value"]
        return [entry["message"] for entry in said if entry["level"] in ("SEVERE", "WARNING")]

    def harm(self) -> list[str]:
        """What of the page could run a script that is not one of our files."""
        found: list[str] = self.driver.execute_script(HARM)
        return found

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps people from using the page, serious or worse."""
        file = _axe_file()
        assert file is not None
        self.driver.execute_script(file.read_text())
        found: Any = self.driver.execute_async_script(AXE)
        assert isinstance(found, dict), found
        return [
            f"{v['id']} ({v['impact']}): {node['html'][:200]}: {node['failureSummary']}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"][:3]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return int(self.driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth"))

    def size(self) -> int:
        """Bytes of the page itself, as it came."""
        return int(self.driver.execute_script("return performance.getEntriesByType('navigation')[0].encodedBodySize"))

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A PNG of the page, of all of it or of what the window shows."""
        size = self._cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        how = {"captureBeyondViewport": True, "clip": clip} if whole else {}
        path.write_bytes(base64.b64decode(self._cdp("Page.captureScreenshot", format="png", **how)["data"]))

    def text(self, selector: str = "body") -> str:
        """The visible text of the first element that a CSS selector finds; "" without any."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found[0].text if found else ""

    def count(self, selector: str) -> int:
        """How many elements a CSS selector finds."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def cookies(self) -> list[dict[str, Any]]:
        """All that the page's server has set, with their attributes."""
        found: list[dict[str, Any]] = self.driver.get_cookies()
        return found

    def press(self, words: str, *, last: bool = False) -> None:
        """The first (or last) button that begins with these words; goes on when the page is gone."""
        buttons = f"//button[starts-with(normalize-space(.), {json.dumps(words)})]"
        found = self._wait(lambda: self.driver.find_elements(By.XPATH, buttons))
        page = self._page()
        found[-1 if last else 0].click()
        self._wait(lambda: self._page() != page)

    def fill(self, name: str, value: str, *, within: str = "main") -> None:
        """The first field of that name in an element of the page, or the element itself."""
        field = self.driver.find_element(
            By.CSS_SELECTOR, f'{within}[name="{name}"], {within} [name="{name}"]:not([type="hidden"])'
        )
        if field.tag_name == "select":
            Select(field).select_by_value(value)
        else:
            field.clear()
            field.send_keys(value)

    def keys(self, keys: str) -> None:
        """Press keys of the keyboard."""
        ActionChains(self.driver).send_keys(keys).perform()

    def wait_for(self, text: str) -> None:
        """Until the page says it."""
        self._wait(lambda: text in self.text("main"))

    def _wait(self, ready: Callable[[], T]) -> T:
        """Until that is true; its answer."""
        found: T = WebDriverWait(self.driver, PATIENCE_S).until(lambda _: ready())
        return found

    def _page(self) -> str:
        """What tells a page from the one that was loaded before it, also at the same address."""
        return str(self._cdp("Page.getFrameTree")["frameTree"]["frame"]["loaderId"])

    def _cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)


def _axe_file() -> Path | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "act-tests"
    return next(iter(sorted(cache.glob("axe-core-*/axe.min.js"), reverse=True)), None)
