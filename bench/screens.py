"""Pictures of all pages, light, dark and on a phone: ``python -m bench.screens DIR``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from act.pages.render import ROOT
from tests.browser.browser import LOOKS, Browser
from tests.integration.web_server import WebServer
from tests.seeded import SeededTower, Size
from tests.seeded.pages import pages


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.screens", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--hostile", action="store_true", help="some names and texts are of people who mean harm")
    parser.add_argument("--operator", action="store_true", help="as somebody who may change things")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="act-screens-") as name:
        url = f"sqlite:///{name}/act.db"
        tower = SeededTower(Path(name), url, Size(options.jobs), hostile=options.hostile, web="<pages>open</pages>")
        with WebServer(tower.file, Path(), **tower.environment) as server, Browser() as browser:
            if options.operator:
                browser.go(f"{server.url}{ROOT}{tower.login_link(operator=True)}")
                browser.press("Log in")
            for page, path in pages(tower).items():
                tower.freshen()
                for look in LOOKS:
                    browser.look(look)
                    browser.go(f"{server.url}{ROOT}{path}")
                    browser.picture(options.directory / f"{page.replace(' ', '-')}-{look.name}.png")
        tower.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
