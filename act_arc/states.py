"""What A-REX says of a job -> what it means for the attempt.

States as in the REST interface; the numbers come from the ``ComputingActivity`` of ``action=info``, where A-REX 7
gives texts and lists, and A-REX 6 a text instead of a list of one. Any of them may be missing or odd.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from act.model import CEStatus
from act.states import Event

log = logging.getLogger(__name__)

EVENTS: dict[str, Event | None] = {
    "ACCEPTING": Event.WAITING,
    "ACCEPTED": Event.WAITING,
    "PREPARING": Event.WAITING,
    "PREPARED": Event.WAITING,
    "SUBMITTING": Event.WAITING,
    "QUEUING": Event.WAITING,
    "RUNNING": Event.RUNNING,
    "EXITINGLRMS": Event.RUNNING,
    "EXECUTED": Event.RUNNING,
    "HELD": Event.HELD,
    "FINISHING": Event.FINISHING,
    "FINISHED": Event.FINISHED,
    "FAILED": Event.FAILED,
    "KILLED": Event.KILLED,
    "WIPED": Event.KILLED,
    "KILLING": None,
    "OTHER": None,
}
# States in which a poll asks for details, as something will be done about them.
DETAILED = frozenset({"HELD", "FINISHED", "FAILED", "KILLED", "WIPED"})
# States in which the job may still wait for what the client uploads.
_MAY_WAIT = frozenset({"ACCEPTING", "ACCEPTED", "PREPARING"})
_STAGING = frozenset({"PREPARING", "FINISHING"})
# A staging failure that is the job's own fault; a rerun would fail again.
_NO_OUTPUT_LIST = "Error reading user generated output file list"
_MAX_CPU_S = 10_000_000  # above it the number is an accident of the batch system


def ce_status(state: str, activity: Mapping[str, Any], now: datetime | None = None) -> CEStatus:
    """A REST state, and the job's ComputingActivity ({} if it was not asked for) -> CEStatus.

    A job that ends before A-REX has collected anything of it reads FAILED for a while, without a reason and without
    even its name, also if it was killed: nothing is concluded from that.
    """
    errors = _texts(activity.get("Error"))
    slots = max(_number(activity.get("RequestedSlots")) or 1, 1)
    wall, cpu = _number(activity.get("UsedTotalWallTime")), _number(activity.get("UsedTotalCPUTime"))
    memory_kb = _number(activity.get("UsedMainMemory"))
    settled = state != "FAILED" or "Name" in activity
    armed = _armed(state, errors) if settled else None
    return CEStatus(
        event=_event(state, errors, rest_state(activity, "RestartState"), armed) if settled else None,
        ce_state=state,
        name=str(activity.get("Name") or ""),
        exit_code=_exit_code(state, activity),
        error="; ".join(errors),
        node=",".join(node.encode("ascii", "ignore").decode() for node in _texts(activity.get("ExecutionNode"))),
        wall_s=None if wall is None else min(wall // slots, _age_s(activity, now or datetime.now(UTC))),
        cpu_s=None if cpu is None or cpu > _MAX_CPU_S else cpu,
        memory_mb=None if memory_kb is None else memory_kb // 1024,
        armed=armed,
    )


def rest_state(activity: Mapping[str, Any], key: str = "State") -> str:
    """The state in the REST interface's words, out of the list with those of all interfaces; "" if it is not there."""
    for text in _texts(activity.get(key)):
        interface, _, state = text.partition(":")
        if interface == "arcrest":
            return state
    return ""


def _event(state: str, errors: list[str], restart: str, armed: bool | None) -> Event | None:
    if state not in EVENTS:
        log.warning("unknown ARC state %r, nothing is concluded from it", state)
        return None
    own_fault = any(_NO_OUTPUT_LIST in e for e in errors)
    if state == "FAILED" and restart in _STAGING and armed and not own_fault:
        return Event.STAGEFAILED
    return EVENTS[state]


def _armed(state: str, errors: list[str]) -> bool | None:
    if state in _MAY_WAIT:
        return None
    return not (state == "FAILED" and any("User file" in e and "Timeout waiting" in e for e in errors))


def _exit_code(state: str, activity: Mapping[str, Any]) -> int | None:
    if not activity:
        return None
    code = _number(activity.get("ExitCode"))
    return 0 if code is None and state == "FINISHED" else code


def _age_s(activity: Mapping[str, Any], now: datetime) -> int:
    """Seconds since the job was made; very many if the CE does not tell when that was."""
    try:
        made = datetime.strptime(str(activity.get("SubmissionTime")), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return 2**31
    return max(int((now - made).total_seconds()), 0)


def _texts(value: Any) -> list[str]:
    """A list, a single value or nothing -> the texts that say something."""
    values = value if isinstance(value, list) else [value]
    return [str(v) for v in values if v]


def _number(value: Any) -> int | None:
    """A number the CE gave as text; None if it is none, or a placeholder below zero."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if number >= 0 else None
