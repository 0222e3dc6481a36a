"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

from act.config import CoreConfig
from act.db import cejobs, ces, credentials, lanes, meta
from act.db.engine import AnyRow, Database
from act.master import read_status
from act.states import CEJOB


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers to the right, and whole, as people copy them."""
    rows = list(rows)
    if not rows:
        click.echo(f"{title}: none\n")
        return
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    body = [[_cell(c) for c in row] for row in rows]
    for n, column in enumerate(columns):
        numeric = bool(body) and all(row[n].replace(".", "").isdigit() or row[n] == "" for row in body)
        made.add_column(column, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in body:
        made.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    console.print(made)
    console.print()


def _cell(value: object) -> str:
    """CEs and jobs may say anything: what does not print, and could steer the terminal, becomes blank."""
    return "" if value is None else "".join(c if c.isprintable() else " " for c in str(value))


def age(seconds: float | None) -> str:
    """3 s, 5 min, 2 h, 4 d."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def status(database: Database, config: CoreConfig) -> None:
    """What `actctl status` prints."""
    facts = database.read(
        "status",
        lambda c: (
            meta.clock(c),
            meta.stopped(c),
            meta.daemon_rows(c),
            ces.all_of(c),
            lanes.all_of(c),
            cejobs.counts(c),
            credentials.by_role(c),
            credentials.all_tokens(c),
        ),
    )
    clock, stopped, daemons, all_ces, all_lanes, counts, proxies, tokens = facts
    if stopped:
        click.secho(f"NOTHING IS SUBMITTED: {stopped}\n", fg="red", err=True)
    columns = ("host", "daemon", "pid", "last word", "passes", "moved", "last error")
    table("Daemons", columns, [_daemon(d, config.alarms.silent_s, clock) for d in daemons])
    _restarts(config)
    table("CEs", ("CE", "host", "state", "last error"), [_ce(ce, clock) for ce in all_ces])
    roles = {r.id: r.role for r in proxies.values()}
    paused = [row for row in all_lanes if row.paused_until and row.paused_until > clock]
    if paused:
        table("Paused credentials", ("CE", "role", "why"), [(r.url, roles[r.proxy_id], r.error) for r in paused])
    table("Proxies", ("role", "identity", "attributes", "left", "error"), _proxies(config, proxies, clock))
    if urls := {ce.url.rstrip("/") for ce in config.ces.ce if ce.token is not None}:
        shown = [(url, *_token(tokens.get(url), clock)) for url in sorted(urls)]
        table("Tokens", ("CE", "identity", "left", "error"), shown)
    jobs_by_state(counts)


def _restarts(config: CoreConfig) -> None:
    """What this host's master says of daemons that do not simply run."""
    told = read_status(config.paths.run_dir)
    if told is None:
        click.echo("No master runs on this host.\n")
        return
    unwell = [d for d in told["daemons"] if d["restarts"] or d["state"] not in ("running", "starting")]
    if unwell:
        rows = [(d["name"], d["state"], d["restarts"], d["last_end"]) for d in unwell]
        table("Daemons that ended on this host", ("daemon", "state", "restarts", "last end"), rows)


def _proxies(config: CoreConfig, proxies: Mapping[str, AnyRow], clock: float) -> list[Sequence[object]]:
    """One line for each role of the tower, also if it has no proxy yet; people's are many, and only counted."""
    lines: list[Sequence[object]] = []
    configured = list(dict.fromkeys(p.role for p in config.proxies.proxy))
    for role in configured:
        if r := proxies.get(role):
            lines.append((role, r.identity, r.fqans.replace("\n", " "), _left(r, clock), r.error))
        else:
            lines.append((role, None, None, None, "not made yet: 'actctl daemon proxy --once' tells why"))
    if others := [r for r in proxies.values() if r.role not in configured]:
        good = sum(r.expires > clock for r in others)
        lines.append((f"{len(others)} others", "of people, or no longer configured", None, None, f"{good} still good"))
    return lines


def _token(row: AnyRow | None, clock: float) -> Sequence[object]:
    if row is None:
        return None, None, "none yet: 'actctl daemon proxy --once' tells why"
    return row.identity, _left(row, clock), row.error


def _left(row: AnyRow, clock: float) -> str:
    """How long a credential can still be used; one that never came has expires 0."""
    if not row.expires:
        return "none"
    return age(row.expires - clock) if row.expires > clock else "RUN OUT"


def _daemon(row: AnyRow, silent_s: float, clock: float) -> tuple[object, ...]:
    word = age(row.age_s) + (" SILENT" if row.age_s > silent_s else "")
    error = f"{row.error} ({age(clock - row.error_at)} ago)" if row.error else ""
    return row.host, row.name, row.pid, word, row.passes, row.moved, error


def _ce(row: AnyRow, clock: float) -> tuple[object, ...]:
    if row.open_until is not None:
        state = f"LEFT ALONE, tried again in {age(max(0.0, row.open_until - clock))}"
    elif row.failures:
        state = f"{row.failures} failures in a row"
    else:
        state = row.status
    error = f"{row.last_error} ({age(clock - row.last_error_at)} ago)" if row.last_error else ""
    return row.url, row.host, state, error


def jobs_by_state(counts: Sequence[tuple[str, str, int]]) -> None:
    """CE x state."""
    present = {state for _, state, _ in counts}
    states = [s for s in CEJOB.states if s in present]
    by_ce: dict[str, dict[str, int]] = {}
    for url, state, n in counts:
        by_ce.setdefault(url, {})[state] = n
    rows = [(url or "(none yet)", *(by_ce[url].get(s, "") for s in states)) for url in sorted(by_ce)]
    table("Attempts by CE and state", ("CE", *states), rows)
