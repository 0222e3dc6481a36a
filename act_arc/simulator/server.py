"""An ARC CE for tests and demonstrations: A-REX's REST interface 1.1 (as version 7 shows it) or 1.0 (as 6.17 does)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from act.simulation import Request, Response, SimServer, TestCA
from act.simulation.issuer import owner_of
from act_arc.simulator import documents, rsl
from act_arc.simulator.answers import Fault, Shape, json_answer
from act_arc.simulator.delegation_calls import DelegationCalls
from act_arc.simulator.delegations import Delegations
from act_arc.simulator.engine import Backend, Engine, Limits, executions
from act_arc.simulator.files import SessionFiles
from act_arc.simulator.job import SimJob
from act_arc.simulator.pretend import Pretender
from act_arc.simulator.really import Runner
from act_arc.simulator.timeline import Timeline

log = logging.getLogger(__name__)
IDS_READ = 1 << 20  # bytes of an id list that A-REX reads; it cuts the rest without a word
Hook = Callable[[SimJob], None]
OutputHook = Callable[[SimJob, str, bytes], bytes | None]


class ArcSimulator(SimServer):
    """A CE at ``url`` whose files are below ``directory``.

    rest_version: "1.1" behaves as A-REX 7 (which serves 1.0 too), "1.0" as A-REX 6.17.
    run: "really" executes jobs as local processes, "pretend" only lets time pass (`Pretender`: run_s, on_output).
    stage_s: how long staging takes at least, each way.
    queue_s: wait before running; slots: jobs running at a time (None: all); info_lag_s: how far `info` and `status`
    are behind; max_total: number of jobs, ended but uncleaned ones too, from which on all are refused;
    allowed_identities: None lets everybody in. token_keys: of an issuer of bearer tokens, as a JWK set; who shows such
    a token is known by ``<issuer>/<subject>``.
    on_start, on_end: called in one thread of their own, in order, when a job starts and stops running.
    """

    base = "/arex"

    def __init__(
        self, directory: Path | str, ca: TestCA, *, rest_version: Literal["1.0", "1.1"] = "1.1",
        run: Literal["really", "pretend"] = "really", queues: tuple[str, ...] = ("default", "long"),
        run_s: float = 1.0, stage_s: float = 0.0, queue_s: float = 0.0, kill_s: float = 0.0, slots: int | None = None,
        info_lag_s: float = 0.0, max_total: int | None = None, upload_timeout_s: float = 600.0,
        allowed_identities: Collection[str] | None = None, port: int = 0, cert_expired: bool = False,
        on_start: Hook | None = None, on_end: Hook | None = None, on_output: OutputHook | None = None,
        token_keys: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(ca, port=port, cert_expired=cert_expired)
        self.new = rest_version == "1.1"
        self._shape = Shape(self.new)
        self.delegations = Delegations()
        self._queues, self._lag, self._allowed = queues, info_lag_s, allowed_identities
        self._token_keys = token_keys or {"keys": []}
        self.max_total = max_total
        self._hooks = {"start": on_start, "end": on_end}
        self._hook_thread = ThreadPoolExecutor(1)
        self._empty_lists = 0
        self._timeline = Timeline()
        self._backend: Backend = (
            Runner(Path(directory) / "control", ca, self.delegations, stage_s)
            if run == "really"
            else Pretender(self._timeline, run_s, stage_s, on_output)
        )
        limits = Limits(upload_timeout_s, queue_s, kill_s, slots)
        sessions = Path(directory) / "session"
        self.engine = Engine(sessions, self._backend, self._timeline, limits, self._tell, not self.new)
        self._files = SessionFiles(self.engine, self._shape)
        self._delegation_calls = DelegationCalls(self.delegations, self.engine, self._shape)

    def close(self) -> None:
        """Stop for good: connections, jobs and their processes."""
        self.stop()
        self._timeline.stop()
        self.engine.stop()
        self._hook_thread.shutdown(wait=True, cancel_futures=True)

    def __exit__(self, *_: object) -> None:
        self.close()

    def lose(self, job_id: str) -> None:
        """Forget a job, as a CE does whose disk was lost."""
        with self.engine.lock:
            self.engine.forget(self.engine.jobs[job_id])

    def empty_list(self, times: int = 1) -> None:
        """Answer the next calls for the list of jobs with a list without jobs."""
        self._empty_lists = times

    def state(self) -> dict[str, Any]:
        with self.engine.lock:
            everything = [*self.engine.jobs.values(), *self.engine.gone]
            return {
                "jobs": {job.id: job.summary() for job in everything},
                "executions": executions(everything, lambda job: job.description.name),
                "executions_by_panda_id": executions(everything, lambda job: job.panda_id),
                "delegations": [
                    {"id": d.id, "owner": d.owner, "signed": d.signed} for d in self.delegations.known.values()
                ],
            }

    def control(self, request: Request) -> Response:
        """``POST /_sim/lose`` {"id"}, ``POST /_sim/empty_list`` {"times"}."""
        given = json.loads(request.body or b"{}")
        match request.path:
            case "/_sim/lose" if given.get("id") in self.engine.jobs:
                self.lose(given["id"])
            case "/_sim/empty_list":
                self.empty_list(int(given.get("times", 1)))
            case _:
                return Response(404)
        return Response.json({})

    def route(self, request: Request) -> str:
        path = re.sub(r"^/arex/rest(/1\.\d)?", "", request.path)
        path = re.sub(r"^/(jobs|delegations)/[^/]+", r"/\1/*", path)
        action = request.one("action")
        return f"{re.sub(r'/session/.*', '/session/*', path)}{f'?action={action}' if action else ''}"

    def handle(self, request: Request) -> Response:
        try:
            response = self._dispatch(request)
        except Fault as fault:
            return fault.response
        if "json" in response.headers.get("content-type", "") and "json" not in request.headers.get("accept", ""):
            return Response(response.status, b"<HTML><BODY>ask for application/json</BODY></HTML>")
        return response

    def _dispatch(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        if parts[:2] != ["arex", "rest"]:
            raise Fault(404, "Not Found")
        owner = self._authorise(request, parts[2:])
        if not parts[2:]:
            return self._shape({"version": ["1.0", "1.1"] if self.new else ["1.0"]})
        if parts[2] not in (("1.0", "1.1") if self.new else ("1.0",)):
            raise Fault(404, "Version Not Supported")
        match parts[3:], request.method:
            case ["info"], "GET":
                with self.engine.lock:
                    jobs = list(self.engine.jobs.values())
                return json_answer(documents.service(self.url, self._queues, jobs, parts[2]))
            case ["jobs"], "GET":
                return self._list(request, owner)
            case ["jobs"], "POST":
                return self._jobs(request, owner, parts[2])
            case ["jobs", _], _:
                raise Fault(404, "Missing job sub-resource")
            case ["jobs", job_id, "session", *path], _:
                with self.engine.lock:
                    return self._files.session(request, self._own(job_id, owner), "/".join(path))
            case ["jobs", job_id, "diagnose", *path], "GET":
                with self.engine.lock:
                    return self._files.diagnose(self._own(job_id, owner), "/".join(path), self.url)
            case ["delegations", *path], _:
                return self._delegation_calls.handle(request, owner, "/".join(path))
        raise Fault(501, "Not Implemented")

    def _authorise(self, request: Request, parts: list[str]) -> str:
        owner = request.identity
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if owner is None and kind.lower() == "bearer" and self.new:
            owner = owner_of(token, self._token_keys, "compute.create")
        if owner is not None and (self._allowed is None or owner in self._allowed):
            return owner
        if self.new and (not parts or parts[1:] == ["info"]):
            return ""
        raise Fault(500 if self.new else 403, "User can't be assigned configuration")

    def _own(self, job_id: str, owner: str) -> SimJob:
        job = self.engine.jobs.get(job_id)
        if job is None or job.owner != owner:
            raise Fault(404, "OK")  # the phrase is A-REX's
        return job

    def _list(self, request: Request, owner: str) -> Response:
        if self._empty_lists > 0:
            self._empty_lists -= 1
            return self._shape({"job": []})
        wanted = [s for value in request.query.get("state", []) for s in value.split(",")]
        with self.engine.lock:
            mine = [job for job in self.engine.jobs.values() if job.owner == owner]
            # what this list calls failed includes what `status` calls killed (seen)
            states = [(job.id, "FAILED" if job.state == "KILLED" else job.state) for job in mine]
        if not wanted:
            return self._shape({"job": [{"id": i} for i, _ in states]})
        return self._shape({"job": [{"id": i, "state": s} for i, s in states if s in wanted]})

    def _jobs(self, request: Request, owner: str, version: str) -> Response:
        action = request.one("action")
        if action == "new":
            answers = self._create(request, owner, version)
        elif action in ("info", "status", "kill", "clean", "restart", "delegations"):
            with self.engine.lock:
                answers = [self._manage(action, i, owner) for i in _ids(request.body)]
        else:
            raise Fault(501, "Action not implemented")
        return self._shape({"job": answers}, 201)

    def _create(self, request: Request, owner: str, version: str) -> list[dict[str, str]]:
        text = request.body.decode(errors="replace")
        if not text:
            raise Fault(500, "Missing payload")
        with self.engine.lock:
            if self.max_total is not None and len(self.engine.jobs) >= self.max_total:
                raise Fault(500, "No more jobs allowed")
            try:
                texts, several = rsl.split(text)
                jobs = [rsl.describe(t) for t in texts] if several else []
            except rsl.RslError as e:  # one bad description in a multi-request: nothing of it is made (seen)
                raise Fault(500, f"nordugrid:xrsl parsing error: {e}") from e
            try:
                jobs = jobs or [rsl.describe(text)]
            except rsl.RslError as e:
                return [{"status-code": "500", "reason": f"nordugrid:xrsl parsing error:\n{e}"}]
            parameters = request if version == "1.1" else None
            return [self._create_one(job, owner, parameters) for job in jobs]

    def _create_one(self, asked: rsl.Description, owner: str, parameters: Request | None) -> dict[str, str]:
        queue, delegation = asked.queue, asked.delegation
        if parameters:
            queue, delegation = parameters.one("queue") or queue, parameters.one("delegation_id") or delegation
        queue = queue or self._queues[0]
        if queue not in self._queues:
            return {"status-code": "500", "reason": f"Requested queue {queue} is not allowed for this user"}
        job = self.engine.create(asked, owner, delegation, queue)
        return {"status-code": "201", "reason": "Created", "id": job.id, "state": "ACCEPTING"}

    def _manage(self, action: str, job_id: str, owner: str) -> dict[str, Any]:
        job = self.engine.jobs.get(job_id)
        nothing: dict[str, dict[str, Any]] = {"info": {"info_document": ""}, "status": {"state": "None"}}
        if job is None or job.owner != owner:
            return {"status-code": "404", "reason": "Job not found", "id": job_id, **nothing.get(action, {})}
        code, reason = "202", f"Queued for {action.rstrip('l')}ing"
        more: dict[str, Any] = {}
        if action == "kill":
            reason = "Queued for killing"
            self.engine.kill(job)
        elif action == "clean":
            self.engine.clean(job)
        elif action == "restart":
            if objection := self.engine.restart(job):
                code, reason = "505", objection
        else:
            code, reason, more = "200", "OK", self._tell_of(action, job)
        return {"status-code": code, "reason": reason, "id": job.id, **more}

    def _tell_of(self, action: str, job: SimJob) -> dict[str, Any]:
        if action == "delegations":
            return {"delegation_id": job.delegation} if job.delegation else {}
        state = job.seen(self._lag)
        if action == "status":
            return {"state": state or "ACCEPTED"}
        return {"info_document": documents.activity(job, state, self.delegations.known.get(job.delegation))}

    def _tell(self, what: str, job: SimJob) -> None:
        hook = self._hooks[what]
        if hook:
            self._hook_thread.submit(hook, job).add_done_callback(_log_failure)


def _log_failure(done: Future[None]) -> None:
    if not done.cancelled() and done.exception():
        log.error("hook of the simulated CE failed", exc_info=done.exception())


def _ids(body: bytes) -> list[str]:
    """The ids in a request, as far as A-REX reads; rubbish has none."""
    return [m.decode() for m in re.findall(rb'"id"\s*:\s*"([^"]*)"', body[:IDS_READ])]
