"""The pages for operators: overview, errors, logging in, and those of the other modules. Thin: parse, read, show."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from act.client.identity import Forbidden, Gate, Unauthorised
from act.config import CoreConfig
from act.db.engine import Database
from act.errors import SourceUnreachable
from act.pages import errors, overview
from act.pages.render import asset
from act.storage import Store
from act.web.access import Access
from act.web.desk import Desk
from act.web.pages_jobs import Jobs
from act.web.pages_places import Places, applications

ASSETS = {"act.css": "text/css", "act.js": "text/javascript", "act.svg": "image/svg+xml"}
KEPT_S = 300  # by browsers


def install(app: Flask, config: CoreConfig, db: Database, gate: Gate, store: Store) -> None:
    """Add all pages to the app."""
    desk = Desk(config, db, Access(config, db, gate))
    Front(desk)
    Places(desk)
    Jobs(desk, store)
    desk.install(app)


class Front:
    """Its public methods are views."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.get("", self.overview)
        desk.get("/errors", self.errors)
        desk.get("/login", self.enter, public=True)
        desk.post("/login", self.login, public=True)
        desk.post("/logout", self.logout)
        desk.get("/static/<name>", self.static, public=True)

    def overview(self) -> Response:
        """Is all well?"""
        span = overview.SPANS.get(request.args.get("span", ""), overview.SPANS[overview.USUAL])
        found = self._desk.read(lambda c, moment: overview.read(c, moment, applications(), span))
        return self._desk.show("overview.html", found, live=True, spans=overview.SPANS)

    def errors(self) -> Response:
        """Errors by their causes."""
        wanted = errors.Wanted.of(request.args.get("kind", ""), request.args.get("since", ""))
        return self._desk.show("errors.html", self._desk.read(lambda c, m: errors.read(c, m, wanted)), wanted=wanted)

    def enter(self) -> Response:
        """The form, by a link or without. A link is used by the form only, so that no look ahead uses it up."""
        return self._form(code=request.args.get("code", "")[:100])

    def login(self) -> Response:
        """By a link's code, or by a token."""
        code, token = request.form.get("code", ""), request.form.get("token", "")
        try:
            found = self._desk.access.by_link(code) if code else self._desk.access.by_token(token)
        except (Unauthorised, Forbidden, SourceUnreachable) as error:
            return self._form(problem=str(error), status=403)
        response = self._desk.redirect("")
        self._desk.access.admit(request, response, found)
        return response

    def _form(self, *, code: str = "", problem: str = "", status: int = 200) -> Response:
        return self._desk.show("login.html", status=status, code=code, problem=problem)

    def logout(self) -> Response:
        """The session ends."""
        response = self._desk.redirect("/login")
        self._desk.access.dismiss(request, response)
        return response

    def static(self, name: str) -> Response:
        """Style, script and picture of all pages."""
        if name not in ASSETS:
            raise NotFound("There is no such file.")
        response = Response(asset(name), content_type=f"{ASSETS[name]}; charset=utf-8")
        response.headers["Cache-Control"] = f"max-age={KEPT_S}"
        return response
