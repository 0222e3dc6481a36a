"""Examinations side by side, each with a deadline: one that hangs holds up no other, one that raises is a verdict."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence

from act.doctor.check import Check, Examination, bad, unchecked
from act.errors import ActError, CredentialError, DatabaseBusy, TemporaryError
from act.explain.words import span

Answers = queue.SimpleQueue[tuple[int, tuple[Check, ...]]]


def run(examinations: Sequence[Examination], *, threads: int, deadline_s: float) -> list[Check]:
    """All their checks, in the order of the examinations. Ends in time, whatever they do.

    A thread that hangs cannot be ended: it is left behind and another takes its place. threads: how many work at a
    time, without those left behind.
    """
    waiting = deque(enumerate(examinations))
    running: dict[int, float] = {}  # examination -> when it is given up
    found: dict[int, tuple[Check, ...]] = {}
    answers: Answers = queue.SimpleQueue()
    while waiting or running:
        while waiting and len(running) < threads:
            number, examination = waiting.popleft()
            running[number] = time.monotonic() + deadline_s
            threading.Thread(target=_look, args=(number, examination, answers), daemon=True).start()
        try:
            number, checks = answers.get(timeout=max(0.0, min(running.values()) - time.monotonic()))
        except queue.Empty:
            for number in [n for n, until in running.items() if until <= time.monotonic()]:
                del running[number]
                found[number] = (_silent(examinations[number].what, deadline_s),)
            continue
        if running.pop(number, None) is not None:
            found[number] = checks
    return [check for number in sorted(found) for check in found[number]]


def _look(number: int, examination: Examination, answers: Answers) -> None:
    try:
        answers.put((number, tuple(examination.look())))
    except Exception as error:  # noqa: BLE001 - whatever a look raises is a verdict
        answers.put((number, (_raised(examination.what, error),)))


def _silent(what: str, deadline_s: float) -> Check:
    return bad(what, f"no answer within {span(deadline_s)}", "see whether it hangs, or give it more time: --timeout")


def _raised(what: str, error: Exception) -> Check:
    told = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, DatabaseBusy):
        return unchecked(what, told, "mend the database first")
    if isinstance(error, CredentialError):
        return bad(what, told, "'actctl daemon proxy --once' tells how the credentials are")
    if isinstance(error, TemporaryError):
        return bad(what, told, "try again; if it stays so, see whether that service and the network to it work")
    if isinstance(error, ActError):
        return bad(what, told, "do what the message says")
    if isinstance(error, OSError):
        return bad(what, told, "see to it that this can be read by the account that runs the tower")
    return bad(what, f"{type(error).__name__}: {told}", "this is a mistake in the tower: report it")
