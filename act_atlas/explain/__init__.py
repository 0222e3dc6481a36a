"""What only this application knows of its jobs and queues, for `actctl explain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from act.config import CoreConfig, load_core
from act.db import cejobs, situation
from act.db.engine import AnyRow
from act.errors import BadJobSpec, ConfigError, SourceUnreachable
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act_atlas import db, supply
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.conversion import convert
from act_atlas.cric import CricSource, http_getter
from act_atlas.explain import job, queue
from act_atlas.pandajob import PandaJob
from act_atlas.states import PANDAJOB


def explain(connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
    """A PanDA job by its PanDA id, also from the archive, or by the row it has here; a PanDA queue by its name."""
    source, _, number = name.partition(":")
    if asked is Asked.ROW and source != db.SOURCE:
        return None
    atlas = load_atlas()
    if asked is Asked.QUEUE:
        return _queue(connection, moment, atlas, name)
    if asked is Asked.ROW:
        row = db.get(connection, [int(number)]).get(int(number))
    else:
        row = db.find(connection, int(name))
    if row is not None:
        return job.tell(moment, atlas, _facts(connection, moment, atlas, row))
    old = situation.archived(connection, db.SOURCE, name) if asked is Asked.JOB else None
    return job.tell_archived(old) if old is not None else None


def _facts(connection: Connection, moment: Moment, atlas: AtlasConfig, row: AnyRow) -> job.Facts:
    attempts = {a.id: a for a in cejobs.of_application(connection, db.SOURCE, row.id)}
    unsent = _unsent(moment, atlas, row) if row.state == "sent" else job.Unsent()
    return job.Facts(
        row=row,
        attempt=attempts.get(row.cejob_id),
        attempts=tuple(sorted(attempts, key=lambda i: (i == row.cejob_id, i))),
        outputs=tuple(db.outputs.of_jobs(connection, [row.id]).get(row.id, ())),
        events=cejobs.history(connection, db.LEDGER.kind, [row.id]),
        unsent=unsent,
    )


def _unsent(moment: Moment, atlas: AtlasConfig, row: AnyRow) -> job.Unsent:
    """What the daemon that makes attempts meets: it is tried here, and nothing is written."""
    try:
        known = _cric(moment.config, atlas).load().queues.get(row.queue)
    except SourceUnreachable as error:
        return job.Unsent(problem=str(error))
    if known is None:
        return job.Unsent(problem=f"queue {row.queue} is not known any more: 'actctl explain --queue' tells why")
    if reason := supply.no_ce(known):
        return job.Unsent(known, problem=f"queue {row.queue}: {reason}")
    flavour = next(f for f in supply.MAKERS.values() if known.candidates(f))
    if "malformed" in row.metadata:
        return job.Unsent(known)
    try:
        fields = PandaJob.parse(row.job)
        configured = {source.role for source in moment.config.proxies.proxy}
        role = atlas.panda.role_of(analysis=fields.is_user, configured=configured)
        convert(fields, known, atlas, flavour=flavour, created=row.created, rowid=row.id, metadata=row.metadata)
    except BadJobSpec:
        return job.Unsent(known)  # PanDA will hear of it with the next pass
    except ConfigError as error:
        return job.Unsent(known, problem=str(error))
    return job.Unsent(known, role)


def _queue(connection: Connection, moment: Moment, atlas: AtlasConfig, name: str) -> Story | None:
    source = _cric(moment.config, atlas)
    try:
        table, told = source.load(), source.told_of(name)
    except SourceUnreachable as error:
        local = any(q.name == name for q in atlas.queues.queue)
        return queue.unknown(moment, name, str(error)) if local else None
    known = table.queues.get(name)
    facts = queue.Facts(
        name=name,
        queue=known,
        told=told,
        table=table,
        load=db.waiting_and_running(connection, name).get(name, (0, 0)),
        states={state: n for q, state, n, _ in db.counts(connection) if q == name},
        newest=next(iter(db.listing(connection, states=PANDAJOB.states, queue=name, limit=1)), None),
        asked=db.asks.last(connection, name),
    )
    if known is None and told is None and not facts.states:
        return None
    endpoints = [(e.flavour, e.url, e.queue) for e in known.endpoints] if known is not None else []
    story = queue.tell(moment, atlas, facts)
    return replace(story, parts=tuple(ask.endpoints(connection, moment, endpoints, supply.MAKERS.values())))


def queues(connection: Connection) -> set[str]:
    """The names of all queues that are known here, with jobs or without."""
    atlas = load_atlas()
    named = {q.name for q in atlas.queues.queue} | {queue for queue, *_ in db.counts(connection)}
    try:
        return named | _cric(load_core(), atlas).load().queues.keys()
    except SourceUnreachable:
        return named  # before CRIC has ever answered


def _cric(core: CoreConfig, atlas: AtlasConfig) -> CricSource:
    directory = Path(core.paths.store_dir) / "cric"
    return CricSource(atlas, directory, http_getter(core.ca_dir))
