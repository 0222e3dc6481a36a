"""What an ad of HTCondor says of a job -> what it means for the attempt.

Seen with a schedd 23.9. A job stays in the queue until it is cleaned, also one that was removed. A grid job that was
removed is not over before the gridmanager has ended it at the CE: then Managed reads ScheddDone. A hold at the CE
becomes a hold here, with its reason and code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from act.model import CEStatus
from act.states import Event
from act_condor.holds import ARMING, REMOVED_BY_POLICY, WORDS, Policy, is_held_by_ce

log = logging.getLogger(__name__)

Ad = Mapping[str, Any]

ATTRIBUTES = [
    "ClusterId", "ProcId", "QDate", "ActToken", "JobStatus", "JobUniverse", "LastJobStatus", "EnteredCurrentStatus",
    "HoldReason", "HoldReasonCode", "LastHoldReason", "LastHoldReasonCode", "ReleaseReason", "RemoveReason",
    "NumShadowStarts", "NumHolds", "JobStartDate", "Managed", "GridJobId", "GridJobStatus",
    "GridResourceUnavailableTime", "RemoteHost",
    "LastRemoteHost", "ExitBySignal", "ExitCode", "ExitSignal", "RemoteWallClockTime", "RemoteUserCpu", "RemoteSysCpu",
    "ResidentSetSize", "StageInFinish", "ServerTime",
]  # fmt: skip
IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = range(1, 8)
NAMES = {
    IDLE: "Idle", RUNNING: "Running", REMOVED: "Removed", COMPLETED: "Completed", HELD: "Held",
    TRANSFERRING: "Transferring output", SUSPENDED: "Suspended",
}  # fmt: skip
_GRID = 9


def ce_status(ad: Ad, policies: Mapping[int, Policy]) -> CEStatus:
    """An ad with `ATTRIBUTES`, as far as they are defined -> CEStatus."""
    event, error, armed = _meaning(ad, policies)
    started = _number(ad, "JobStartDate")
    wall = _number(ad, "RemoteWallClockTime") or None
    if wall is None and started and ad.get("JobStatus") == RUNNING:
        wall = max((_number(ad, "ServerTime") or started) - started, 0)
    cpu, memory_kb = (
        (_number(ad, "RemoteUserCpu") or 0) + (_number(ad, "RemoteSysCpu") or 0),
        _number(ad, "ResidentSetSize"),
    )
    return CEStatus(
        event=event,
        ce_state=_ce_state(ad),
        name=str(ad.get("ActToken", "")),
        exit_code=_exit_code(ad) if event in (Event.FINISHED, Event.FAILED) else None,
        error=error,
        node=str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""),
        wall_s=wall,
        cpu_s=cpu or None,
        memory_mb=memory_kb // 1024 if memory_kb else None,
        armed=armed,
    )


def waits_to_be_armed(ad: Ad) -> bool:
    """Whether the job is held only because it has not been armed. One whose inputs have come is released by itself."""
    return ad.get("JobStatus") == HELD and ad.get("HoldReasonCode") in ARMING and "StageInFinish" not in ad


def has_ended(ad: Ad) -> bool:
    """Whether HTCondor is through with the job, here and at the CE, and needs its files no more."""
    if ad.get("JobStatus") not in (REMOVED, COMPLETED):
        return False
    if ad.get("JobUniverse") == _GRID:
        managed = ad.get("Managed")
        return managed == "ScheddDone" or (managed is None and "GridJobId" not in ad)
    # a schedd that was away for longer than the job's lease leaves the node in the ad of what it finds lost
    return "RemoteHost" not in ad or ad.get("LastJobStatus") == IDLE


def _meaning(ad: Ad, policies: Mapping[int, Policy]) -> tuple[Event | None, str, bool | None]:
    """(event, what to tell people, armed)."""
    status = ad.get("JobStatus")
    if status == HELD and ad.get("HoldReasonCode") in ARMING:
        return Event.WAITING, "", None if waits_to_be_armed(ad) else True
    if status == REMOVED:
        return _removed(ad, policies)
    if status == COMPLETED:
        return _completed(ad)
    if status == HELD:
        return Event.HELD, _held(ad, policies), True
    if status == SUSPENDED:
        return Event.HELD, "HTCondor has suspended it", True
    if status in (RUNNING, TRANSFERRING):
        return Event.RUNNING, _silence(ad), True
    if status == IDLE:
        silence = _silence(ad)
        return Event.HELD if silence else Event.WAITING, silence, True
    log.warning("unknown JobStatus %r of HTCondor, nothing is concluded from it", status)
    return None, "", True


def _completed(ad: Ad) -> tuple[Event, str, bool]:
    code = _exit_code(ad)
    if code == 0:
        return Event.FINISHED, "", True
    if code is None:
        return Event.FAILED, f"the job was ended by signal {ad.get('ExitSignal', '?')}", True
    return Event.FAILED, f"the job ended with exit code {code}", True


def _removed(ad: Ad, policies: Mapping[int, Policy]) -> tuple[Event | None, str, bool]:
    if ad.get("LastJobStatus") == COMPLETED:
        return _completed(ad)  # somebody removed what had ended
    reason, code = str(ad.get("RemoveReason", "")), ad.get("LastHoldReasonCode")
    if code in ARMING and "ReleaseReason" not in ad:
        return Event.KILLED, f"it was removed before it was armed: {reason}", False
    if not has_ended(ad):
        return None, "", True
    if not reason.startswith(REMOVED_BY_POLICY):
        return Event.KILLED, reason, True
    if ad.get("LastJobStatus") == IDLE:
        return Event.FAILED, "its node was lost after it had started, and it must not run twice", True
    told = f"{_in_words(code, ad.get('LastHoldReason'))}; it was ended by {REMOVED_BY_POLICY.removeprefix('aCT: ')}"
    again = policies.get(code or 0) in (Policy.RELEASE, Policy.RESUBMIT)
    if again and _never_ran(ad):
        return Event.KILLED, told, False
    return Event.FAILED, told, True


def _never_ran(ad: Ad) -> bool:
    """Certainly; a grid job that was at a CE may have run there for a moment."""
    return not ad.get("NumShadowStarts") and "JobStartDate" not in ad and "GridJobId" not in ad


def _held(ad: Ad, policies: Mapping[int, Policy]) -> str:
    code = ad.get("HoldReasonCode")
    told = _in_words(code, ad.get("HoldReason"))
    if is_held_by_ce(ad, policies):
        told += "; whether the CE still holds it is looked at from time to time"
    elif policies.get(code or 0) == Policy.RELEASE:
        told += "; it will be released in a while"
    return told


def _in_words(code: Any, reason: Any) -> str:
    words = f": {WORDS[code]}" if code in WORDS else ""
    return f"HTCondor held it (code {code}){words}: {reason or 'no reason given'}"


def _silence(ad: Ad) -> str:
    """What to tell if the CE does not answer its submit point."""
    since = _number(ad, "GridResourceUnavailableTime")
    if not since:
        return ""
    return f"the CE has not answered its submit point since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"


def _ce_state(ad: Ad) -> str:
    """Its own word, and what a poll should tell as a change."""
    name = NAMES.get(ad.get("JobStatus", 0), str(ad.get("JobStatus")))
    if ad.get("JobStatus") == HELD:
        return f"{name} ({ad.get('HoldReasonCode')})"
    return f"{name}, CE silent" if _silence(ad) else name


def _exit_code(ad: Ad) -> int | None:
    return None if ad.get("ExitBySignal") else _number(ad, "ExitCode")


def _number(ad: Ad, name: str) -> int | None:
    value = ad.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None
