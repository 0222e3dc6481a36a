"""The stand-in pilot in NorduGrid mode: the CE moves all data, and the pilot talks to nobody.

It comes along as pilot3.tar.gz, checks the inputs that the CE has brought, writes outputs, and leaves behind
heartbeat.json, which is its report under the names of the legacy interface, and output.list, which tells the CE where
outputs go. Only the simulator's count of executions hears of it, as far as there is a network.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from act_atlas import pilot
from act_atlas.pilot import Failure

HEARTBEAT, OUTPUT_LIST, QUEUE_DATA = "heartbeat.json", "output.list", "queuedata.json"
STAGE_IN_FAILED, WRONG_CHECKSUM = 1099, 1171
HUGE_MB = 100
# Where CRIC's aprotocols name the storage to write to, the first that is there.
WRITE_ACTIVITIES = ("pw", "write_lan", "write_wan", "w")
TROUBLES = ("absent", "truncated", "huge", "nested", "hell", "wrong-job", "wrong-checksum", "missing-output")


class OfflinePilot:
    """One job."""

    def __init__(self, job: dict[str, Any], payload: argparse.Namespace, queue: str) -> None:
        self._job, self._payload, self._queue = job, payload, queue
        self._start = time.time()

    def run(self) -> int:
        """Execute and leave a report; returns the exit code, which is 0 whenever there is a report."""
        self._count()
        try:
            check_inputs(self._job)
            time.sleep(self._payload.sleep)
        except Failure as e:
            pilot.say(str(e))
            self._leave({"pilotErrorCode": e.code, "pilotErrorDiag": str(e)}, failed=True)
            return 0
        code = int(self._payload.exit)
        if self._payload.die:
            pilot.say("error: dying without a report")
            return code
        diag = f"payload exit code {code}"
        told = {"transExitCode": code, "exeErrorCode": code, "pilotErrorCode": pilot.PAYLOAD_FAILED,
                "pilotErrorDiag": diag} if code else {"transExitCode": 0}  # fmt: skip
        self._leave(told, failed=bool(code))
        return 0

    def _count(self) -> None:
        """Tell the simulator, whose own bookkeeping this is; a worker node without network does not."""
        if self._payload.sim:
            panda = pilot.Panda(self._payload.sim, pilot.tls(self._payload.ca, proxy=""))
            who = f"{os.uname().nodename}:{os.getpid()}"
            panda.insist("/_sim/executed", {"pandaid": int(self._job["PandaID"]), "who": who}, 0)

    def _leave(self, told: dict[str, Any], *, failed: bool) -> None:
        """Write outputs (of a failed job only the log), the list for the CE, and the report."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the report is what is left to do
        trouble = self._payload.heartbeat
        names = pilot.output_names(self._job)[1 if self._payload.incomplete else 0 :]
        wanted = [n for n in names if not failed or n == self._job.get("logFile")]
        outputs = pilot.write_outputs(self._job, wanted)
        places = destinations(self._job, json.loads(Path(QUEUE_DATA).read_text()))
        stored = [n for n in wanted if trouble != "missing-output" or n == self._job.get("logFile")]
        lines = [f"{n} {for_arc(places[n], outputs[n]['adler32'])}\n" for n in stored]
        Path(OUTPUT_LIST).write_text("".join(lines))
        for name, facts in outputs.items():
            facts["surl"] = places[name]
        report = heartbeat(self._job, "failed" if failed else "finished", outputs, self._queue, self._start) | told
        with Path(HEARTBEAT).open("wb") as f:
            f.writelines(content(report, trouble))
        if trouble == "absent":
            Path(HEARTBEAT).unlink()
        pilot.say(f"left a report: {report['state']} {trouble}")


def check_inputs(job: dict[str, Any]) -> None:
    """All inputs are there, as large as and with the checksum that the job says. Raises Failure."""
    names = pilot.names_in(job, "inFiles")
    sizes, checksums = str(job.get("fsize", "")).split(","), str(job.get("checksum", "")).split(",")
    for number, name in enumerate(names):
        path = Path(name)
        if not path.is_file():
            raise Failure(STAGE_IN_FAILED, f"input file {name} is not there")
        size = path.stat().st_size
        if number < len(sizes) and sizes[number].isdigit() and size != int(sizes[number]):
            raise Failure(STAGE_IN_FAILED, f"input file {name} has {size} bytes, not {sizes[number]}")
        kind, _, checksum = checksums[number].partition(":") if number < len(checksums) else ("", "", "")
        if kind == "ad" and adler32(path) != checksum:
            raise Failure(WRONG_CHECKSUM, f"input file {name} has adler32 {adler32(path)}, not {checksum}")


def adler32(path: Path) -> str:
    """The checksum of a file of any size."""
    value = 1
    with path.open("rb") as f:
        while data := f.read(1 << 20):
            value = zlib.adler32(data, value)
    return f"{value:08x}"


def destinations(job: Mapping[str, Any], queue_data: Mapping[str, Any]) -> dict[str, str]:
    """Output -> URL on the queue's storage; "" as base if CRIC names none."""
    protocols = queue_data.get("aprotocols") or {}
    found = next((protocols[a] for a in WRITE_ACTIVITIES if protocols.get(a)), [["", ""]])
    endpoint, path = found[0][:2]
    base = f"{endpoint}/{path.strip('/')}".rstrip("/")
    fields = dict(job)
    scopes = pilot.names_in(fields, "scopeOut")
    places = {}
    for name in pilot.output_names(fields):
        if name == job.get("logFile"):
            scope = str(job.get("scopeLog", ""))
        else:  # parallel to the outputs without the log
            scope = scopes.pop(0) if scopes else ""
        places[name] = f"{base}/{scope}/{name}"
    return places


def for_arc(url: str, checksum: str) -> str:
    """A destination with what ARC wants to know of it, and an option for XRootD.

    For a PUT as a whole ARC waits to be told to continue, by a header that XRootD 5.5 knows in another spelling only;
    the wait ends as a failure. One in parts does not wait.
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    option = ";httpputpartial=yes" if scheme in ("davs", "https") else ""
    return f"{scheme}://{host}{option}{slash}{path}:checksumtype=adler32:checksumvalue={checksum}"


def heartbeat(
    job: Mapping[str, Any], state: str, outputs: Mapping[str, Mapping[str, Any]], queue: str, start: float
) -> dict[str, Any]:
    """The report as real pilots write it, numbers of odd types included."""
    end = time.time()
    cpu_s = time.process_time()
    return {
        "jobId": str(job["PandaID"]), "state": state, "attemptNr": int(job["attemptNr"]), "siteName": queue,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(end)), "node": os.uname().nodename,
        "schedulerID": os.environ.get("PANDA_JSID", "unknown"), "batchID": None,
        "pilotID": f"{os.environ.get('GTAG', 'unknown')}|stand-in|PR|0",
        "startTime": pilot.utc(start), "endTime": pilot.utc(end),
        "coreCount": int(job.get("coreCount") or 1), "meanCoreCount": 1.0,
        "cpuConsumptionTime": int(cpu_s), "cpuConsumptionUnit": "s+stand-in", "cpuConversionFactor": 1.0,
        "maxRSS": 20000, "maxPSS": 15000, "maxVMEM": 90000, "maxSWAP": 0, "avgRSS": 18000, "totRCHAR": 4096,
        "rateRCHAR": 12.5, "jobMetrics": f"coreCount={job.get('coreCount') or 1}", "pilotTiming": "1|1|1|1|1",
        "pilotErrorCode": 0, "exeErrorCode": 0, "nEvents": 10,
        "xml": json.dumps(outputs), "metaData": json.dumps({"resource": {"executor": {}}}),
    }  # fmt: skip


def content(report: dict[str, Any], trouble: str) -> Iterator[bytes]:
    """The report as a file, with what is to be wrong with it."""
    outputs = json.loads(report["xml"])
    text = json.dumps(report)
    match trouble:
        case "truncated":
            yield text[: len(text) // 2].encode()
        case "huge":
            yield text[:-1].encode() + b', "pilotLog": "'
            for _ in range(HUGE_MB):
                yield b"x" * (1 << 20)
            yield b'"}'
        case "nested":
            yield text[:-1].encode() + b', "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        case "hell":
            yield json.dumps(report | hell(outputs)).encode()
        case "wrong-job":
            yield json.dumps(report | {"jobId": int(report["jobId"]) + 1}).encode()
        case "wrong-checksum":
            spoilt = {name: facts | {"adler32": "0badcafe"} for name, facts in outputs.items()}
            yield json.dumps(report | {"xml": json.dumps(spoilt)}).encode()
        case _:
            yield text.encode()


def hell(outputs: dict[str, Any]) -> dict[str, Any]:
    """Wrong types and hostile texts in all places, around a true list of outputs."""
    hostile = {"../../etc/passwd": {"guid": "g", "fsize": 1, "surl": "file:///etc/passwd"}, "a\0\n\ud800": {}, "": []}
    return {
        "xml": outputs | hostile,
        "metaData": {"\ud800": ["\0" * 1000, float("nan")]},
        "nEvents": "many",
        "coreCount": 10**300,
        "maxRSS": float("inf"),
        "node": ["\ud800", None],
        "pilotErrorDiag": "\0\x1b]0;\ud800" * 999,
        "startTime": "tomorrow",
        "endTime": -1e300,
        "cpuConsumptionTime": True,
        "pilotTiming": {"a": {"b": []}},
        "job_id": "\u202e",
        "'; DROP TABLE pandajobs; --": 1,
        "\ud800": "\ud800",
    }


def main() -> int:
    """Arguments of the wrapper -> exit code of the job."""
    arguments, _ = pilot.WRAPPER.parse_known_args()
    job = pilot.read_job(Path(pilot.JOB_DATA).read_text())
    payload, _ = pilot.PAYLOAD.parse_known_args(shlex.split(str(job.get("jobPars", ""))))
    pilot.say(f"job {job['PandaID']} attempt {job['attemptNr']} at {arguments.queue}, in NorduGrid mode")
    signal.signal(signal.SIGTERM, pilot.terminated)
    return OfflinePilot(job, payload, arguments.queue).run()


if __name__ == "__main__":
    sys.exit(main())
