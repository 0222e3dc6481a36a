"""The interface at the root that act-client 1.0 speaks; its wire is fixed, down to the words of its columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from flask import Response, request

from act.client.identity import Gate
from act.client.jobs import Jobs
from act.client.model import Changed, Filter
from act.config import CoreConfig
from act.errors import ActError, JobError, OutputMissing
from act.web import columns, downloads, models
from act.web.bodies import Body, parse_json, read_all
from act.web.errors import BadRequest, told
from act.web.parse import bearer, caller, ranges, words
from act.web.render import Page
from act.web.routes import JSON, route
from act.web.submission import CREDENTIAL_BYTES, JOBS_BYTES

ID = f"<int(max={models.MAX_ID}):job_id>"
MAX_ITEMS = 1000  # of a request; the client sends 100
MAX_ROWS = 10_000_000  # of an answer, which this interface does not divide
WAITING, OVER = "begun", ("done", "donefailed", "cancelled", "failed", "lost")


class Views:
    """All routes at the root."""

    def __init__(self, config: CoreConfig, gate: Gate, jobs: Jobs) -> None:
        self._config, self._gate, self._jobs = config, gate, jobs

    @route("POST", "/proxies", {}, open=True)
    def offer(self) -> dict[str, Any]:
        cert, chain = _credential("Missing issuer certificate", "Missing certificate chain")
        offer = self._gate.offer(cert, chain)
        return {"token": offer.token, "csr": offer.request}

    @route("PUT", "/proxies", {}, open=True)
    def accept(self) -> dict[str, Any]:
        cert, chain = _credential("No signed certificate", "No cert chain")
        session, _ = self._gate.accept(bearer(), cert, chain)
        return {"token": session}

    @route("DELETE", "/proxies", {}, open=True)
    def abandon(self) -> tuple[str, int]:
        self._gate.abandon(bearer())
        return "", 204

    @route("GET", "/info", {})
    def info(self) -> dict[str, Any]:
        return {
            "clusters": [place.location for place in self._jobs.places(caller())],
            columns.ATTEMPT: list(columns.ATTEMPT_COLUMNS),
            columns.JOB: list(columns.JOB_COLUMNS),
        }

    # --- submission ------------------------------------------------------------------------------------------------

    @route("POST", "/jobs", {})
    def begin(self) -> list[dict[str, Any]]:
        places = {place.name for place in self._jobs.places(caller())}
        wanted = [_clusters(item, places) for item in _items()]
        begun = iter(self._jobs.begin(caller(), [w for w in wanted if w is not None]))
        return [{"msg": "No clusters given"} if w is None else _begun(next(begun)) for w in wanted]

    @route("PUT", f"/jobs/{ID}/data/<path:name>", {})
    def upload(self, job_id: int, name: str) -> tuple[str, int]:
        body = Body(self._config.users.max_file_mb * 1_000_000)
        self._jobs.upload(caller(), job_id, name, cast(BinaryIO, body))
        return "", 204

    @route("PUT", "/jobs", {})
    def confirm(self) -> list[dict[str, Any]]:
        items = [_description(item) for item in _items()]
        complete = [(i["id"], i["desc"], columns.LANGUAGE) for i in items if "msg" not in i]
        answers = iter(self._jobs.confirm(caller(), complete))
        return [item if "msg" in item else _confirmed(item["id"], next(answers)) for item in items]

    # --- looking and steering --------------------------------------------------------------------------------------

    @route("GET", "/jobs", {})
    def find(self) -> Response:
        wanted = columns.chosen(words(request.args.get(columns.JOB, "")), columns.JOB_COLUMNS, "c")
        wanted |= columns.chosen(words(request.args.get(columns.ATTEMPT, "")), columns.ATTEMPT_COLUMNS, "a")
        page = Page(self._jobs, caller(), _filter(), 0, MAX_ROWS)
        return Response(_listed(page, wanted), content_type=JSON)

    @route("PATCH", "/jobs", {})
    def steer(self) -> list[Any]:
        action = request.args.get("action")
        if action == "cancel":
            done = _done(self._jobs.kill(caller(), _filter()))
            return [{"c_id": c.id, "a_id": c.attempt_id, "a_arcstate": _word(c.shown_before)} for c in done]
        if action == "fetch":
            return [c.id for c in _done(self._jobs.fetch(caller(), _filter()))]
        if action == "resubmit":
            return [c.id for c in _done(self._jobs.resubmit(caller(), _filter()))]
        raise BadRequest("Request has no action parameter" if action is None else f'Invalid action "{action}"')

    @route("DELETE", "/jobs", {})
    def clean(self) -> list[int]:
        return [c.id for c in _done(self._jobs.clean(caller(), _filter()))]

    # --- results ---------------------------------------------------------------------------------------------------

    @route("GET", f"/jobs/{ID}/results/", {})
    def results(self, job_id: int) -> dict[str, Any]:
        return self._folder(job_id, "")

    @route("GET", f"/jobs/{ID}/results/<path:name>", {})
    def result(self, job_id: int, name: str) -> Response | dict[str, Any]:
        if name.endswith("/"):
            return self._folder(job_id, name)
        try:
            return downloads.send_file(self._jobs.open_result(caller(), job_id, name))
        except OutputMissing as error:
            raise OutputMissing("Output file does not exist") from error

    def _folder(self, job_id: int, folder: str) -> dict[str, Any]:
        """An ended job without results has an empty folder: clients take it for done only so."""
        files = self._jobs.results(caller(), job_id)
        if not any(row.shown in OVER for row in self._jobs.find(caller(), Filter(ids=(job_id,)))):
            raise OutputMissing("No results in current job state")
        names = [f.name[len(folder) :] for f in files if f.name.startswith(folder)]
        if folder and not names:
            raise OutputMissing("Output directory does not exist")
        folders = dict.fromkeys(name.partition("/")[0] for name in names if "/" in name)
        return {"file": [name for name in names if "/" not in name], "dir": list(folders)}


def _json(limit: int) -> Any:
    """The JSON of the request, whatever it says of its type."""
    data = read_all(limit)
    if not data:
        raise BadRequest("No JSON data")
    return parse_json(data)


def _items() -> list[Any]:
    items = _json(JOBS_BYTES)
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise BadRequest(f"the request must be a list of at most {MAX_ITEMS} jobs")
    return items


def _credential(no_cert: str, no_chain: str) -> tuple[str, str]:
    given = _json(CREDENTIAL_BYTES)
    found = []
    for name, missing in (("cert", no_cert), ("chain", no_chain)):
        value = given.get(name) if isinstance(given, dict) else None
        if not isinstance(value, str) or not value:
            raise BadRequest(missing)
        found.append(value)
    return found[0], found[1]


def _clusters(item: Any, places: set[str]) -> list[str] | None:
    """What a new job may go to, none: all; None if it does not say. Clients without a list of theirs say default."""
    wanted = item.get("clusterlist") if isinstance(item, dict) else None
    if not isinstance(wanted, list) or not wanted or not all(isinstance(w, str) for w in wanted):
        return None
    return [] if wanted == ["default"] and "default" not in places else wanted


def _begun(answer: Any) -> dict[str, Any]:
    return {"msg": told(answer).detail} if isinstance(answer, ActError) else {"id": answer.id}


def _description(item: Any) -> dict[str, Any]:
    """id and description of a job to be confirmed, or what is missing."""
    job_id, text = (item.get("id"), item.get("desc")) if isinstance(item, dict) else (None, None)
    if type(job_id) is not int or not 0 < job_id <= models.MAX_ID:
        return {"msg": "No job ID given"}
    if not isinstance(text, str) or not text:
        return {"id": job_id, "msg": "No job description given"}
    return {"id": job_id, "desc": text}


def _confirmed(job_id: int, answer: Any) -> dict[str, Any]:
    if isinstance(answer, JobError):
        return {"id": job_id, "msg": told(answer).detail}
    return {"id": job_id, "name": answer.name}


def _filter() -> Filter:
    args = request.args
    return Filter(ids=ranges(args.get("id", "")), name=args.get("name", ""), states=words(args.get("state", "")))


def _word(shown: str) -> str | None:
    return None if shown == WAITING else shown


def _done(changed: list[Changed]) -> list[Changed]:
    return [c for c in changed if not c.refused]


def _listed(page: Page, wanted: dict[str, columns.Column]) -> Iterator[str]:
    """The answer in pieces. Jobs whose submission is under way are not shown."""
    begin = "["
    for row in page.rows():
        if row.shown != WAITING:
            yield f"{begin}{json.dumps(columns.values(row, wanted))}"
            begin = ", "
    yield "[]" if begin == "[" else "]"
