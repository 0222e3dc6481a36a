"""What a PanDA queue is to this tower, and why it gets jobs or not. Pure: facts in, sentences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act.db.engine import AnyRow
from act.db.orders import Kind
from act.explain.moment import Moment
from act.explain.ordered import describe, hold
from act.explain.story import Hold, Story, Trouble, Why
from act.explain.words import ago, some
from act_atlas import supply
from act_atlas.config import AtlasConfig
from act_atlas.cric import QueueTable
from act_atlas.queueinfo import QueueInfo, why_not_selected
from act_atlas.states import PANDAJOB

GETJOB = "getjob"


@dataclass(frozen=True)
class Facts:
    """All that is known of a queue. told: what CRIC says of it; load: jobs here that wait, and that run.

    newest: the job that came last. asked: what came of asking PanDA (`act_atlas.db.asks`).
    """

    name: str
    queue: QueueInfo | None
    told: Mapping[str, Any] | None
    table: QueueTable
    load: tuple[int, int] = (0, 0)
    states: Mapping[str, int] = field(default_factory=dict)
    newest: AnyRow | None = None
    asked: AnyRow | None = None


def tell(moment: Moment, atlas: AtlasConfig, facts: Facts) -> Story:
    """The story of a queue, without that of its CE queues."""
    turn = moment.turn(GETJOB, f"asks PanDA for jobs of the queue, {_how_often(atlas)}")
    holds = [*_closed(moment, atlas, facts), *moment.idle(turn)]
    return Story(
        title=f"PanDA queue {facts.name}",
        state="jobs are asked for" if not holds else "no jobs are asked for",
        facts=tuple(_facts(moment, atlas, facts)),
        turn=turn,
        holds=tuple(holds),
        errors=tuple(_errors(moment, facts)),
    )


def unknown(moment: Moment, name: str, why: str) -> Story:
    """A queue that the local settings name, before CRIC has ever answered."""
    cric = moment.turn("cric", "fetches the facts of queues from CRIC")
    holds = (Hold(Why.SETTINGS, why), *moment.idle(cric))
    return Story(f"PanDA queue {name}", "no jobs are asked for", turn=cric, holds=holds, errors=moment.lately("cric"))


def _how_often(atlas: AtlasConfig) -> str:
    panda = atlas.panda
    return f"every {panda.getjob_min_s:g} to {panda.getjob_max_s:g} s while there is room"


def _closed(moment: Moment, atlas: AtlasConfig, facts: Facts) -> list[Hold]:
    """Why the queue gets no jobs now."""
    if facts.queue is None:
        return [Hold(Why.SETTINGS, _why_unknown(atlas, facts))]
    holds = [] if atlas.panda.token_file else [*moment.credential_of(atlas.panda.role)]
    if reason := supply.closed(facts.queue):
        return [Hold(Why.SETTINGS, reason), *holds]
    if (order := moment.orders.unwanted(Kind.QUEUE, facts.name)) is not None:
        return [hold(f"queue {facts.name}", order), *holds]
    room = supply.room(facts.queue, *facts.load, atlas.panda, moment.orders)
    if room.jobs <= 0:
        holds.append(Hold(Why.LIMIT, f"enough of its jobs are here: {room.why}"))
    return holds


def _why_unknown(atlas: AtlasConfig, facts: Facts) -> str:
    if facts.told is None:
        return "CRIC does not know it, and the local settings give it no CE"
    if reason := why_not_selected(facts.told, atlas.cric):
        return reason
    return next((p for p in facts.table.problems if facts.name in p), "CRIC's facts of it make no sense")


def _facts(moment: Moment, atlas: AtlasConfig, facts: Facts) -> list[tuple[str, str]]:
    told = [("CRIC", f"fetched {ago(facts.table.fetched, moment.now)}")]
    if facts.queue is not None:
        told += _settings(atlas, facts.queue)
        waiting, running = facts.load
        room = supply.room(facts.queue, waiting, running, atlas.panda, moment.orders)
        told.append(("room", f"for {some(room.jobs, 'more job')}: {room.why}; {running} run"))
    told += [("order", describe(order)) for order in moment.orders.of(Kind.QUEUE, facts.name).values()]
    by_state = [f"{facts.states[s]} {s}" for s in PANDAJOB.states if facts.states.get(s)]
    told.append(("jobs", ", ".join(by_state) or "none"))
    told.append(("asked", _asked(moment, facts.asked)))
    newest = facts.newest
    came = f"job {newest.pandaid}, {ago(newest.created, moment.now)}" if newest is not None else "none that is here"
    return [*told, ("last job", came)]


def _asked(moment: Moment, row: AnyRow | None) -> str:
    """It is noted once a minute, unless something else comes of it."""
    if row is None:
        return "not yet"
    came = "it failed" if row.error else f"{some(row.jobs, 'job')} came" if row.jobs else "nothing came"
    return f"{ago(row.asked, moment.now)} or since: {came}"


def _settings(atlas: AtlasConfig, queue: QueueInfo) -> list[tuple[str, str]]:
    mode = "true pilot" if queue.truepilot else "NorduGrid mode"
    told = [("queue", f"{queue.type}, status {queue.status}, {'push' if queue.push else 'not push'}, {mode}")]
    limits = {"max_waiting": queue.max_waiting, "maxjobs": queue.maxjobs}
    if own := ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None):
        told.append(("own limits", own))
    local = atlas.queues.named(queue.name).model_dump(exclude_defaults=True, exclude={"name"})
    if local:
        told.append(("local settings", ", ".join(sorted(local))))
    return told


def _errors(moment: Moment, facts: Facts) -> list[Trouble]:
    problems = [Trouble(f"CRIC: {p}") for p in facts.table.problems if facts.name in p]
    if facts.asked is not None and facts.asked.error:
        problems.append(Trouble(f"asking PanDA for jobs: {facts.asked.error}", facts.asked.asked))
    return [*problems, *moment.lately(GETJOB), *moment.lately("cric")]
