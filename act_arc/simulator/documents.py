"""What the simulated CE writes about jobs and about itself, in the words of A-REX 7 and 6."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any

from act_arc.simulator.delegations import Delegation
from act_arc.simulator.job import SimJob

KEEP_S = 604800  # how long A-REX keeps an ended job
_NORDUGRID = {"SUBMITTING": "SUBMIT", "QUEUING": "INLRMS:Q", "RUNNING": "INLRMS:R", "EXITINGLRMS": "INLRMS:EXECUTED",
              "KILLING": "CANCELING"}  # fmt: skip
_RESTART = {"PREPARING": "PREPARING", "FINISHING": "FINISHING", "SUBMITTING": "SUBMITTING"}
_CONTROL = {"SUBMITTING": "SUBMIT", "QUEUING": "INLRMS", "RUNNING": "INLRMS", "EXITINGLRMS": "INLRMS",
            "KILLING": "CANCELING", "FAILED": "FINISHED", "KILLED": "FINISHED"}  # fmt: skip


def stamp(when: float) -> str:
    """A time as GLUE2 writes it."""
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def activity(job: SimJob, state: str, delegation: Delegation | None) -> dict[str, Any]:
    """The info document of a job in ``state``; without a state, the short one of a job that was just accepted."""
    known: dict[str, Any] = {
        "ID": f"urn:caid:{'localhost' if state else ''}:org.nordugrid.arcrest:{job.id}",
        "Name": job.description.name,
        "OtherInfo": "SubmittedVia=org.nordugrid.arcrest",
        "Type": "single",
        "IDFromEndpoint": f"urn:idfe:{job.id}",
    }
    if not state or state == "ACCEPTED":
        known["State"] = ["nordugrid:ACCEPTED", "emies:accepted", "arcrest:ACCEPTED",
                          "emiesattr:client-stagein-possible"]  # fmt: skip
        known["Owner"] = job.owner
        return {"ComputingActivity": known}
    if job.local_id and state == "RUNNING":
        known["LocalIDFromManager"] = job.local_id
    known["JobDescription"] = "nordugrid:xrsl"
    known |= _states(job, state) | _request(job) | _usage(job, state) | _times(job, state, delegation)
    known["Associations"] = {"ComputingShareID": f"urn:ogf:ComputingShare:localhost:{job.queue}"}
    return {"ComputingActivity": known}


def _states(job: SimJob, state: str) -> dict[str, Any]:
    if state not in ("FAILED", "KILLED"):
        found: dict[str, Any] = {"State": [f"nordugrid:{_NORDUGRID.get(state, state)}", f"arcrest:{state}"]}
    else:
        where = job.failed_in
        found = {
            "State": [f"nordugrid:{state}::{where}", f"arcrest:{state}"],
            "RestartState": [f"nordugrid:{where}", f"arcrest:{_RESTART.get(where, 'OTHER')}"],
        }
    if job.exit_code is not None and state in ("FINISHED", "FAILED", "FINISHING"):
        found["ExitCode"] = str(job.exit_code)
    if job.error and state in ("FAILED", "KILLED"):
        lines = job.error.strip().splitlines()
        found["Error"] = lines[0] if len(lines) == 1 else lines
    return found


def _request(job: SimJob) -> dict[str, Any]:
    asked = job.description
    found = {"Owner": job.owner, "LocalOwner": "griduser"}
    if asked.walltime_s is not None:
        found["RequestedTotalWallTime"] = str(int(asked.walltime_s * asked.slots))
    if asked.cputime_s is not None:
        found["RequestedTotalCPUTime"] = str(int(asked.cputime_s))
    return found | {
        "RequestedSlots": str(asked.slots),
        "StdIn": asked.stdin or "/dev/null",
        "StdOut": asked.stdout or "/dev/null",
        "StdErr": asked.stderr or "/dev/null",
        "LogDir": asked.gmlog,
        "Queue": job.queue,
    }


def _usage(job: SimJob, state: str) -> dict[str, Any]:
    if not job.executions:
        return {}
    found = {"ExecutionNode": "localhost"}
    if wall := job.wall_s():
        found |= {"UsedTotalWallTime": str(wall * job.description.slots), "UsedTotalCPUTime": str(wall)}
    if state == "RUNNING":
        found["OtherMessages"] = "LRMS: Running under simulation"
    return found


def _times(job: SimJob, state: str, delegation: Delegation | None) -> dict[str, Any]:
    found = {"SubmissionTime": stamp(job.created)}
    if job.started is not None and job.exit_code is not None:
        found["StartTime"] = stamp(job.started)
        found["ComputingManagerEndTime"] = stamp(job.stopped or job.started)
    if state == "FINISHED":
        found["EndTime"] = stamp(job.ended_at)
    if job.ended:
        found["WorkingAreaEraseTime"] = stamp(job.ended_at + KEEP_S)
    if delegation and delegation.chain:
        found["ProxyExpirationTime"] = stamp(delegation.expires)
    return found | {"SubmissionHost": job.client}


def diagnose(job: SimJob, name: str, url: str) -> bytes | None:
    """A file of the control directory; None if there is none of this name (now)."""
    lines: Iterable[str] | None
    asked = job.description
    match name:
        case "local":
            lines = _local(job, url)
        case "errors":
            before = ["UNDEFINED", *(_CONTROL.get(s, s) for _, s in job.history)]
            lines = [f"{stamp(when)} Job state change {old} -> {_CONTROL.get(new, new)}"
                     for (when, new), old in zip(job.history, before, strict=False)
                     if old != _CONTROL.get(new, new)] + job.error.splitlines()  # fmt: skip
        case "failed":
            lines = job.error.splitlines() or None
        case "description":
            return asked.text.encode()
        case "status":
            return _CONTROL.get(job.state, job.state).encode()
        case "input":
            lines = [f"/{n} {source}".rstrip() for n, source in asked.inputs]
        case "output":
            lines = [f"/{n} {target}".rstrip() for n, target in asked.outputs]
        case "input_status":
            lines = ["", *(f"/{n}" for n in job.uploaded)]
        case "diag":
            lines = _diag(job)
        case "statistics":
            return b""
        case _:
            lines = None
    return None if lines is None else "".join(f"{line}\n" for line in lines).encode()


def _local(job: SimJob, url: str) -> list[str]:
    asked = job.description
    ended = [f"failedstate={job.failed_in}", f"failedcause={'client' if job.state == 'KILLED' else 'internal'}"]
    arguments = " ".join(a.replace(" ", "\\ ") for a in (asked.executable, *asked.arguments))
    return [
        f"globalid={job.id}", f"headnode={url}", "headhost=localhost", f"globalurl={url}/{job.id}",
        "interface=org.nordugrid.arcrest", "lrms=fork", f"queue={job.queue}",
        *([f"localid={job.local_id}"] if job.local_id else []), f"args={arguments} ", "argscode=0",
        f"subject={job.owner}", f"starttime={_compact(job.created)}", f"lifetime={KEEP_S}", f"rerun={asked.reruns}",
        "downloads=0", "uploads=0", f"jobname={asked.name}", f"gmlog={asked.gmlog}",
        *([f"cleanuptime={_compact(job.ended_at + KEEP_S)}"] if job.ended else []),
        f"clientname={job.client}", f"delegationid={job.delegation}", f"sessiondir={job.session}", "diskspace=0",
        *(ended if job.failed_in else []),
        f"priority={asked.priority}", "dryrun=no",
    ]  # fmt: skip


def _diag(job: SimJob) -> list[str]:
    if not job.executions:
        return []
    found = ["nodename=localhost", "Processors=1"]
    if job.exit_code is not None and job.started:
        found += [f"LRMSStartTime={_compact(job.started)}", f"LRMSEndTime={_compact(job.stopped or job.started)}",
                  f"walltime={job.wall_s()}", f"exitcode={job.exit_code}"]  # fmt: skip
    return found


def _compact(when: float) -> str:
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y%m%d%H%M%SZ")


def service(url: str, queues: Iterable[str], jobs: Iterable[SimJob], version: str) -> dict[str, Any]:
    """The CE's own info document, as much of GLUE2 as clients read."""
    counts = Counter((job.queue, job.state) for job in jobs)

    def number(queue: str | None, *states: str) -> str:
        return str(sum(n for (q, s), n in counts.items() if queue in (None, q) and s in states))

    def numbers(queue: str | None) -> dict[str, str]:
        running, waiting = number(queue, "RUNNING", "KILLING"), number(queue, "QUEUING", "SUBMITTING")
        staging = number(queue, "PREPARING", "FINISHING")
        total = str(sum(int(n) for n in (running, waiting, staging)))
        return {"TotalJobs": total, "RunningJobs": running, "WaitingJobs": waiting, "StagingJobs": staging}

    shares = [
        {"ID": f"urn:ogf:ComputingShare:localhost:{q}", "Name": q, "MappingQueue": q, "ServingState": "production",
         **numbers(q)} for q in queues
    ]  # fmt: skip
    endpoint = {"URL": url, "InterfaceName": "org.nordugrid.arcrest", "InterfaceVersion": version,
                "HealthState": "ok", "ServingState": "production", **numbers(None)}  # fmt: skip
    ce = {"Name": "simulator", "Type": "org.nordugrid.arex", "QualityLevel": "testing", **numbers(None),
          "ComputingEndpoint": endpoint, "ComputingShare": shares if len(shares) > 1 else shares[0],
          "ComputingManager": {"ProductName": "simulation"}}  # fmt: skip
    return {"Domains": {"AdminDomain": {"Services": {"ComputingService": ce}}}}
