"""/api/v1: parse, call, render. Its routes are declared here and told by OpenAPI (`act.web.openapi`)."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from flask import Response, request
from pydantic import Field

from act import __version__
from act.client.identity import Gate
from act.client.jobs import Jobs
from act.client.model import Changed, Filter
from act.config import CoreConfig
from act.db import meta
from act.db.engine import Database
from act.web import downloads, models, openapi, render, stories
from act.web.bodies import Body
from act.web.parse import bearer, caller, ranges, words
from act.web.routes import BINARY, body, declared, query, route
from act.web.submission import CREDENTIAL_BYTES, Submission

BASE = "/api/v1"
SELECTION_BYTES = 1 << 20
ID = f"<int(max={models.MAX_ID}):job_id>"


class JobQuery(models.Request):
    """Which jobs to list. id: ids and ranges like 1,5-9; name: a part of it; state: one or several, with commas."""

    id: str = Field("", max_length=100_000, pattern=r"^(\d{1,19}(-\d{1,19})?(,\d{1,19}(-\d{1,19})?)*)?$")
    name: str = Field("", max_length=200)
    state: str = Field("", max_length=500)
    limit: int = Field(1000, ge=1, le=10_000)
    cursor: str = Field("", pattern=r"^\d{0,18}$")


class LiveQuery(models.Request):
    """offset: of the first byte wanted."""

    offset: int = Field(0, ge=0, le=models.MAX_ID)


class Views:
    """All of /api/v1."""

    def __init__(self, config: CoreConfig, db: Database, gate: Gate, jobs: Jobs) -> None:
        self._config, self._db, self._gate, self._jobs = config, db, gate, jobs
        self._submission = Submission(config, jobs)
        self._document = openapi.document(declared(self), BASE)

    @route("GET", "/openapi.json", {200: dict}, open=True)
    def openapi(self) -> dict[str, Any]:
        """This document."""
        return self._document

    @route("GET", "/health", {200: models.Health}, open=True)
    def health(self) -> dict[str, Any]:
        """Whether the tower can be spoken to: its database answers."""
        self._db.read("health", meta.clock)
        return {"status": "ok", "version": __version__}

    @route("GET", "/info", {200: models.Info})
    def info(self) -> dict[str, Any]:
        """Who I am, which CEs I may use, and how much of what I may have is used."""
        return render.info(caller(), self._jobs.places(caller()), self._jobs.usage(caller()))

    # --- credentials -----------------------------------------------------------------------------------------------

    @route("POST", "/proxies", {201: models.Handover}, (401, 403), body=models.Chain, open=True)
    def offer(self) -> tuple[dict[str, Any], int]:
        """Begin to hand over a proxy: certificate and chain without the key.

        With a token of an issuer in Authorization, the proxy becomes the credential of that token's subject.
        """
        chain = body(models.Chain, CREDENTIAL_BYTES).chain
        offer = self._gate.offer(chain, "", request.headers.get("Authorization"))
        return {"token": offer.token, "request": offer.request, "expires": offer.expires}, 201

    @route("PUT", "/proxies", {200: models.Session}, (401, 403), body=models.Chain, open=True)
    def accept(self) -> dict[str, Any]:
        """End the hand-over with the signed certificate, and begin a session."""
        chain = body(models.Chain, CREDENTIAL_BYTES).chain
        session, who = self._gate.accept(bearer(), chain, "")
        return {"token": session, "expires": who.expires}

    @route("DELETE", "/proxies", {204: None}, (401, 403), open=True)
    def abandon(self) -> tuple[str, int]:
        """Give up the hand-over, or end the session, that the token stands for."""
        self._gate.abandon(bearer())
        return "", 204

    @route("DELETE", "/sessions", {204: None})
    def revoke(self) -> tuple[str, int]:
        """End all my sessions, this one too."""
        self._gate.revoke_all(caller())
        return "", 204

    # --- submission ------------------------------------------------------------------------------------------------

    @route("POST", "/jobs", {200: models.Submission}, body=models.NewJobs, files=True)
    def submit(self) -> dict[str, Any]:
        """Submit jobs; with their files in one call as multipart, or without, to send the files afterwards.

        multipart: the part ``request`` comes first, then the files: the name of a part is the number of its job in the
        request, from 0 on, or ``*`` for all jobs that list it; its filename is that of the input. Jobs whose files are
        not all there in the end are abandoned.
        """
        return self._submission.submit(caller())

    @route("PUT", f"/jobs/{ID}/inputs/<path:name>", {201: models.File}, (403, 404, 409), body=BINARY,
           headers=("Repr-Digest",))  # fmt: skip
    def upload(self, job_id: int, name: str) -> tuple[dict[str, Any], int]:
        """Send an input file of a job that is not confirmed; again: replaces it."""
        limit = self._config.users.max_file_mb * 1_000_000
        sha256 = downloads.wanted_digest(request.headers.get("Repr-Digest", ""))
        stored = self._jobs.upload(caller(), job_id, name, cast(BinaryIO, Body(limit)), sha256=sha256)
        return {"name": stored.name, "size": stored.size, "sha256": stored.sha256}, 201

    @route("POST", "/jobs/confirm", {200: models.Submission}, body=models.Ids)
    def confirm(self) -> dict[str, Any]:
        """The files of these jobs are complete: let the tower begin with them."""
        ids = body(models.Ids, SELECTION_BYTES).ids
        return render.submission(self._jobs.confirm_ids(caller(), ids), ids)

    # --- looking ---------------------------------------------------------------------------------------------------

    @route("GET", "/jobs", {200: models.Jobs}, query=JobQuery)
    def find(self) -> Response:
        """My jobs in the order of their ids, page by page."""
        wanted = query(JobQuery)
        chosen = Filter(ids=ranges(wanted.id), name=wanted.name, states=words(wanted.state))
        rows = render.Page(self._jobs, caller(), chosen, int(wanted.cursor or 0), wanted.limit)
        return Response(rows.as_json(self._names()), content_type="application/json")

    @route("GET", f"/jobs/{ID}", {200: models.Detail}, (404,))
    def one(self, job_id: int) -> dict[str, Any]:
        """All about one job."""
        return render.detail(self._jobs.one(caller(), job_id), self._names())

    @route("GET", f"/jobs/{ID}/explain", {200: models.Explanation}, (404,))
    def explain(self, job_id: int) -> dict[str, Any]:
        """Why a job is as it is, and what comes next."""
        return {"stories": stories.told(self._jobs.explain(caller(), job_id))}

    # --- steering --------------------------------------------------------------------------------------------------

    @route("POST", "/jobs/kill", {200: models.Changes}, body=models.Selection)
    def kill(self) -> dict[str, Any]:
        """End jobs."""
        return _changes(self._jobs.kill(caller(), _selection()))

    @route("POST", "/jobs/resubmit", {200: models.Changes}, (403,), body=models.Selection)
    def resubmit(self) -> dict[str, Any]:
        """Run jobs again that have failed or were cancelled."""
        return _changes(self._jobs.resubmit(caller(), _selection()))

    @route("POST", "/jobs/fetch", {200: models.Changes}, body=models.Selection)
    def fetch(self) -> dict[str, Any]:
        """Bring back what failed jobs left at their CEs."""
        return _changes(self._jobs.fetch(caller(), _selection()))

    @route("POST", "/jobs/clean", {200: models.Changes}, body=models.Selection)
    def clean(self) -> dict[str, Any]:
        """Remove ended jobs with their files."""
        return _changes(self._jobs.clean(caller(), _selection()))

    # --- files -----------------------------------------------------------------------------------------------------

    @route("GET", f"/jobs/{ID}/results", {200: models.Files}, (404,))
    def results(self, job_id: int) -> dict[str, Any]:
        """The files that a job has brought back."""
        return {"files": [render.file(f) for f in self._jobs.results(caller(), job_id)]}

    @route("GET", f"/jobs/{ID}/results.tar", {200: downloads.TAR}, (404,))
    def results_tar(self, job_id: int) -> Response:
        """All files that a job has brought back, as one tar archive."""
        me = caller()
        files = self._jobs.results(me, job_id)
        pieces = downloads.tar(files, lambda name: self._jobs.open_result(me, job_id, name))
        headers = {"Content-Disposition": downloads.attachment(f"{job_id}.tar")}
        return Response(pieces, headers=headers, content_type=downloads.TAR)

    @route("GET", f"/jobs/{ID}/results/<path:name>", {200: BINARY, 206: BINARY, 304: None}, (404, 416),
           headers=("Range", "If-None-Match"))  # fmt: skip
    def result(self, job_id: int, name: str) -> Response:
        """One file that a job has brought back, or a range of it."""
        return downloads.send_file(self._jobs.open_result(caller(), job_id, name))

    @route("GET", f"/jobs/{ID}/live/<path:name>", {200: BINARY, 204: None}, (404,), query=LiveQuery)
    def live(self, job_id: int, name: str) -> Response:
        """What there is by now of a file of a job that may still run; ``stdout`` and ``stderr`` stand for its streams.

        204: nothing new yet. The header Act-Final tells whether more may come, Act-Job-State the job's state.
        """
        offset = query(LiveQuery).offset
        found = self._jobs.live(caller(), job_id, name)
        if found.open is None or found.size <= offset:
            response = Response(status=204)
        else:
            response = downloads.send_from(found.open(), offset)
        response.headers["Act-Job-State"] = found.shown or "begun"
        response.headers["Act-Final"] = "true" if found.final else "false"
        return response

    def _names(self) -> dict[tuple[str, str], str]:
        """What users call the CE queues, by URL and queue."""
        return {(ce.url, ce.queue): ce.name for ce in self._config.users.ce}


def _selection() -> Filter:
    wanted = body(models.Selection, SELECTION_BYTES)
    return Filter(ids=tuple(wanted.ids), name=wanted.name, states=tuple(wanted.states))


def _changes(changed: list[Changed]) -> dict[str, Any]:
    return {
        "jobs": [{"id": c.id, "state": c.shown_before} for c in changed if not c.refused],
        "refused": [{"id": c.id, "detail": c.refused} for c in changed if c.refused],
    }
