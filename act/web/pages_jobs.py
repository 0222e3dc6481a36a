"""Pages of jobs: the search, one job with its logs, and what operators do to jobs. Thin: parse, read, show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlencode

from flask import Response, request
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from act.control.jobs import Filter, Verb
from act.db import results, survey
from act.errors import ActError, OutputMissing, StorageUnavailable
from act.explain.moment import Moment
from act.model import PublishedLogs
from act.pages import acting, archived, job, jobs
from act.pages.job import JobPage
from act.pages.jobs import FIELDS, LONGEST, Search
from act.storage import Store, result_name
from act.web.desk import Desk
from act.web.downloads import as_text
from act.web.pages_places import applications

STEPS = 200  # of a history
ACTION_FIELDS = (*FIELDS, "verb", "value", "place", "why", "all")


class Jobs:
    """Its public methods are views. store: where results are."""

    def __init__(self, desk: Desk, store: Store) -> None:
        self._desk, self._store = desk, store
        desk.get("/jobs", self.find)
        desk.get("/jobs/<name>", self.one)
        desk.get("/jobs/<name>/logs/<file>", self.log)
        desk.get("/jobs/<name>/files/<int:attempt>/<path:file>", self.file)
        desk.get("/archive", self.archive)
        desk.post("/jobs/act", self.act)

    def find(self) -> Response:
        """A search, and the page of jobs that it finds."""
        typed, cursor = {name: request.args.get(name, "") for name in FIELDS}, request.args.get("from", "")
        try:
            search = Search.of(typed)
            names = search.wanted.names
            if len(names) == 1 and len(search.fields) == 1 and job.NAME.fullmatch(names[0]):
                return self._desk.redirect(f"/jobs/{names[0]}")
            return self._listed(search, cursor)
        except ActError as error:
            return self._listed(Search(typed, Filter(), asked=False), problem=str(error))

    def _listed(self, search: Search, cursor: str = "", problem: str = "") -> Response:
        def read(connection: Connection, moment: Moment) -> tuple[jobs.Jobs, float, list[tuple[int, str]]]:
            return jobs.listing(connection, applications(), search, cursor), moment.now, _places(connection)

        found, now, places = self._desk.read(read)
        return self._desk.show(
            "jobs.html", found, now=now, problem=problem, asked=search.asked, query=urlencode(search.fields),
            places=places, verbs=acting.WORDS.items(),
        )  # fmt: skip

    def archive(self) -> Response:
        """Jobs that are over."""
        typed = {name: request.args.get(name, "")[:200] for name in ("newer", "queue", "state")}
        found = self._desk.read(lambda c, moment: archived.listing(c, moment.now, typed))
        return self._desk.show("archived.html", found, most=archived.PAGE)

    def one(self, name: str) -> Response:
        """One job, from the archive too."""

        def read(connection: Connection, moment: Moment) -> tuple[JobPage | None, list[tuple[int, str]]]:
            found = job.page(connection, moment, applications(), name, whole=self._desk.is_operator)
            return found, _places(connection)

        found, places = self._desk.read(read)
        if found is None:
            raise NotFound(f"There is no job '{name}' here, and none in the archive.")
        if found.line is not None and found.line.name != name:
            return self._desk.redirect(f"/jobs/{found.line.name}")
        logs, problem = _there(found.logs)
        return self._desk.show(
            "job.html", found, logs=logs, problem=problem, history=found.story.history[-STEPS:], places=places,
            verbs=acting.WORDS.items(),
        )  # fmt: skip

    def log(self, name: str, file: str) -> Response:
        """A published log, as text to be saved: only what the application says is a log of this job."""

        def read(connection: Connection, _: Moment) -> PublishedLogs | None:
            return next((found for app in applications() if (found := app.operations.logs(connection, name))), None)

        logs = self._desk.read(read) if job.NAME.fullmatch(name) else None
        if logs is None or file not in logs.names:
            raise NotFound("There is no such log.")
        return as_text(_opened(Store(logs.root), logs.names[file]), file)

    def file(self, name: str, attempt: int, file: str) -> Response:
        """A file that an attempt brought, for operators: it may be a user's own."""
        self._desk.operator()

        def read(connection: Connection, moment: Moment) -> bool:
            found = job.attempts_of(connection, moment, name)
            return attempt in found and file in [f.name for f in results.brought(connection, attempt)]

        if not self._desk.read(read):
            raise NotFound("There is no such file.")
        return as_text(_opened(self._store, result_name(attempt, file)), file)

    def act(self) -> Response:
        """Something done to jobs: what would come of it at first, and then, when that was seen, what came of it."""
        who = self._desk.operator()
        form = {name: value[:LONGEST] for name in ACTION_FIELDS if (value := request.form.get(name, "").strip())}
        names = request.form.getlist("job")
        wanted = self._desk.read(lambda c, _: acting.action(c, form, names, who))
        sure = "sure" in request.form
        outcome = acting.carry_out(self._desk.db, wanted, dry_run=not sure)
        back = f"/jobs/{names[0]}" if len(names) == 1 else f"/jobs?{urlencode(wanted_fields(form))}"
        return self._desk.show(
            "confirm_jobs.html", outcome, action=wanted, words=acting.WORDS[Verb(wanted.verb)], done=sure, fields=form,
            names=names, back=f"{self._desk.root}{back}",
        )  # fmt: skip


def wanted_fields(form: dict[str, str]) -> dict[str, str]:
    """Those of a search."""
    return {name: form[name] for name in FIELDS if name in form}


def _places(connection: Connection) -> list[tuple[int, str]]:
    """CE queues that jobs may be moved to."""
    urls = {row.id: row.url for row in survey.ces_listed(connection)}
    return [(q.id, f"{urls[q.ce_id]} {q.queue}".rstrip()) for q in survey.cequeues_listed(connection)]


def _there(logs: PublishedLogs | None) -> tuple[list[tuple[str, int]], str]:
    """((name, bytes) of the logs that are there, why that cannot be told)."""
    if logs is None:
        return [], ""
    store = Store(logs.root)
    try:
        sizes = [(name, store.size(stored)) for name, stored in logs.names.items()]
    except StorageUnavailable as error:
        return [], str(error)
    return [(name, size) for name, size in sizes if size is not None], ""


@contextmanager
def _opened(store: Store, name: str) -> Iterator[BinaryIO]:
    try:
        with store.open(name) as file:
            yield file
    except OutputMissing as error:
        raise NotFound("It is not there (any more).") from error
