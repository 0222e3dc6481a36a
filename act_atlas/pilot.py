#!/usr/bin/env python3
"""Stand-in for the PanDA pilot and its wrapper, for demonstrations and tests; the simulated PanDA serves this file.

Runs on a worker node with nothing but Python: reads pandaJobData.out (urlencoded, or a JSON list), tells the simulator
that the job is being executed, reports running and the end to PanDA, and obeys tobekilled and SIGTERM. What it does is
said by the job's jobPars, see `PAYLOAD`. Arguments of the real wrapper that it does not know are ignored.

With ``--piloturl local`` it only unpacks the pilot that came along, `act_atlas.pilot_nordugrid`, and lets that go on.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import shlex
import signal
import ssl
import sys
import tarfile
import time
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import parse_qsl

JOB_DATA = "pandaJobData.out"
TARBALL = "pilot3.tar.gz"
OFFLINE_PILOT = "act_atlas.pilot_nordugrid"
CALL_S = 20.0
TRY_AGAIN_S = 1.0
READS = 5
KILLED_BY_PANDA, TERMINATED, PAYLOAD_FAILED = 1144, 1201, 1305

PAYLOAD = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
PAYLOAD.add_argument("--sleep", type=float, default=0.0, help="seconds of work")
PAYLOAD.add_argument("--exit", type=int, default=0, help="exit code; not 0: failed is reported")
PAYLOAD.add_argument("--die", action="store_true", help="end without a final report")
PAYLOAD.add_argument("--no-heartbeat", action="store_true", help="report nothing but the end")
PAYLOAD.add_argument("--incomplete", action="store_true", help="leave an output out of the final report")
PAYLOAD.add_argument("--interval", type=float, default=2.0, help="seconds between heartbeats")
PAYLOAD.add_argument("--patience", type=float, default=120.0, help="seconds to go on trying to report the end")
PAYLOAD.add_argument("--heartbeat", default="", help="what is wrong with heartbeat.json (NorduGrid mode)")
PAYLOAD.add_argument("--sim", default="", help="URL of the simulator that counts executions (NorduGrid mode)")
PAYLOAD.add_argument("--ca", default="", help="certificate of PanDA's CA, DER in base64, beside X509_CERT_DIR")

WRAPPER = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
WRAPPER.add_argument("-q", dest="queue", default="")
WRAPPER.add_argument("-j", dest="label", default="")
WRAPPER.add_argument("--url", default="https://localhost")
WRAPPER.add_argument("-p", dest="port", default="")
WRAPPER.add_argument("--piloturl", default="")


class Failure(Exception):
    """The job comes to a bad end; ``code`` is what is reported."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Panda:
    """The server, as far as a pilot needs it."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self._url = url
        # no proxies of the environment: PanDA is called directly
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One call. Raises OSError or ValueError if it gets no usable answer."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "pilot/stand-in"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)
        with self._opener.open(request, timeout=CALL_S) as answer:
            value = json.loads(answer.read())
        if not isinstance(value, dict):
            raise ValueError("not an answer of PanDA")  # noqa: TRY004
        return value

    def insist(self, path: str, body: dict[str, Any], patience_s: float) -> str:
        """Call until PanDA takes it or patience ends; returns the command that came with the answer."""
        end = time.monotonic() + patience_s
        while True:
            try:
                answer = self.post(path, body)
                data = answer.get("data") or {}
                if path.startswith("/_sim/") or (answer.get("success") and data.get("StatusCode") == 0):
                    return str(data.get("command", ""))
                say(f"{path}: PanDA says {answer}")
            except (OSError, ValueError, http.client.HTTPException) as e:
                say(f"{path}: {e!r}")
                if isinstance(e, urllib.error.HTTPError) and e.code < 500:
                    return ""
            if time.monotonic() > end:
                return ""
            time.sleep(TRY_AGAIN_S)


class Pilot:
    """One job."""

    def __init__(self, job: dict[str, Any], payload: argparse.Namespace, panda: Panda, queue: str) -> None:
        self._job, self._payload, self._panda = job, payload, panda
        self._start = time.time()
        node = os.uname().nodename
        self._common = {
            "job_id": int(job["PandaID"]),
            "attempt_nr": int(job["attemptNr"]),
            "site_name": queue,
            "node": node,
            "scheduler_id": os.environ.get("PANDA_JSID", ""),
            "pilot_id": f"{os.environ.get('GTAG', 'unknown')}|stand-in|PR|0",
            "start_time": utc(self._start),
        }
        self._who = f"{node}:{os.getpid()}"

    def run(self) -> int:
        """Execute and report; returns the exit code."""
        executed = {"pandaid": self._common["job_id"], "who": self._who}
        self._panda.insist("/_sim/executed", executed, self._payload.patience)
        try:
            self._work()
        except Failure as e:
            say(str(e))
            self._end({"job_status": "failed", "pilot_error_code": e.code, "pilot_error_diag": str(e)})
            return 1
        code = int(self._payload.exit)
        report = write_outputs(self._job, output_names(self._job)[1 if self._payload.incomplete else 0 :])
        if self._payload.die:
            say("dying without a report")
        elif code:
            diag = f"payload exit code {code}"
            self._end({"job_status": "failed", "trans_exit_code": code, "pilot_error_code": PAYLOAD_FAILED,
                       "pilot_error_diag": diag, "job_output_report": json.dumps(report)})  # fmt: skip
        else:
            self._end({"job_status": "finished", "trans_exit_code": 0, "job_output_report": json.dumps(report)})
        return code

    def _work(self) -> None:
        """The payload, with heartbeats."""
        end = self._start + self._payload.sleep
        while True:
            if not self._payload.no_heartbeat:
                command = self._panda.insist("/api/v1/pilot/update_job", {**self._common, "job_status": "running"}, 0)
                if "tobekilled" in command.split(","):
                    raise Failure(KILLED_BY_PANDA, "killed by panda server")
            left = end - time.time()
            if left <= 0:
                return
            time.sleep(min(left, self._payload.interval))

    def _end(self, values: dict[str, Any]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the report is what is left to do
        body = {**self._common, **values, "end_time": utc(time.time())}
        command = self._panda.insist("/api/v1/pilot/update_job", body, self._payload.patience)
        say(f"reported {values['job_status']}, answer {command}")


def write_outputs(job: dict[str, Any], names: list[str]) -> dict[str, dict[str, Any]]:
    """Write outputs of the job, its log among them, to the working directory; returns the list for the report."""
    report = {}
    for name in names:
        path = Path(name)
        if name == job.get("logFile"):
            log = Path("pilotlog.txt")
            log.write_text(f"log of job {job['PandaID']}\n")
            with tarfile.open(path, "w:gz") as tar:
                tar.add(str(log))
        else:
            path.write_text(f"output of job {job['PandaID']}\n")
        report[name] = entry(path.read_bytes())
    return report


def output_names(job: dict[str, Any]) -> list[str]:
    """What the job is to produce, its log included."""
    return names_in(job, "outFiles")


def names_in(job: dict[str, Any], field: str) -> list[str]:
    """A comma-joined list of the job."""
    return [name for name in str(job.get(field, "")).split(",") if name not in ("", "NULL")]


def entry(content: bytes) -> dict[str, Any]:
    """What the final report says of one output."""
    return {"guid": str(uuid.uuid4()), "fsize": len(content), "adler32": f"{zlib.adler32(content):08x}"}


def read_job(text: str) -> dict[str, Any]:
    """The job, from either form of the file."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return dict(parse_qsl(text, keep_blank_values=True))
    value = json.loads(text)
    return dict(value[0] if isinstance(value, list) else value)


def tls(ca: str, proxy: str) -> ssl.SSLContext:
    """Trusts the CA that the job names and those of X509_CERT_DIR; shows the proxy, if there is such a file."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=base64.b64decode(ca))
    if os.environ.get("X509_CERT_DIR"):
        context.load_verify_locations(capath=os.environ["X509_CERT_DIR"])
    if proxy and Path(proxy).exists():
        show(context, proxy)
    return context


def show(context: ssl.SSLContext, proxy: str) -> None:
    """Read the proxy; a CE that is just renewing it may have written half of it."""
    for _ in range(READS):
        try:
            context.load_cert_chain(proxy)
        except OSError as e:  # of which SSLError is one
            say(f"{proxy} cannot be read now: {e}")
            time.sleep(TRY_AGAIN_S)
        else:
            return
    context.load_cert_chain(proxy)


def utc(when: float) -> str:
    """A time as PanDA writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when))


def say(text: str) -> None:
    """A line for the job's log."""
    sys.stdout.write(f"{utc(time.time())} {text}\n")
    sys.stdout.flush()


def terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Signal handler."""
    raise Failure(TERMINATED, "terminated by SIGTERM")


def go_on_offline() -> NoReturn:
    """Become the pilot that the CE has brought along."""
    with tarfile.open(TARBALL) as tar:
        tar.extractall("pilot3")
    command = [sys.executable, "-m", OFFLINE_PILOT, *sys.argv[1:]]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": str(Path("pilot3").resolve())})


def main() -> int:
    """Arguments of the wrapper -> exit code of the job."""
    sys.stderr = sys.stdout  # one log, also for what nobody expected
    arguments, _ = WRAPPER.parse_known_args()
    if arguments.piloturl == "local":
        go_on_offline()
    job = read_job(Path(JOB_DATA).read_text())
    payload, _ = PAYLOAD.parse_known_args(shlex.split(str(job.get("jobPars", ""))))
    url = arguments.url + (f":{arguments.port}" if arguments.port else "")
    say(f"job {job['PandaID']} attempt {job['attemptNr']} at {arguments.queue}, PanDA is {url}")
    signal.signal(signal.SIGTERM, terminated)
    return Pilot(
        job, payload, Panda(url, tls(payload.ca, os.environ.get("X509_USER_PROXY", ""))), arguments.queue
    ).run()


if __name__ == "__main__":
    sys.exit(main())
