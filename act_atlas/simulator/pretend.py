"""The pilots of jobs that only pretend to run: they report to the simulated PanDA without a process or a connection."""

from __future__ import annotations

import json
from typing import Any, Protocol

from act_atlas import pilot
from act_atlas.simulator.board import Board

NAME = "pretended pilot"


class PretendedJob(Protocol):
    """What a simulated CE tells of a job. exit_code is None for one that did not end by itself."""

    panda_id: str
    exit_code: int | None


class PretendPilot:
    """Hooks for a simulated CE: `on_start` when a job begins to run there, `on_end` when it has ended."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def on_start(self, job: PretendedJob) -> None:
        """Count the execution and report running."""
        found = self._find(job)
        if found is None:
            return
        pandaid, kind, fields = found
        self._board.executed(pandaid, NAME)
        if kind != "silent":
            self._report(pandaid, fields, "running", {})

    def on_end(self, job: PretendedJob) -> None:
        """Report what the job's kind and exit code say."""
        found = self._find(job)
        if found is None:
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

    def _find(self, job: PretendedJob) -> tuple[int, str, dict[str, Any]] | None:
        """(PandaID, kind, fields) of a job that PanDA knows."""
        return self._board.dispatch(int(job.panda_id)) if job.panda_id.isdigit() else None

    def _report(self, pandaid: int, fields: dict[str, Any], status: str, values: dict[str, Any]) -> None:
        self._board.update(pandaid, status, {"attempt_nr": fields["attemptNr"], **values}, NAME)
