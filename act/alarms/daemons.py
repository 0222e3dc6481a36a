"""Daemons that give no sign of life: single ones, a host's, or all. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from act.alarms.alarm import Alarm, Severity
from act.db.engine import AnyRow
from act.explain.words import span

GONE_S = 86400.0  # what was silent for so long while others worked was taken away by somebody
LOOK = "'actctl status' and 'actctl doctor' there tell how it ended; 'journalctl -u act' has the log"


def silent(beats: Sequence[AnyRow], silent_s: float) -> Iterator[Alarm]:
    """beats: rows of ``daemons``, by host; silent_s: without a word for so long."""
    fresh = [b for b in beats if b.age_s <= silent_s]
    if not fresh:
        last = min((b.age_s for b in beats), default=None)
        text = "no daemon has ever reported" if last is None else f"no daemon has reported anything for {span(last)}"
        yield Alarm("tower_silent", Severity.CRITICAL, "", text, "start the tower: 'systemctl start act' on its hosts")
        return
    kinds = {_kind(b) for b in fresh}
    for host, found in groupby(beats, lambda b: b.host):
        rows = list(found)
        missed = [b for b in rows if silent_s < b.age_s < GONE_S]
        if missed and len(missed) == len(rows):
            yield _host(host, missed, all(_kind(b) in kinds for b in missed))
        else:
            yield from (_daemon(b, _kind(b) in kinds) for b in missed)


def _kind(beat: AnyRow) -> str:
    """Several processes of a kind are numbered after a '.'."""
    return str(beat.name).partition(".")[0]


def _host(host: str, beats: Sequence[AnyRow], replaced: bool) -> Alarm:
    text = f"nothing was heard from host {host} for {span(min(b.age_s for b in beats))}"
    text += ": its daemons run on other hosts, too" if replaced else ", and some of its daemons run nowhere else"
    severity = Severity.WARNING if replaced else Severity.CRITICAL
    return Alarm("host_silent", severity, host, text, f"is the host up, and does it reach the database? {LOOK}")


def _daemon(beat: AnyRow, replaced: bool) -> Alarm:
    text = f"{beat.name} on host {beat.host} has reported nothing for {span(beat.age_s)}"
    text += "; others of its kind run" if replaced else ", and nothing else does its work"
    severity = Severity.WARNING if replaced else Severity.CRITICAL
    return Alarm("daemon_silent", severity, f"{beat.name}@{beat.host}", text, LOOK)
