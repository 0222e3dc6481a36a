"""Speaks HTCondor's language through its bindings, which may block or crash; runs as a process of its own, as a script.

Reads one JSON object a line: ``op``, ``within_s``, ``collector`` ("" for the configured one), ``schedd`` and what the
op takes. Answers each with ``{"sent": true}`` as soon as the schedd is known and is about to be asked, and with
``{"ok": value}`` or ``{"error": text, "details": text, "partly": bool}``; partly: some of it was done. What a submit
with ``spool`` returned stays in memory: only the process that submitted a job can send its files.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any, NoReturn

import classad2  # type: ignore[import-untyped,import-not-found,unused-ignore]
import htcondor2  # type: ignore[import-untyped,import-not-found,unused-ignore]
from classad2 import ClassAdException
from htcondor2 import HTCondorException

GRACE_S = 5.0  # the parent ends a late child first; this is for a child whose parent is gone
DETAILS = 4000  # characters
_PR_SET_PDEATHSIG = 1

ACTIONS = {action.name: action for action in htcondor2.JobAction}


class Partly(Exception):
    """Some of it was done before the error that is the cause of this."""


class Ops:
    """Each public method is an op; its keywords are the request's."""

    def __init__(self) -> None:
        self._unspooled: dict[str, Any] = {}  # job -> the result of its submit

    def probe(self, schedd: Any, location: Any) -> None:
        """Whether we may write there."""
        htcondor2.ping(location, "WRITE")

    def submit(self, schedd: Any, commands: dict[str, str], items: list[dict[str, str]], spool: bool) -> list[str]:
        """Ids in the order of the items. Without spool all in one transaction; with it each job in one of its own, as
        what was submitted together can be spooled together only."""
        description = htcondor2.Submit(commands)
        ids: list[str] = []
        for part in [[item] for item in items] if spool else [items]:
            try:
                result = schedd.submit(description, itemdata=iter(part), spool=spool)
            except HTCondorException as e:
                if ids:
                    raise Partly(str(e)) from e
                raise
            made = self._ids(result)
            ids += made
            if spool:
                self._unspooled[made[0]] = result
        return ids

    def spool(self, schedd: Any, ids: list[str]) -> dict[str, str | None]:
        """Id -> None if its files were sent, else why not. Those submitted by another process are left out."""
        answers: dict[str, str | None] = {}
        for job in ids:
            if (result := self._unspooled.pop(job, None)) is not None:
                answers[job] = None
                try:
                    schedd.spool(result)
                except HTCondorException as e:
                    answers[job] = str(e)
        return answers

    def query(self, schedd: Any, constraint: str, projection: list[str]) -> list[dict[str, Any]]:
        """The jobs in the queue."""
        return [_plain(ad, projection) for ad in schedd.query(constraint, projection)]

    def history(self, schedd: Any, constraint: str, projection: list[str], at_most: int) -> list[dict[str, Any]]:
        """The jobs that have left the queue."""
        return [_plain(ad, projection) for ad in schedd.history(constraint, projection, at_most)]

    def act(self, schedd: Any, action: str, ids: list[str], reason: str) -> None:
        """Those that are not in a state for it are left as they are."""
        schedd.act(ACTIONS[action], ids, (reason, 0))  # a reason that is a mere text gets lost in the bindings

    def edit(self, schedd: Any, ids: list[str], attribute: str, value: str) -> None:
        """Set an attribute to an expression."""
        schedd.edit(ids, attribute, value)

    def retrieve(self, schedd: Any, ids: list[str]) -> None:
        """Bring what spooled jobs left to where they were submitted from."""
        schedd.retrieve(ids)

    def refresh_proxy(self, schedd: Any, ids: list[str], proxy_file: str) -> None:
        """Give jobs another proxy."""
        for job in ids:
            cluster, _, process = job.partition(".")
            schedd.refreshGSIProxy(int(cluster), int(process), proxy_file, 0)

    def _ids(self, result: Any) -> list[str]:
        made, first = result.clusterad()["QDate"], result.first_proc()
        return [f"{result.cluster()}.{first + n}#{made}" for n in range(result.num_procs())]


class Worker:
    """Reads requests and answers them until there are no more."""

    def __init__(self, requests: Any, answers: int, words: int) -> None:
        self._requests, self._answers, self._words = requests, answers, words
        self._ops = Ops()
        self._located: dict[tuple[str, str], Any] = {}

    def run(self) -> None:
        """Serve."""
        for line in self._requests:
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, request.pop("within_s") + GRACE_S)
            os.ftruncate(self._words, 0)
            self._answer(self._served(request))
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _served(self, request: dict[str, Any]) -> dict[str, Any]:
        where = (request.pop("collector"), request.pop("schedd"))
        try:
            location = self._locate(*where)
            if location is None:
                return self._failed(f"the collector knows no schedd {where[1]}")
            self._answer({"sent": True})
            op = request.pop("op")
            if op == "probe":
                request["location"] = location
            return {"ok": getattr(self._ops, op)(htcondor2.Schedd(location), **request)}
        except (HTCondorException, ClassAdException, Partly) as e:
            self._located.pop(where, None)  # it may be somewhere else after a restart
            return self._failed(str(e), partly=isinstance(e, Partly))

    def _locate(self, collector: str, schedd: str) -> Any:
        found = self._located.get((collector, schedd))
        if found is None:
            found = htcondor2.Collector(collector or None).locate(htcondor2.DaemonType.Schedd, schedd)
            if found is not None:
                self._located[collector, schedd] = found
        return found

    def _failed(self, text: str, *, partly: bool = False) -> dict[str, Any]:
        """The bindings' log often says more than their exceptions."""
        said = os.pread(self._words, DETAILS, 0).decode(errors="replace")
        return {"error": text, "details": said, "partly": partly}

    def _answer(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(self._answers, data) :]


def _plain(ad: Any, projection: list[str]) -> dict[str, Any]:
    """What is defined of the attributes, as plain values; expressions and the like as text."""
    found = {}
    for name in projection:
        value = ad.get(name)
        if value is None or isinstance(value, classad2.Value):
            continue
        found[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


def main() -> NoReturn:
    """``worker.py PARENT``: end when that process does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)
    answers = os.dup(1)
    words = os.open("/proc/self/fd/2", os.O_RDWR | os.O_APPEND)  # opened by the parent; also what a crash leaves
    os.dup2(words, 2)
    os.dup2(2, 1)  # what a library has to say is no answer
    htcondor2.param["TOOL_DEBUG"] = ""
    htcondor2.set_subsystem("TOOL")
    htcondor2.enable_debug()
    Worker(sys.stdin.buffer, answers, words).run()
    os._exit(0)  # nothing to tear down, which is where libraries crash


if __name__ == "__main__":
    main()
