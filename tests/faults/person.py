"""A person beside PanDA, who hands a proxy over and has jobs done through all that the web server calls.

A process as daemons are, so that it can be struck at every effect of the server's: like actcli it asks again until it
knows the answer, and what it knows is in files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from act import faults
from act.client.identity import Caller, Gate
from act.client.jobs import Jobs
from act.client.model import Confirmed, Filter, JobRow, NewJob, Submitted
from act.config import CoreConfig
from act.db.engine import Database
from act.errors import StorageUnavailable
from act.storage import Store
from act.x509 import sign_request

NAME = "person"
SUBJECT = "/O=act/CN=alice"
PROXY = "alice.pem"  # a file beside the configuration
DAY_S = 86400.0
ABANDONED = "user-abandoned"
# Name of a job -> its CE and arguments. PARKED waits at its CE until the person wants its end.
JOBS = {"user-good": ("one", "-"), "user-bad": ("one", "--sim-exit=3"), "user-parked": ("parking", "-"),
        ABANDONED: ("one", "-")}  # fmt: skip
PARKED = "user-parked"
ENDS = {"user-good": "done", "user-bad": "donefailed", PARKED: "cancelled"}
AT_THE_CE = ("submitted", "holding")
OUTPUTS = ("out.txt", "stdout.txt")
INPUTS = ("data.txt", "run.sh")
JOB = """&(jobname="{name}")(executable="run.sh")(arguments="{arguments}")(inputfiles=("run.sh" "")("data.txt" ""))
(outputfiles=("out.txt" ""))(stdout="stdout.txt")(join="yes")(walltime="5 minutes")"""


class Person:
    """`once` is a pass, as daemons have it."""

    name = NAME

    def __init__(self, config: CoreConfig, directory: Path) -> None:
        self._proxy, self._notes = (directory / PROXY).read_bytes(), directory / NAME
        self._notes.mkdir(exist_ok=True)
        db = Database(config.database.connect_url(), pool=2)
        self._gate = Gate(config, db)
        self._jobs = Jobs(config, db, faults.port("store", Store(config.paths.store_dir), StorageUnavailable))

    def once(self) -> int:
        """The next step; 0 while there is nothing to do but wait."""
        if (session := _noted(self._notes, "session")) is None:
            return self._note("session", self._hand_over())
        caller = self._gate.caller(f"Bearer {session}")
        if (ids := _noted(self._notes, "submitted")) is None:
            return self._note("submitted", self._submit(caller))
        if _noted(self._notes, "got") is not None:
            return len(self._jobs.clean(caller, Filter()))
        rows = {r.name: r for r in self._jobs.find(caller, Filter(ids=tuple(ids)))}
        if rows[PARKED].shown in AT_THE_CE:
            return len(self._jobs.kill(caller, Filter(ids=(rows[PARKED].id,))))
        if all(rows[name].state in ("finished", "failed", "cancelled") for name in ENDS):
            return self._note("got", {name: self._get(caller, rows[name]) for name in ENDS})
        return 0

    def _hand_over(self) -> str:
        """The token of a session."""
        certificates = load_pem_x509_certificates(self._proxy)
        offer = self._gate.offer("".join(c.public_bytes(Encoding.PEM).decode() for c in certificates), "")
        signed = sign_request(offer.request.encode(), self._proxy, DAY_S).decode()
        return self._gate.accept(offer.token, signed, "")[0]

    def _submit(self, caller: Caller) -> list[int]:
        """Ids of the jobs that are the tower's now."""
        new = [NewJob(JOB.format(name=n, arguments=a), "xrsl", (ce,), INPUTS) for n, (ce, a) in JOBS.items()]
        ids = {}
        for name, answer in zip(JOBS, self._jobs.submit(caller, new, key="once"), strict=True):
            assert isinstance(answer, Submitted), answer
            ids[name] = answer.id
            for file in INPUTS if answer.state == "begun" else ():
                self._jobs.upload(caller, answer.id, file, io.BytesIO(f"{file} of {name}".encode()))
        self._jobs.kill(caller, Filter(ids=(ids.pop(ABANDONED),)))
        confirmed = self._jobs.confirm_ids(caller, list(ids.values()))
        assert all(isinstance(answer, Confirmed) for answer in confirmed), confirmed
        return list(ids.values())

    def _get(self, caller: Caller, row: JobRow) -> Mapping[str, Any]:
        """What `judge` looks at."""
        files = {}
        for file in self._jobs.results(caller, row.id):
            with self._jobs.open_result(caller, row.id, file.name) as (body, _):
                files[file.name] = body.read().decode()
        return {"shown": row.shown, "error": row.error, "ce_job_id": row.ce_job_id, "attempts": row.attempts,
                "files": files}  # fmt: skip

    def _note(self, what: str, value: object) -> int:
        part = self._notes / f".{what}"
        part.write_text(json.dumps(value))
        part.rename(self._notes / what)
        return 1


def _noted(notes: Path, what: str) -> Any:
    path = notes / what
    return json.loads(path.read_text()) if path.exists() else None


def is_done(directory: Path) -> bool:
    """Whether the person has seen the ends of all jobs, and their files."""
    return _noted(directory / NAME, "got") is not None


def judge(directory: Path, executions: Mapping[str, int]) -> None:
    """Every job ran as often as it should, ended right, and what it made came back. executions: by names at CEs."""
    told = _noted(directory / NAME, "got")
    for name in JOBS:
        ran = sum(n for full, n in executions.items() if full.startswith(name))
        wanted = 0 if name in (PARKED, ABANDONED) else 1
        assert ran == wanted, f"{name} ran {ran} times: {told}"
    for name, end in ENDS.items():
        found = told[name]
        content = {n: f"pretended output {n} of job {found['ce_job_id']}\n" for n in OUTPUTS}
        assert (found["shown"], found["attempts"]) == (end, 1), found
        assert found["files"] == (content if name != PARKED else {}), found
