"""What jobs of PanDA need: the server, facts of queues, the wrapper, and a place for logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from act import faults
from act.daemons.context import Context
from act.doctor import host, measures
from act.doctor.check import Check, Examination, bad, good, unchecked, warning
from act.errors import CredentialError, SourceUnreachable
from act.explain.words import some, span
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.cric import CricSource, QueueTable, http_getter
from act_atlas.daemons.base import panda_server
from act_atlas.panda import PandaClient, connect

NOBODY = 1  # the number of a job that is none of ours
OLD = 3  # intervals after which facts of queues should have been renewed


def examinations(context: Context) -> Iterator[Examination]:
    """Raises ConfigError."""
    atlas = _hasty(load_atlas(), context.config.timeouts.call_s)
    yield Examination("PanDA", lambda: panda(context, atlas))
    yield Examination("CRIC", lambda: cric(context, atlas))
    yield Examination("wrapper", lambda: wrapper(context, atlas))
    yield Examination("joblog", lambda: joblog(context, atlas))


def _hasty(atlas: AtlasConfig, most_s: float) -> AtlasConfig:
    """With calls that end in time."""
    source = atlas.cric.model_copy(update={"timeout_s": min(atlas.cric.timeout_s, most_s)})
    server = atlas.panda.model_copy(update={"timeout_s": min(atlas.panda.timeout_s, most_s)})
    return atlas.model_copy(update={"cric": source, "panda": server})


def panda(context: Context, atlas: AtlasConfig) -> Iterator[Check]:
    """It answers, takes our credential, and its clock is right."""
    settings = atlas.panda
    pem = b"" if settings.token_file else context.proxy_for(settings.role).pem
    client = faults.port("panda", connect(panda_server(atlas, context.config, pem)), SourceUnreachable)
    try:
        yield _spoken_to(client, atlas)
        yield measures.clock("clock of PanDA", client.ahead_s())
    finally:
        client.close()


def _spoken_to(client: PandaClient, atlas: AtlasConfig) -> Check:
    url = atlas.panda.server
    who = "the token" if atlas.panda.token_file else f"the proxy of role '{atlas.panda.role}'"
    before = time.monotonic()
    try:
        client.is_alive()
        client.job_status([NOBODY])
    except SourceUnreachable as error:
        return bad("PanDA", str(error), "are panda/server and panda/protocol right? else its operators know more")
    except CredentialError as error:
        todo = "it must be known to PanDA, with the production role: 'actctl daemon proxy --once'"
        return bad("PanDA", f"{url} refuses {who}: {error}", todo)
    return good("PanDA", f"{url} takes {who}, two calls took {(time.monotonic() - before) * 1000:.0f} ms")


def cric(context: Context, atlas: AtlasConfig) -> Iterator[Check]:
    """Facts of queues are there and not old; only if they are not, the server is asked why."""
    source = CricSource(atlas, Path(context.config.paths.store_dir) / "cric", http_getter(context.config.ca_dir))
    table = _kept(source)
    age = time.time() - table.fetched if table is not None else None
    told = (
        f"{some(len(table.queues), 'queue')}, {span(age)} old"
        if table is not None and age is not None
        else "no queues yet"
    )
    if age is not None and age < OLD * atlas.cric.interval_s:
        yield _fresh(told, table)
        return
    try:
        source.fetch()
    except SourceUnreachable as error:
        told = f"{told}: {error}"
        if table is None:
            yield bad("CRIC", told, "no job is asked for until it answers: is cric/url right?")
        else:
            yield warning("CRIC", told, "what it said last is used until it answers")
    else:
        yield bad("CRIC", f"{told}, but it answers", "does the daemon 'cric' run? 'actctl daemon cric --once'")


def _fresh(told: str, table: QueueTable | None) -> Check:
    problems = table.problems if table is not None else ()
    if problems:
        return warning("CRIC", f"{told}; {len(problems)} left out: {problems[0]}", "see to these queues in CRIC")
    return good("CRIC", told)


def _kept(source: CricSource) -> QueueTable | None:
    try:
        return source.load()
    except SourceUnreachable:
        return None


def wrapper(context: Context, atlas: AtlasConfig) -> Iterator[Check]:
    """What every pilot starts with. CEs fetch it, so that it cannot be had here proves nothing yet."""
    url = atlas.executable.wrapperurl
    if not url:
        yield bad("wrapper", "there is none, jobs wait", "set executable/wrapperurl")
    elif not url.startswith(("http://", "https://")):
        yield unchecked("wrapper", f"{url} can be reached by CEs only", "see that they can")
    else:
        try:
            size = len(http_getter(context.config.ca_dir)(url, context.config.timeouts.call_s))
        except SourceUnreachable as error:
            yield warning("wrapper", str(error), "CEs must be able to fetch it: is executable/wrapperurl right?")
        else:
            yield good("wrapper", f"{url}, {size} bytes")


def joblog(context: Context, atlas: AtlasConfig) -> Iterator[Check]:
    """The directory of logs, or that in which it is made with the first one."""
    wanted = atlas.joblog.dir
    there = next(d for d in (wanted, *wanted.parents) if d.is_dir())
    yield from host.directory("joblog", there, host.account(context.config))
