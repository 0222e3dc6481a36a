"""The interface /api/v1 of the simulated PanDA: strict names and types, and an envelope around everything."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from act.simulation import Request, Response
from act_atlas.simulator.access import Access, Caller
from act_atlas.simulator.board import Board
from act_atlas.simulator.rules import Wanted

JSON = "application/json"
NUMBER = (int, float)
REQUIRED = object()
Signature = Mapping[str, tuple[Any, Any]]  # name -> (type or types, default or REQUIRED)


class Refused(Exception):
    """The call is answered success=false with this message."""


@dataclass(frozen=True)
class Method:
    """One method: verb, signature, whether it needs the production role or at least a credential, and what it does."""

    verb: str
    signature: Signature
    work: Callable[[Mapping[str, Any], Caller], Mapping[str, Any]]
    production: bool = False
    secure: bool = True


def _names(kind: Any, names: str) -> dict[str, tuple[Any, Any]]:
    return dict.fromkeys(names.split(), (kind, None))


ACQUIRE: Signature = {
    "site_name": (str, REQUIRED), "timeout": (int, 60), "n_jobs": (int, 1),
    **_names(int, "memory disk_space remaining_time task_id worker_id"),
    **_names(str, "prod_source_label node computing_element prod_user_id resource_type harvester_id scheduler_id"),
    **_names(str, "job_type"), **_names(bool, "get_proxy_key background via_topic"),
}  # fmt: skip
UPDATE: Signature = {
    "job_id": (int, REQUIRED), "job_status": (str, REQUIRED), "timeout": (int, 60),
    **_names(int, "trans_exit_code pilot_error_code exe_error_code attempt_nr cpu_consumption_time core_count"),
    **_names(int, "mean_core_count n_events n_input_files"),
    **_names(str, "pilot_error_diag exe_error_diag node scheduler_id pilot_id batch_id start_time end_time site_name"),
    **_names(str, "cpu_consumption_unit cpu_architecture_level job_metrics pilot_timing job_sub_status grid stdout"),
    **_names(str, "source_site destination_site pilot_log job_output_report meta_data corrupted_files"),
    **_names(NUMBER, "cpu_conversion_factor max_rss max_vmem max_swap max_pss avg_rss avg_vmem avg_swap avg_pss"),
    **_names(NUMBER, "tot_rchar tot_wchar tot_rbytes tot_wbytes rate_rchar rate_wchar rate_rbytes rate_wbytes"),
}  # fmt: skip


class V1:
    """Answers what comes below /api."""

    def __init__(self, board: Board, access: Access) -> None:
        self._board, self._access = board, access
        self._methods = {
            "system/is_alive": Method("GET", {}, lambda a, c: _done(None), secure=False),
            "pilot/acquire_jobs": Method("POST", ACQUIRE, self._acquire),
            "pilot/update_job": Method("POST", UPDATE, self._update, production=True),
            "pilot/update_jobs_bulk": Method(
                "POST", {"job_list": (list, REQUIRED), "harvester_id": (str, None)}, self._bulk, production=True
            ),
            "pilot/get_job_status": Method(
                "GET", {"job_ids": (list, REQUIRED), "timeout": (int, 60)}, self._pilot_status
            ),
            "job/get_status": Method("GET", {"job_ids": (list, REQUIRED), "timeout": (int, 60)}, self._status),
            "job/kill": Method("POST", {"job_ids": (list, REQUIRED), "code": (int, None)}, self._kill),
            "job/set_command": Method("POST", {"job_id": (int, REQUIRED), "command": (str, REQUIRED)}, self._command),
            "statistics/active_job_stats_by_site": Method("GET", {}, self._stats, secure=False),
            "statistics/active_job_detailed_stats_by_site": Method("GET", {}, self._detailed_stats, secure=False),
        }

    def handle(self, request: Request) -> Response:
        """The answer to a request."""
        parts = request.path.split("/")
        method = self._methods.get("/".join(parts[3:])) if len(parts) == 5 and parts[2] in ("v1", "latest") else None
        if method is None:
            return Response(403, f"ERROR : method {parts[-1]} is forbidden".encode(), {"Content-Type": "text/plain"})
        caller = self._access.caller(request)
        try:
            arguments = _arguments(request)
        except ValueError as e:
            return Response(500, f"ERROR : received invalid JSON : {e}".encode(), {"Content-Type": "text/plain"})
        try:
            self._admit(method, request, caller)
            answer = method.work(_checked(method.signature, arguments, request.method == "GET"), caller)
        except Refused as e:
            answer = {"success": False, "message": str(e), "data": None}
        as_json = JSON in (request.headers.get("content-type"), request.headers.get("accept"))
        # JSON is called text/plain, too
        return Response(200, (json.dumps(answer) if as_json else repr(answer)).encode(), {"Content-Type": "text/plain"})

    def _admit(self, method: Method, request: Request, caller: Caller) -> None:
        if self._access.roles_required and method.secure and (not caller.dn or "/CN=limited proxy" in caller.dn):
            raise Refused("SSL secure connection is required")
        if method.production and not caller.production:
            raise Refused("production or pilot role required")
        if request.method != method.verb:
            raise Refused(f"expecting {method.verb}, received {request.method}")

    def _acquire(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if not caller.production and a["prod_source_label"] != "user":
            raise Refused("no permission")
        wanted = Wanted(
            queue=a["site_name"], n=a["n_jobs"], label=a["prod_source_label"] or "", timeout=a["timeout"],
            memory=a["memory"] or 0, disk_space=a["disk_space"] or 0, remaining_time=a["remaining_time"] or 0,
            resource_type=a["resource_type"] or "", computing_element=a["computing_element"] or "",
            task_id=a["task_id"] or 0, node=a["node"] or "", scheduler_id=a["scheduler_id"] or "",
        )  # fmt: skip
        jobs = self._board.acquire(wanted, caller.name)
        if not jobs:
            raise Refused("No jobs in PanDA")
        return _done({"StatusCode": 0, "jobs": jobs})

    def _update(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        values = {k: v for k, v in a.items() if k not in ("job_id", "job_status", "timeout")}
        answer = self._board.update(a["job_id"], a["job_status"], values, caller.name)
        if answer.code == 50:
            return {"success": False, "message": answer.message, "data": {"StatusCode": 50}}
        data = {"StatusCode": answer.code, **({"command": answer.command} if not answer.code else {})}
        return {"success": True, "message": answer.message, "data": data}

    def _bulk(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        answers = []
        for element in a["job_list"]:
            if not isinstance(element, dict) or not {"job_id", "job_status"} <= element.keys():
                return {"success": False, "message": "job_id or job_status is missing", "data": []}
            if isinstance(element.get("meta_data"), dict):
                element["meta_data"] = str(element["meta_data"])
            try:
                answers.append(self._update(_checked(UPDATE, element, False), caller))
            except Refused as e:
                answers.append({"success": False, "message": str(e), "data": None})
        return _done(answers)

    def _pilot_status(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        found = ((i, self._board.status(i) or ("not found", 0)) for i in a["job_ids"])
        return _done([{"job_id": i, "status": s, "attempt_number": n} for i, (s, n) in found])

    def _status(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        jobs = self._board.describe(a["job_ids"])
        known = ((jobs[i]["status"], jobs[i]["command"]) if i in jobs else ("unknown", None) for i in a["job_ids"])
        return _done([{"status": status, "command": command} for status, command in known])

    def _kill(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        return _done([[self._board.kill(i, a["code"]), ""] for i in a["job_ids"]])

    def _command(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if self._board.status(a["job_id"]) is None:
            raise Refused("Job not found")
        self._board.command(a["job_id"], a["command"])
        return _done(None)

    def _stats(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        total: dict[str, dict[str, int]] = {}
        for (queue, _, _), counts in self._board.statistics().items():
            at_queue = total.setdefault(queue, {})
            for status, n in counts.items():
                at_queue[status] = at_queue.get(status, 0) + n
        return _done(total)

    def _detailed_stats(self, a: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        tree: dict[str, Any] = {}
        for (queue, resource_type, label), counts in self._board.statistics().items():
            tree.setdefault(queue, {}).setdefault(resource_type, {})[label] = counts
        return _done(tree)


def _done(data: Any) -> Mapping[str, Any]:
    return {"success": True, "message": "", "data": data}


def _arguments(request: Request) -> dict[str, Any]:
    """The arguments as they came. Raises ValueError for a body that is no JSON object."""
    if request.method == "GET":
        return dict(request.query)
    body = request.body
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if request.headers.get("content-type") != JSON:
        return {name: values[-1] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  (like any other body that cannot be read)
    return value


def _checked(signature: Signature, arguments: Mapping[str, Any], cast: bool) -> dict[str, Any]:
    """The arguments with defaults filled in; strict unless they come from a query. Raises Refused."""
    for name in arguments:
        if name not in signature:
            raise Refused(f"Argument error: got an unexpected keyword argument '{name}'")
    checked = {}
    for name, (kind, default) in signature.items():
        if name not in arguments:
            if default is REQUIRED:
                raise Refused(f"Argument error: missing a required argument: '{name}'")
            checked[name] = default
            continue
        value = _cast(name, kind, arguments[name]) if cast else arguments[name]
        if not (isinstance(value, kind) or (value is None and default is None)):
            expected = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
            raise Refused(f"Type error: '{name}' must be of type {expected}, got {type(value).__name__}.")
        checked[name] = value
    return checked


def _cast(name: str, kind: Any, values: list[str]) -> Any:
    try:
        return [int(v) for v in values] if kind is list else kind(values[-1])
    except ValueError:
        raise Refused(f"Type error: '{name}' cannot be cast to {kind.__name__}") from None
