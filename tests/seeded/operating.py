"""What is around jobs: CEs with their health, credentials, users, daemons, hosts, orders, causes, figures over time."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from act.daemons.registry import PER_FLAVOUR
from act.figures import CE, QUEUE, TOWER
from act.likeness import likeness
from act_atlas.plugin import application as atlas
from tests.seeded import jobs, names
from tests.seeded.jobs import Batch, World

HOSTS = ("tower1.example.org", "tower2.example.org")
DOWN, FAILING, PAUSED = 5, 9, 12  # CEs
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
CALLS = ("create", "arm", "inspect", "status", "fetch", "kill", "clean")


def around(world: World) -> Batch:
    """All of it but the figures over time."""
    batch = Batch()
    hosts = [HOSTS[0], f"tower2{names.SHORT_HOSTILE}" if world.hostile else HOSTS[1]]
    _credentials(batch, world)
    _ces(batch, world, hosts)
    _people(batch, world)
    _daemons(batch, world, hosts)
    _hosts(batch, world, hosts)
    _orders(batch, world)
    _causes(batch, world)
    _asked(batch, world)
    return batch


def _credentials(batch: Batch, world: World) -> None:
    fqans = "/atlas/Role={}/Capability=NULL\n/atlas/Role=NULL/Capability=NULL"
    roles = [("production", 70 * HOUR, None), ("pilot", 9 * HOUR, "voms-proxy-init: no answer from voms.example.org")]
    for number, (role, left_s, error) in enumerate(roles, start=jobs.PROXY):
        batch.add(
            "proxies", id=number, role=role, identity=f"/DC=org/DC=example/CN=Robot {role}", pem=b"sealed",
            issued=world.now - 26 * HOUR, expires=world.now + left_s, fqans=fqans.format(role), generation=4,
            error=error,
        )  # fmt: skip
    for person in range(len(names.PEOPLE)):
        batch.add(
            "proxies", id=jobs.USER_PROXY + person, role=f"user-{person + 1}", pem=b"sealed", generation=1, error=None,
            identity=names.subject(person, world.hostile), issued=world.now - HOUR, fqans="/atlas/Role=NULL",
            expires=world.now + (person * 10 - 5) * HOUR,
        )  # fmt: skip


def _ces(batch: Batch, world: World, hosts: Sequence[str]) -> None:
    now, seen = world.now, set()
    for p in world.places:
        batch.add(
            "cequeues", id=p.id, ce_id=p.ce_id, queue=p.queue, max_jobs=None,
            max_waiting=200 if p.id % 7 == 0 else None, full_until=now + 300 if p.id % 11 == 0 else None,
        )  # fmt: skip
        if p.ce_id in seen:
            continue
        seen.add(p.ce_id)
        batch.add("ces", id=p.ce_id, flavour=p.flavour, url=p.url, submit_point="", status="online")
        bad = {DOWN: 7, FAILING: 1}.get(p.ce_id, 0)
        error = names.CE_ERRORS[p.ce_id % len(names.CE_ERRORS)] if bad else None
        for host in hosts:
            batch.add(
                "breakers", ce_id=p.ce_id, host=host, failures=bad, open_until=now + 200 if p.ce_id == DOWN else None,
                last_good=now - (3 * HOUR if p.ce_id == DOWN else 12), last_error=error,
                last_error_at=now - 90 if bad else None,
            )  # fmt: skip
        for proxy in (jobs.PROXY, jobs.USER_PROXY):
            paused = p.ce_id == PAUSED and proxy == jobs.USER_PROXY
            batch.add(
                "lanes", ce_id=p.ce_id, proxy_id=proxy, polled=now - (3 * HOUR if p.ce_id == DOWN else 14 + p.ce_id),
                heard=now - DAY, swept=now - 1200, error="403 Forbidden: not in the grid-mapfile" if paused else None,
                paused_until=now + HOUR if paused else None,
            )  # fmt: skip
        batch.add(
            "delegations", id=p.ce_id, ce_id=p.ce_id, proxy_id=jobs.PROXY, remote_id=f"d{p.ce_id:08x}", state="live",
            generation=4, used=now - 60,
        )  # fmt: skip
        for call in CALLS:
            calls = 40000 // (1 + CALLS.index(call))
            errors = calls // 20 if p.ce_id in (DOWN, FAILING) else calls // 2000
            batch.add("cecalls", ce_id=p.ce_id, host=hosts[0], daemon=f"status-{p.flavour}", call=call, calls=calls,
                      errors=errors, seconds=calls * 0.12, noted_calls=calls, noted_errors=errors,
                      noted_seconds=calls * 0.12)  # fmt: skip


def _people(batch: Batch, world: World) -> None:
    for person in range(len(names.PEOPLE)):
        subject, issuer = names.subject(person, world.hostile), "/DC=org/DC=example/CN=People CA"
        batch.add("users", id=person + 1, issuer=issuer, subject=subject, created=world.now - 90 * DAY,
                  digest=hashlib.sha256(subject.encode()).hexdigest(), seen=world.now - person * HOUR)  # fmt: skip
        batch.add("usercredentials", proxy_id=jobs.USER_PROXY + person, user_id=person + 1, fqan="/atlas")
        batch.add("clientusage", user_id=person + 1, jobs=100 * person, files=300 * person, bytes=10_000_000 * person)


def _daemons(batch: Batch, world: World, hosts: Sequence[str]) -> None:
    per_flavour = [f"{kind}-{flavour}" for flavour in ("arc", "condor") for kind in PER_FLAVOUR]
    rnd = random.Random(7)
    for host in hosts:
        for name in sorted({*atlas.daemons(), "clientstatus", "client2arc", "client2condor", "proxy", "report", "guard"}
                           | set(per_flavour)):  # fmt: skip
            hangs = name == "validator" and host == hosts[1]
            error = "no answer from PanDA within 60 s" if name == "heartbeat" and host == hosts[0] else None
            if name == "status-arc" and world.hostile:
                error = names.HOSTILE[0]
            batch.add(
                "daemons", host=host, name=name, pid=rnd.randrange(1000, 30000), started=world.now - 3 * DAY,
                beat=world.now - (900 if hangs else 3), passes=rnd.randrange(100_000), moved=rnd.randrange(1_000_000),
                statements=rnd.randrange(3_000_000), error=error, error_at=world.now - 200 if error else None,
            )  # fmt: skip


def _hosts(batch: Batch, world: World, hosts: Sequence[str]) -> None:
    for n, host in enumerate(hosts):
        disks = [{"path": "/var/lib/act", "free_mb": 1400 if n else 180_000, "total_mb": 400_000},
                 {"path": "/run/act", "free_mb": 1900, "total_mb": 2000}]  # fmt: skip
        facts = {"version": "0.6.0", "started": world.now - 3 * DAY, "clock_skew_s": -0.004 * (n + 1),
                 "database_s": 0.0008, "disks": disks, "load": 0.7 + n}  # fmt: skip
        batch.add("hosts", host=host, at=world.now - 4, facts=facts)


def _orders(batch: Batch, world: World) -> None:
    url, now = world.places[0].url, world.now
    harm = names.HOSTILE[0] if world.hostile else "the site upgrades its LRMS"
    rows: list[dict[str, Any]] = [
        {"kind": "ce", "name": url, "what": "drain", "until": now + 5 * HOUR, "who": "operator-eva", "why": harm},
        {"kind": "ce", "name": world.places[4].url, "what": "max_waiting", "value": 50, "until": None,
         "who": "operator-eva", "why": "slow file system"},
        {"kind": "queue", "name": world.queues[3], "what": "pause", "until": None, "who": "operator-ben",
         "why": "wrong software release, see ticket 4711"},
        {"kind": "share", "name": "user-2", "what": "drain", "until": now + DAY, "who": "operator-ben",
         "why": "jobs that all fail in a minute"},
        {"kind": "cequeue", "name": world.places[7].url, "queue": world.places[7].queue, "what": "probe",
         "until": None, "who": "guard", "why": "18 of the last 20 attempts failed within 3 min, 17 of them on wn013"},
    ]  # fmt: skip
    for number, row in enumerate(rows, start=1):
        batch.add("orders", id=number, since=now - number * HOUR, **({"queue": "", "value": None} | row))
        batch.add(
            "events", kind="order", job_id=number, source="", event=row["what"], target="", at=now - number * HOUR,
            who=row["who"], why=row["why"],
        )  # fmt: skip


def _causes(batch: Batch, world: World) -> None:
    now, rnd = world.now, random.Random(8)
    texts = [("cejob", e.format(n=rnd.randrange(1000), m=7)) for e in names.ERRORS]
    texts += [("ce", e) for e in names.CE_ERRORS]
    texts.append(("daemon", "no answer from PanDA within 60 s"))
    texts.append(("pandajob", "field coreCount = 'many' is not a whole number"))
    if world.hostile:
        texts += [("cejob", text) for text in names.HOSTILE]
    for number, (kind, text) in enumerate(texts, start=1):
        examples: dict[str, dict[str, Any]] = {
            "cejob": {"app": "panda", "job": number, "attempt": number, "ce": world.places[number % 20].url},
            "pandajob": {"job": number},
            "ce": {"ce": world.places[number % 20].url, "host": HOSTS[0]},
            "daemon": {"daemon": "heartbeat", "host": HOSTS[0]},
        }
        batch.add(
            "causes", id=number, kind=kind, text=text, count=int(3000 / number), first=now - 3 * DAY + number,
            last=now - number * 400, examples=[examples[kind] | {"at": now - number * 400 - i} for i in range(3)],
            fingerprint=hashlib.sha256(likeness(f"{number} {text}").encode()).hexdigest(),
        )  # fmt: skip


def _asked(batch: Batch, world: World) -> None:
    for number, queue in enumerate(world.queues):
        error = "no answer within 60 s" if number == 6 else None
        batch.add("pandaqueues", queue=queue, asked=world.now - number, jobs=number % 5, error=error)


# --- figures over time ----------------------------------------------------------------------------------------------


def figures(world: World, minutes_h: float) -> Iterator[Batch]:
    """So many hours by the minute, two weeks by the hour, half a year by the day."""
    ces = dict.fromkeys(p.url for p in world.places)
    all_series = [(TOWER, ""), *((CE, url) for url in ces), *((QUEUE, q) for q in world.queues)]
    batch = Batch()
    for number, (scope, name) in enumerate(all_series, start=1):
        batch.add("series", id=number, scope=scope, name=name)
    yield batch
    for number, (scope, _) in enumerate(all_series, start=1):
        batch = Batch()
        for step_s, length_s in ((60, minutes_h * HOUR), (3600, 14 * DAY), (86400, 180 * DAY)):
            for at in _steps(world.now, step_s, length_s):
                values = _values(scope, number, at, step_s)
                batch.add("samples", series_id=number, step_s=step_s, at=at, figures=values)
        yield batch


def _steps(now: float, step_s: int, length_s: float) -> Iterable[int]:
    end = int(now // step_s) * step_s
    return range(end - int(length_s // step_s) * step_s, end, step_s)


def _values(scope: str, number: int, at: int, step_s: int) -> dict[str, float]:
    """Days and nights, and an outage of three hours yesterday at one of the CEs."""
    day = 0.75 + 0.25 * math.sin(at / DAY * math.tau + number)
    noise = 0.97 + 0.06 * random.Random(at * 1000 + number).random()
    size = {TOWER: 40_000, CE: 2_000, QUEUE: 1_300}[scope] / (1 if scope == TOWER else 1 + number % 5)
    n = size * day * noise
    if scope == QUEUE:
        return {"sent": int(n * 0.04), "starting": int(n * 0.25), "running": int(n * 0.6),
                "transferring": int(n * 0.05), "tovalidate": int(n * 0.02), "done": int(n * 0.03)}  # fmt: skip
    moved = n / 400 * step_s / 60
    found: dict[str, float] = {
        "submitted": int(n * 0.2), "holding": int(n * 0.01), "running": int(n * 0.65), "finishing": int(n * 0.05),
        "finished": int(n * 0.01), "done": int(n * 0.01), "toclean": int(n * 0.01), "donefailed": int(n * 0.005),
        "+submitted": int(moved), "+running": int(moved), "+finished": int(moved * 0.93), "+done": int(moved * 0.93),
        "+failed": int(moved * 0.07), "+donefailed": int(moved * 0.07), "+toclean": int(moved), "+archived": int(moved),
    }  # fmt: skip
    if scope == CE:
        for n, call in enumerate(CALLS, start=1):
            calls = step_s // 20
            found |= {f"+{call} calls": calls, f"+{call} s": round(calls * 0.1 * day * noise * (n + number % 3), 3)}
            if number in (1 + DOWN, 1 + FAILING):  # the first series is the tower's
                found[f"+{call} errors"] = calls // (n + 1)
        return found
    found |= {"tosubmit": int(n * 0.1), "+new": int(moved), "+pandajob new": int(moved * 0.9),
              "+pandajob done": int(moved * 0.85), "+pandajob donefailed": int(moved * 0.07),
              "oldest running s": 70_000, "oldest submitted s": 9000, "heartbeats due": 12,
              "panda running": int(n * 0.6), "panda starting": int(n * 0.25),
              "client active": int(n * 0.05)}  # fmt: skip
    return found


def fresh(now: float) -> list[str]:
    """Statements that make what is said every few seconds be said now; one daemon goes on hanging, one CE is down."""
    return [
        f"UPDATE daemons SET beat = {now} WHERE beat > {now - 600}",
        f"UPDATE hosts SET at = {now}",
        f"UPDATE lanes SET polled = {now} WHERE ce_id <> {DOWN}",
        f"UPDATE breakers SET last_good = {now} WHERE ce_id <> {DOWN}",
        f"UPDATE breakers SET open_until = {now + 200} WHERE ce_id = {DOWN}",
    ]
