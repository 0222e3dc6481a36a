"""Somebody who looks at the pages with a browser that knows forms, but no scripts."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from act import keys
from act.config import CoreConfig, load_core
from act.db import logins
from act.db.engine import Database
from act.pages.render import ROOT
from act.storage import Store
from act.web.app import create_app

_HIDDEN = re.compile(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">')


def serve(file: Path, db: Database, pages: str = "open") -> Flask:
    """The web server's app for a tower's configuration."""
    text = re.sub(r"<web>(<pages>\w+</pages>)?|</config>", _with(pages), file.read_text(), count=1)
    file.write_text(text)
    config: CoreConfig = load_core(file)
    keys.make_secret(config.web.secret_file)
    return create_app(config, db, Store(config.paths.store_dir))


def _with(pages: str) -> Any:
    wanted = f"<pages>{pages}</pages>"
    return lambda found: f"<web>{wanted}" if found[0].startswith("<web>") else f"<web>{wanted}</web>{found[0]}"


class Visitor:
    """A browser. name "": a stranger."""

    def __init__(self, app: Flask, db: Database, name: str = "", *, operator: bool = False) -> None:
        self.client: FlaskClient = app.test_client()
        if name:
            code = db.run("t", lambda c: logins.make(c, name, operator=operator, for_s=60))
            answer = self.client.post(f"{ROOT}/login", data={"code": code})
            assert answer.status_code == 303, answer.text

    def ask(self, path: str, **more: Any) -> TestResponse:
        """A page, whatever comes of it."""
        return self.client.get(f"{ROOT}{path}", **more)

    def see(self, path: str) -> str:
        """The words of a page: what is there for people, without markup."""
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        return words(answer.text)

    @property
    def csrf(self) -> str:
        """What forms must bring back, as the pages have it."""
        return dict(_HIDDEN.findall(self.ask("/users").text)).get("csrf", "")

    def send(self, path: str, csrf: str | None = None, headers: Any = None, **fields: Any) -> TestResponse:
        """A form; csrf None: the right one."""
        wanted = {"csrf": self.csrf if csrf is None else csrf, **fields}
        return self.client.post(f"{ROOT}{path}", data=wanted, headers=headers or {})

    def confirm(self, answer: TestResponse, path: str) -> TestResponse:
        """Press the button of a page that asks whether one is sure."""
        form = answer.text[answer.text.rindex('class="act"') :]
        fields: dict[str, list[str]] = {}
        for name, value in _HIDDEN.findall(form):
            fields.setdefault(name, []).append(html.unescape(value))
        assert fields.get("sure") == ["1"], answer.text
        return self.client.post(f"{ROOT}{path}", data=fields)


def words(page: str) -> str:
    """What people read."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<main")[2])).split())
