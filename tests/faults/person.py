"""A person beside PanDA, who hands a proxy over and has jobs done through all that the web server calls.

A process as daemons are, so that it can be struck at every effect of the server's: like actcli it asks again until it
knows the answer, and what it knows is in files.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from act import faults
from act.client.db import attempts_of
from act.client.identity import Caller, Gate
from act.client.jobs import Jobs
from act.client.model import Confirmed, Filter, JobRow, NewJob, Submitted
from act.client.tables import LEDGER
from act.config import CoreConfig
from act.db import cejobs
from act.db.engine import Database
from act.errors import StorageUnavailable
from act.storage import Store
from act.x509 import sign_request
from tests import truth

NAME = "person"
SUBJECT = "/O=act/CN=alice"
PROXY = "alice.pem"  # a file beside the configuration
DAY_S = 86400.0
ERRANDS_FILE = "errands.json"


class Errand(NamedTuple):
    """A job of the person's: its CE and arguments. end: how it is shown when it is over, "" for one that is given up
    before it is submitted; runs: how often it is executed; attempts: so many before its end counts.
    """

    name: str
    ce: str
    arguments: str = "-"
    end: str = "done"
    runs: int = 1
    attempts: int = 1


# The parked one waits at its CE until the person wants its end.
PARKED = "user-parked"
ERRANDS = (
    Errand("user-good", "one"),
    Errand("user-bad", "one", "--sim-exit=3", "donefailed"),
    Errand(PARKED, "parking", end="cancelled", runs=0),
    Errand("user-abandoned", "one", end="", runs=0, attempts=0),
)
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
        self._errands = errands(directory)
        self._db = db = Database(config.database.connect_url(), pool=2)
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
        if all(_is_over(rows[errand.name], errand) for errand in self._errands if errand.end):
            return self._note("got", {name: self._get(caller, row) for name, row in rows.items()})
        return 0

    def _hand_over(self) -> str:
        """The token of a session."""
        certificates = load_pem_x509_certificates(self._proxy)
        offer = self._gate.offer("".join(c.public_bytes(Encoding.PEM).decode() for c in certificates), "")
        signed = sign_request(offer.request.encode(), self._proxy, DAY_S).decode()
        return self._gate.accept(offer.token, signed, "")[0]

    def _submit(self, caller: Caller) -> list[int]:
        """Ids of the jobs that are the tower's now."""
        new = [NewJob(JOB.format(name=e.name, arguments=e.arguments), "xrsl", (e.ce,), INPUTS) for e in self._errands]
        ids, given_up = [], []
        for errand, answer in zip(self._errands, self._jobs.submit(caller, new, key="once"), strict=True):
            assert isinstance(answer, Submitted), answer
            (ids if errand.end else given_up).append(answer.id)
            for file in INPUTS if answer.state == "begun" else ():
                self._jobs.upload(caller, answer.id, file, io.BytesIO(f"{file} of {errand.name}".encode()))
        self._jobs.kill(caller, Filter(ids=tuple(given_up)))
        confirmed = self._jobs.confirm_ids(caller, ids)
        assert all(isinstance(answer, Confirmed) for answer in confirmed), confirmed
        return ids

    def _get(self, caller: Caller, row: JobRow) -> Mapping[str, Any]:
        """What `judge` looks at."""
        files = {}
        for file in self._jobs.results(caller, row.id):
            with self._jobs.open_result(caller, row.id, file.name) as (body, _):
                files[file.name] = body.read().decode()
        return {"shown": row.shown, "error": row.error, "ce_job_id": row.ce_job_id, "attempts": row.attempts,
                "files": files, "events": self._events(row.id),
                "explained": truth.words(os.environ, f"client:{row.id}")}  # fmt: skip

    def _events(self, job_id: int) -> list[str]:
        """What happened to the job, and to its attempts."""

        def read(connection: Any) -> list[str]:
            attempts = [a.id for a in attempts_of(connection, [job_id])]
            rows = [*cejobs.history(connection, LEDGER.kind, [job_id]),
                    *cejobs.history(connection, cejobs.LEDGER.kind, attempts)]  # fmt: skip
            return [f"{r.event} {r.who}" for r in rows]

        return self._db.read("history", read)

    def _note(self, what: str, value: object) -> int:
        part = self._notes / f".{what}"
        part.write_text(json.dumps(value))
        part.rename(self._notes / what)
        return 1


def _noted(notes: Path, what: str) -> Any:
    path = notes / what
    return json.loads(path.read_text()) if path.exists() else None


def _is_over(row: JobRow, errand: Errand) -> bool:
    return row.state in ("finished", "failed", "cancelled") and row.attempts >= errand.attempts


def hand_out(directory: Path, wanted: Sequence[Errand]) -> None:
    """What the person is to have done."""
    (directory / ERRANDS_FILE).write_text(json.dumps(wanted))


def errands(directory: Path) -> list[Errand]:
    """As handed out."""
    return [Errand(*errand) for errand in json.loads((directory / ERRANDS_FILE).read_text())]


def is_done(directory: Path) -> bool:
    """Whether the person has seen the ends of all jobs, and their files."""
    return _noted(directory / NAME, "got") is not None


def got(directory: Path) -> dict[str, dict[str, Any]]:
    """What the person got of each job, by name."""
    found: dict[str, dict[str, Any]] = _noted(directory / NAME, "got")
    return found


def judge(directory: Path, executions: Mapping[str, int]) -> None:
    """Every job ran as often as it should, ended right, and what it made came back. executions: by names at CEs."""
    told = got(directory)
    for errand in errands(directory):
        ran = sum(n for full, n in executions.items() if full.startswith(errand.name))
        assert ran == errand.runs, f"{errand.name} ran {ran} times: {told}"
        if not errand.end:
            continue
        found = told[errand.name]
        content = {n: f"pretended output {n} of job {found['ce_job_id']}\n" for n in OUTPUTS}
        assert (found["shown"], found["attempts"]) == (errand.end, errand.attempts), found
        assert found["files"] == (content if errand.runs else {}), found
