"""What becomes of jobs that HTCondor holds, as data: hold code -> policy, which the schedd itself carries out, but for
what people hold.

The policy goes into the job's own request, so it works while the tower is down, and there is no race with it.
Hold codes: HTCondor's manual, job attribute HoldReasonCode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Literal

Route = Literal["grid", "pool", "direct"]

BY_PEOPLE, SUBMITTED_ON_HOLD, SPOOLING = 1, 15, 16
ARMING = (SUBMITTED_ON_HOLD, SPOOLING)  # holds of our own making: the job waits to be armed
REMOVED_BY_POLICY = "aCT: the policy for held jobs"

RELEASE_AFTER_S = 600
RELEASES_AT_MOST = 5
ARM_WITHIN_S = 3600
# What was at a CE goes on there; what was not, or what runs in the pool itself, must not have run yet.
_GOES_ON = "(JobUniverse == 9 ? GridJobId =!= undefined || JobStartDate =?= undefined : (NumJobStarts ?: 0) == 0)"
LOOKS_AT_MOST = 48
# HTCondor starts a job again whose node was lost. Here it may start once, and once more for each time it was released;
# a job that is submitted on hold has been held once by that, and takes that with it to the other end of the grid route.
_STARTS = "(NumShadowStarts ?: 0)"
_HELD_BEFORE = {"direct": "(NumHolds ?: 0)", "pool": "((NumHolds ?: 0) > 1 ? NumHolds - 1 : 0)"}


class Policy(StrEnum):
    """release: let it go on after a while, a few times, then as resubmit. resubmit: end it; one that never ran is
    submitted anew, one that may have run has failed. fail: end it. keep: leave it to people."""

    RELEASE = "release"
    RESUBMIT = "resubmit"
    FAIL = "fail"
    KEEP = "keep"


# Codes without a policy are kept. What is released goes on from where it was, or had not started.
HELD: Mapping[int, Policy] = {
    0: Policy.RESUBMIT,  # the grid job cannot go on: released, HTCondor may make a second one at the CE
    3: Policy.FAIL,  # an expression of the job
    4: Policy.RELEASE,  # its credential cannot be read, or has run out
    5: Policy.FAIL,
    6: Policy.FAIL,  # its executable cannot be started
    7: Policy.RELEASE,  # a file of its cannot be opened
    8: Policy.RELEASE,
    9: Policy.RELEASE,
    10: Policy.RELEASE,
    11: Policy.FAIL,  # no acknowledgement of its outputs
    12: Policy.FAIL,  # its outputs cannot be transferred
    13: Policy.RELEASE,  # its inputs cannot be transferred
    14: Policy.RELEASE,  # its directory cannot be entered
    17: Policy.FAIL,
    18: Policy.RELEASE,
    19: Policy.RELEASE,
    20: Policy.FAIL,
    21: Policy.FAIL,  # the worker node held it
    22: Policy.RELEASE,
    23: Policy.RELEASE,  # its account cannot be used
    24: Policy.FAIL,
    26: Policy.FAIL,  # a policy of the site
    27: Policy.FAIL,
    32: Policy.FAIL,  # too many bytes of inputs or outputs
    33: Policy.FAIL,
    34: Policy.FAIL,  # it used more memory or disk than it asked for
    35: Policy.FAIL,
    36: Policy.FAIL,
    45: Policy.RELEASE,  # the container system of the node fails
    46: Policy.FAIL,  # it was there for longer than allowed
    47: Policy.FAIL,  # it ran longer than its walltime
    48: Policy.RELEASE,
}

WORDS: Mapping[int, str] = {
    0: "the submit point cannot go on with it",
    1: "somebody holds it",
    4: "its credential is of no use",
    6: "its executable cannot be started",
    12: "its outputs cannot be transferred",
    13: "its inputs cannot be transferred",
    14: "its directory cannot be entered",
    21: "the worker node does not go on with it",
    26: "a policy of the site holds it",
    34: "it used more memory or disk than it asked for",
    46: "it was there for longer than allowed",
    47: "it ran longer than its walltime",
}


def commands(policies: Mapping[int, Policy], route: Route, release_after_s: int = RELEASE_AFTER_S) -> dict[str, str]:
    """The policy as part of a request."""
    ended = _has(code for code, p in policies.items() if p in (Policy.RESUBMIT, Policy.FAIL))
    released = _has(code for code, p in policies.items() if p == Policy.RELEASE)
    worth_it = f"NumHolds <= {RELEASES_AT_MOST} && {_GOES_ON}"
    since = "time() - EnteredCurrentStatus"
    unarmed = f"member(HoldReasonCode, {_list(ARMING)}) && {since} > {ARM_WITHIN_S}"
    remove = f"JobStatus == 5 && ({ended} || {released} && !({worth_it}) || {unarmed})"
    allowed = f"{_STARTS} <= {_HELD_BEFORE['direct' if route == 'direct' else 'pool']}"
    lost = f"JobStatus == 1 && !({allowed})"
    told = {
        "requirements": allowed,
        "periodic_release": f"{released} && {worth_it} && {since} >= {release_after_s}",
        "periodic_remove": f"{remove} || {lost}",
        "My.PeriodicRemoveReason": f'"{REMOVED_BY_POLICY}"',
    }
    if route == "grid":  # what starts it is the other end
        told |= {"periodic_remove": remove, "My.Remote_PeriodicRemove": lost}
    return told


def is_held_by_ce(ad: Mapping[str, Any], policies: Mapping[int, Policy]) -> bool:
    """Whether somebody at the CE holds a grid job. It is held here too then, and that it goes on there is seen only
    once it is released here, which HTCondor itself never does with a job that people hold."""
    by_people = ad.get("HoldReasonCode") == BY_PEOPLE and ad.get("GridJobStatus") == "HELD" and "GridJobId" in ad
    return by_people and policies.get(BY_PEOPLE, Policy.RELEASE) == Policy.RELEASE


def is_to_look_again(ad: Mapping[str, Any], policies: Mapping[int, Policy], after_s: int) -> bool:
    """Whether it is time to release such a job. It is held again if it is still held at the CE, unless the submit
    point's gridmanager had ended for want of other jobs: a new one releases what it finds held there."""
    since_s = ad.get("ServerTime", 0) - ad.get("EnteredCurrentStatus", 0)
    return is_held_by_ce(ad, policies) and since_s >= after_s and ad.get("NumHolds", 0) <= LOOKS_AT_MOST


def _has(codes: Iterable[int]) -> str:
    return f"member(HoldReasonCode, {_list(sorted(set(codes) - set(ARMING)))})"


def _list(codes: Iterable[int]) -> str:
    return "{" + ", ".join(map(str, codes)) + "}"
