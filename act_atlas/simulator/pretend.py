"""The pilots of jobs that only pretend to run: they report to the simulated PanDA without a process or a connection.

At queues in NorduGrid mode they report nothing; the simulated CE gets heartbeat.json from `PretendPilot.output`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from act_atlas import pilot, pilot_nordugrid
from act_atlas.simulator.board import Board

NAME = "pretended pilot"
NO_REPORT = ("die", "vanish", "absent")
DEAD = 65


class PretendedJob(Protocol):
    """What a simulated CE tells of a job. exit_code is None for one that did not end by itself."""

    panda_id: str
    exit_code: int | None


class PretendPilot:
    """Hooks for a simulated CE: `on_start` when a job begins to run there, `on_end` when it has ended, `output` for
    the content of a file that it leaves."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._stored: set[tuple[int, int]] = set()

    def on_start(self, job: PretendedJob) -> None:
        """Count the execution and report running; in NorduGrid mode, make the CE's job fail that is to die."""
        found = self._find(job)
        if found is None:
            return
        pandaid, kind, fields = found
        self._board.executed(pandaid, NAME)
        if self._is_offline(pandaid):
            job.exit_code = DEAD if kind == "die" else None
        elif kind != "silent":
            self._report(pandaid, fields, "running", {})

    def on_end(self, job: PretendedJob) -> None:
        """Report what the job's kind and exit code say."""
        found = self._find(job)
        if found is None or self._is_offline(found[0]):
            return
        pandaid, kind, fields = found
        if job.exit_code is None:
            values = {"pilot_error_code": pilot.TERMINATED, "pilot_error_diag": "terminated by SIGTERM"}
            self._report(pandaid, fields, "failed", values)
        elif kind in ("fail", "die", "vanish") or job.exit_code:
            values = {"pilot_error_code": pilot.PAYLOAD_FAILED, "pilot_error_diag": "payload failed"}
            if kind not in ("die", "vanish"):
                self._report(pandaid, fields, "failed", values)
        else:
            names = pilot.output_names(fields)[1 if kind == "incomplete" else 0 :]
            outputs = {name: pilot.entry(name.encode()) for name in names}
            self._report(pandaid, fields, "finished", {"job_output_report": json.dumps(outputs)})

    def output(self, job: PretendedJob, name: str, default: bytes) -> bytes | None:
        """The content of a file, None if the job leaves none. default: what the CE would make up.

        When the report is first asked for, outputs are put to storage that is a local directory (file://).
        """
        found = self._find(job)
        if name != pilot_nordugrid.HEARTBEAT or found is None or not self._is_offline(found[0]):
            return default
        pandaid, kind, fields = found
        if job.exit_code or kind in NO_REPORT:
            return None
        log = fields["logFile"]
        names = pilot.output_names(fields)[1 if kind == "incomplete" else 0 :]
        outputs = {n: pilot.entry(n.encode()) for n in names if kind != "fail" or n == log}
        queue = self._board.queue_of(pandaid)
        for lfn, url in pilot_nordugrid.destinations(fields, queue).items():
            if lfn in outputs:
                outputs[lfn]["surl"] = url
        self._store(pandaid, {n: o for n, o in outputs.items() if kind != "missing-output" or n == log})
        state = "failed" if kind == "fail" else "finished"
        report = pilot_nordugrid.heartbeat(fields, state, outputs, str(queue.get("name", "")), time.time())
        if kind == "fail":
            report |= {"pilotErrorCode": pilot.PAYLOAD_FAILED, "pilotErrorDiag": "payload failed"}
        return b"".join(pilot_nordugrid.content(report, kind))

    def _store(self, pandaid: int, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the files of one execution, once: what is removed afterwards stays away."""
        execution = (pandaid, self._board.executions(pandaid))
        with self._lock:
            if execution in self._stored:
                return
            self._stored.add(execution)
            for name, facts in outputs.items():
                url = urlsplit(facts["surl"])
                if url.scheme == "file":
                    path = Path(unquote(url.path))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(name.encode())

    def _is_offline(self, pandaid: int) -> bool:
        """Whether the job's queue is in NorduGrid mode."""
        facts = self._board.queue_of(pandaid)
        tools = (facts.get("copytools") or {}, *(facts.get("acopytools") or {}).values())
        return any("mv" in tool for tool in tools)

    def _find(self, job: PretendedJob) -> tuple[int, str, dict[str, Any]] | None:
        """(PandaID, kind, fields) of a job that PanDA knows."""
        return self._board.dispatch(int(job.panda_id)) if job.panda_id.isdigit() else None

    def _report(self, pandaid: int, fields: dict[str, Any], status: str, values: dict[str, Any]) -> None:
        self._board.update(pandaid, status, {"attempt_nr": fields["attemptNr"], **values}, NAME)
