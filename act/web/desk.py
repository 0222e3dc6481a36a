"""What all pages share: reading one snapshot, showing a template, who may look and who may act, errors as pages.

Their policy allows no script, style or form target but our own, and no page in a frame.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, g, request
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from act.client.identity import Forbidden
from act.config import CoreConfig
from act.db.engine import Database
from act.errors import ActError
from act.explain.moment import Moment
from act.pages.render import ROOT, render
from act.web import errors
from act.web.access import STRANGER, Access, Reader

log = logging.getLogger(__name__)
T = TypeVar("T")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
View = Callable[..., Response]


class Desk:
    """Makes views of functions that answer with `show`, `redirect` or a download, and raise errors to be shown."""

    def __init__(self, config: CoreConfig, db: Database, access: Access) -> None:
        self.config, self.db, self.access = config, db, access
        self.root = ROOT
        self._blueprint = Blueprint("pages", __name__)
        self._blueprint.register_error_handler(Exception, self._failed)
        self._blueprint.after_request(_armour)

    def install(self, app: Flask) -> None:
        """Make the pages part of an app, when all views are known."""
        self._blueprint.add_url_rule("/", "root", lambda: self.redirect(""))
        self._blueprint.add_url_rule(f"{ROOT}/<path:_>", "nowhere", _nowhere)
        app.register_blueprint(self._blueprint)

    # -- views --------------------------------------------------------------------------------------------------

    def get(self, path: str, view: View, *, public: bool = False) -> None:
        """A page to look at; public: everybody may, always, and is a stranger there."""
        self._add(path, view, "GET", public)

    def post(self, path: str, view: View, *, public: bool = False) -> None:
        """A form. Only those of a page of the reader's session get through; public: there is no session yet."""
        self._add(path, view, "POST", public)

    def _add(self, path: str, view: View, method: str, public: bool) -> None:
        def guarded(**values: Any) -> Response:
            g.reader = reader = STRANGER if public else self.access.reader(request)
            if not public and reader is STRANGER and (method == "POST" or self.access.must_log_in):
                return self.redirect("/login")
            if method == "POST":
                self.access.check_origin(request) if public else self.access.check_form(request, reader)
            return view(**values)

        self._blueprint.add_url_rule(f"{ROOT}{path}", f"{method} {path}", guarded, methods=[method])

    @property
    def reader(self) -> Reader:
        """Who has sent this request."""
        found: Reader = g.get("reader", STRANGER)
        return found

    @property
    def is_operator(self) -> bool:
        """Whether they may change things, and see what belongs to others."""
        return self.reader.operator

    def operator(self) -> str:
        """Who acts, as events tell it: ``operator-<name>``. Raises Forbidden for who may not."""
        if not self.is_operator:
            raise Forbidden("This is for operators: log in as one ('actctl web login --operator' on a tower's host)")
        return f"operator-{self.reader.name}"[:100]

    # -- work ---------------------------------------------------------------------------------------------------

    def read(self, work: Callable[[Connection, Moment], T]) -> T:
        """What ``work`` reads of one moment."""

        def at_a_moment(connection: Connection) -> T:
            moment = Moment.read(connection, self.config, None, None)
            g.moment = moment.now
            return work(connection, moment)

        return self.db.snapshot("page", at_a_moment)

    def write(self, label: str, work: Callable[[Connection], T]) -> T:
        """What ``work`` changes, in one transaction."""
        return self.db.run(label, work)

    # -- answers ------------------------------------------------------------------------------------------------

    def show(self, template: str, model: object = None, *, status: int = 200, **context: Any) -> Response:
        """A page; the templates' common context comes from here."""
        section = request.path.removeprefix(ROOT).partition("/")[2].partition("/")[0]
        here = f"/{section}" if section else ""
        given = {"now": g.get("moment", time.time()), "operator": self.is_operator, "who": self.reader.name,
                 "csrf": self.reader.csrf, "here": here, **context}  # fmt: skip
        return Response(render(template, m=model, **given), status, content_type="text/html; charset=utf-8")

    def redirect(self, path: str) -> Response:
        """To another page, with GET."""
        return Response("", 303, {"Location": f"{self.root}{path}"})

    def _failed(self, error: Exception) -> Response:
        if type(error) is ActError:  # what somebody has filled in makes no sense; all else has a kind of its own
            return self._problem(400, str(error))
        what = errors.told(error)
        if what.status == 500:
            log.error("%s: %s %s", g.request_id, request.method, ascii(request.path), exc_info=error)
        return self._problem(what.status, what.detail)

    def _problem(self, status: int, text: str) -> Response:
        return self.show("error.html", status=status, title=errors.title(status), text=text)


def _nowhere(_: str) -> Response:
    raise NotFound("There is no such page.")


def _armour(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "same-origin"  # with no-referrer a browser's form has the origin "null"
    return response
