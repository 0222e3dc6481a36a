"""What the processes of a tower have used, as the kernel tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from act.master import read_status

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """peak_mb: resident memory; cpu_s: processor time."""

    peak_mb: float
    cpu_s: float


def used(pids: Mapping[str, int]) -> dict[str, Used]:
    """Name -> what that process has used until now."""
    found = {}
    for name, pid in pids.items():
        proc = Path("/proc") / str(pid)
        peak = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmHWM"))
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / TICK
        found[name] = Used(round(int(peak.split()[1]) / 1024, 1), round(cpu, 2))
    return found


def of_tower(run_dir: Path, master: int) -> dict[str, int]:
    """Name -> pid of the master and of each daemon."""
    status = read_status(run_dir) or {"daemons": []}
    return {"master": master} | {d["name"]: d["pid"] for d in status["daemons"] if d["pid"]}


def children(pid: int) -> Iterable[int]:
    """The processes that this one has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
