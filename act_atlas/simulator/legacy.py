"""The interface /server/panda of the simulated PanDA, as servers up to 0.8.1 have it: all values are text."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from act.simulation import Request, Response
from act_atlas.simulator.access import Access, Caller
from act_atlas.simulator.board import Board
from act_atlas.simulator.rules import Answer, Wanted

JSON = "application/json"
Arguments = Mapping[str, str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GET_JOB = _words(
    "siteName timeout cpu mem diskSpace prodSourceLabel node computingElement AtlasRelease prodUserID getProxyKey "
    "countryGroup workingGroup allowOtherCountry taskID nJobs background resourceType harvester_id worker_id "
    "schedulerID jobType viaTopic remaining_time token"
)
# legacy name -> name on the board
_NUMBERS = {
    "transExitCode": "trans_exit_code", "pilotErrorCode": "pilot_error_code", "exeErrorCode": "exe_error_code",
    "attemptNr": "attempt_nr", "coreCount": "core_count", "cpuConsumptionTime": "cpu_consumption_time",
    "nEvents": "n_events", "nInputFiles": "n_input_files",
}  # fmt: skip
_TEXTS = {
    "siteName": "site_name", "node": "node", "schedulerID": "scheduler_id", "pilotID": "pilot_id",
    "batchID": "batch_id", "startTime": "start_time", "endTime": "end_time", "pilotErrorDiag": "pilot_error_diag",
    "exeErrorDiag": "exe_error_diag", "xml": "job_output_report", "metaData": "meta_data",
    "jobMetrics": "job_metrics", "jobSubStatus": "job_sub_status", "pilotLog": "pilot_log", "stdout": "stdout",
    "computingElement": "computing_element",
}  # fmt: skip
_IGNORED = _words(
    "timeout token timestamp workdir remainingSpace messageLevel cpuConsumptionUnit cpuConversionFactor "
    "cpu_architecture_level meanCoreCount pilotTiming grid sourceSite destinationSite corruptedFiles maxRSS maxVMEM "
    "maxSWAP maxPSS avgRSS avgVMEM avgSWAP avgPSS totRCHAR totWCHAR totRBYTES totWBYTES rateRCHAR rateWCHAR "
    "rateRBYTES rateWBYTES"
)
UPDATE_JOB = frozenset({"jobId", "state"}) | _NUMBERS.keys() | _TEXTS.keys() | _IGNORED
_STRIPPED = ("pilotErrorCode",)  # lose their sign


class Legacy:
    """Answers what comes below /server/panda."""

    def __init__(self, board: Board, access: Access) -> None:
        self._board, self._access = board, access
        # method -> (arguments, required ones, what it does)
        self._methods: dict[str, tuple[frozenset[str], tuple[str, ...], Callable[[Arguments, Caller, bool], Response]]]
        self._methods = {
            "isAlive": (frozenset(), (), lambda a, c, j: _text("alive=yes")),
            "getJob": (GET_JOB, ("siteName",), self._get_job),
            "updateJob": (UPDATE_JOB, ("jobId", "state"), self._update_job),
            "updateJobsInBulk": (frozenset({"jobList", "harvester_id"}), ("jobList",), self._bulk),
            "getStatus": (frozenset({"ids", "timeout"}), ("ids",), self._status),
            "getJobStatisticsPerSite": (frozenset(), (), self._pickled_stats),
            "get_job_statistics_per_site_label_resource": (frozenset({"time_window"}), (), self._stats),
        }

    def handle(self, request: Request) -> Response:
        """The answer to a request."""
        parts = request.path.split("/")
        if len(parts) != 4 or parts[3] not in self._methods:
            return _text(f"ERROR : method {parts[-1]} is forbidden", 403)
        names, required, work = self._methods[parts[3]]
        caller = self._access.caller(request)
        try:
            arguments = _arguments(request)
        except (OSError, ValueError) as e:
            return _text(f"ERROR : {e}", 500)
        for name in required:
            if name not in arguments:
                return _text(f"{parts[3]}() missing 1 required positional argument: '{name}'", 500)
        for name in arguments:
            if name not in names:
                return _text(f"{parts[3]}() got an unexpected keyword argument '{name}'", 500)
        try:
            return work(arguments, caller, request.headers.get("accept") == JSON)
        except (ValueError, KeyError) as e:
            return _text(str(e), 500)

    def _get_job(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        if not caller.production:
            return _values({"StatusCode": 60}, as_json)
        wanted = Wanted(
            queue=a["siteName"], n=int(a.get("nJobs", 1)), label=a.get("prodSourceLabel", ""),
            timeout=int(a.get("timeout", 60)), memory=int(a.get("mem", 0)), disk_space=int(a.get("diskSpace", 0)),
            remaining_time=int(a.get("remaining_time", 0)), resource_type=a.get("resourceType", ""),
            computing_element=a.get("computingElement", ""), task_id=int(a.get("taskID", 0)),
            node=a.get("node", ""), scheduler_id=a.get("schedulerID", ""),
        )  # fmt: skip
        jobs = [{k: str(v) for k, v in job.items()} for job in self._board.acquire(wanted, caller.name)]
        if not jobs:
            return _values({"StatusCode": 20, **({"errorDialog": "no jobs in PanDA"} if as_json else {})}, as_json)
        if "nJobs" not in a:
            return _values({"StatusCode": 0, **jobs[0]}, as_json)
        return _values({"StatusCode": 0, "jobs": jobs if as_json else json.dumps(jobs)}, as_json)

    def _update_job(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        return _values(self._update(a, caller), as_json)

    def _update(self, a: Arguments, caller: Caller) -> dict[str, Any]:
        if not caller.production:
            return {"StatusCode": 60}
        values: dict[str, Any] = {name: a[key] for key, name in _TEXTS.items() if key in a}
        for key, name in _NUMBERS.items():
            if key in a:
                values[name] = int(str(a[key]).lstrip("-") if key in _STRIPPED else a[key])
        answer = self._board.update(int(a["jobId"]), str(a["state"]), values, caller.name)
        if answer.code == 50:  # silently ignored
            answer = Answer()
        return {"StatusCode": answer.code, **({"command": answer.command} if not answer.code else {})}

    def _bulk(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        answers: list[Any] = []
        for element in json.loads(a["jobList"]):
            if unknown := element.keys() - UPDATE_JOB:
                what = f"updateJob() got an unexpected keyword argument '{min(unknown)}'"
                return _text(json.dumps([False, f"updateJobsInBulk None failed with TypeError {what}"]))
            answer = self._update(element, caller)
            wrapped = {"type": "json", "content": json.dumps(answer)}
            answers.append(wrapped if as_json else urlencode(answer))
        return _text(json.dumps([True, answers]))

    def _status(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        found = [self._board.status(int(i)) or ("notfound", 0) for i in a["ids"].split()]
        joined = {"status": "+".join(s for s, _ in found), "attemptNr": "+".join(str(n) for _, n in found)}
        return _text(urlencode({"StatusCode": 0, **joined}))

    def _stats(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        tree: dict[str, Any] = {}
        for (queue, resource_type, label), counts in self._board.statistics().items():
            tree.setdefault(queue, {}).setdefault(label, {})[resource_type] = counts
        return Response.json(tree)

    def _pickled_stats(self, a: Arguments, caller: Caller, as_json: bool) -> Response:
        total = {queue: counts for (queue, _, _), counts in self._board.statistics().items()}
        return Response(200, pickle.dumps(total, protocol=0), {"Content-Type": "text/plain"})


def _arguments(request: Request) -> dict[str, str]:
    """Query or form. A JSON body must be gzipped, whatever the headers say: OSError from gzip otherwise."""
    if request.headers.get("content-type") == JSON:
        return {k: str(v) for k, v in json.loads(gzip.decompress(request.body)).items()}
    form = parse_qs(request.body.decode(), keep_blank_values=True) if request.method == "POST" else request.query
    return {name: values[-1] for name, values in form.items()}


def _values(values: Mapping[str, Any], as_json: bool) -> Response:
    return Response.json(values) if as_json else _text(urlencode(values))


def _text(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), {"Content-Type": "text/plain"})
