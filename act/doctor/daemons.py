"""Daemons of this host: all that the configuration starts give signs of life, and without errors. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from act.db.engine import AnyRow
from act.doctor.check import Check, bad, good, warning
from act.explain.moment import LATELY_S
from act.explain.words import ago, some, span

SHOWN = 3  # silent daemons one by one


def look(
    host: str,
    enabled: Mapping[str, int],
    beats: Sequence[AnyRow],
    now: float,
    master: Mapping[str, Any] | None,
    silent_s: float,
) -> Iterator[Check]:
    """enabled: daemon -> processes; beats: rows of ``daemons``; master: what `act.master.read_status` gave; silent_s:
    who gave no sign of life for so long does not run, or as good as."""
    if master is None:
        yield bad(
            "master", f"none runs on host {host}", "'systemctl start act'; 'journalctl -u act' tells how it ended"
        )
    else:
        yield _restarts(master)
    mine: dict[str, list[AnyRow]] = {}
    for row in beats:
        if row.host == host:
            mine.setdefault(row.name.partition(".")[0], []).append(row)
    alive = {name: sum(b.age_s <= silent_s for b in mine.get(name, [])) for name in enabled}
    silent = [name for name, n in enabled.items() if alive[name] < n]
    if len(silent) > SHOWN:
        told = f"{len(silent)} of {len(enabled)} are silent: {', '.join(silent)}"
        yield bad("daemons", told, "start the tower; 'actctl status' tells how each ended")
    else:
        for name in silent:
            yield _silent(name, enabled[name], alive[name], mine.get(name, []))
    if not silent:
        yield good("daemons", f"all {len(enabled)} give signs of life")
    for row in (r for name in enabled for r in mine.get(name, []) if r.error and now - r.error_at < LATELY_S):
        told = f"{ago(row.error_at, now)}: {' '.join(row.error.split())}"
        yield warning(f"daemon {row.name}", told, "it goes on by itself; the log tells what led to it")


def _silent(name: str, wanted: int, alive: int, rows: Sequence[AnyRow]) -> Check:
    todo = f"'actctl status' tells how it ended, 'actctl daemon {name} --once' runs it in the foreground"
    last = min((r.age_s for r in rows), default=None)
    told = "never gave a sign of life here" if last is None else f"last sign of life {span(last)} ago"
    if wanted > 1:
        told = f"{alive} of {wanted} processes run; the last to speak did so {span(last or 0)} ago"
    return bad(f"daemon {name}", told, todo)


def _restarts(master: Mapping[str, Any]) -> Check:
    again = [d for d in master["daemons"] if d["restarts"]]
    if not again:
        return good("master", f"runs, pid {master['pid']}")
    told = ", ".join(f"{d['name']} ({some(d['restarts'], 'restart')}, last: {d['last_end']})" for d in again)
    return warning("master", f"had to restart {told}", "the log tells what led to it")
