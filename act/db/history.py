"""Figures over time: one sample of each series (a scope and a name) for each minute, later for each hour and day.

A key that begins with ``+`` counts what happened within the step; every other one is a level at one moment. Of an hour
and a day, levels are the mean and counts the sum. Zeros are not kept: what a sample does not hold was zero. Of a step
without any sample nothing is known: nobody looked. The series of the whole tower tells which steps there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, Select, delete, exists, func, insert, select

from act.db.engine import chunks, inserted_id
from act.db.schema_operating import samples, series
from act.figures import TOWER, Figure

MINUTE_S, HOUR_S, DAY_S = STEPS = (60, 3600, 86400)

_LONGEST_NAME = 255
_FORGOTTEN = 60  # steps at a time
_WHOLE = (TOWER, "")

Key = tuple[str, str]  # scope and name of a series


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures (key -> value, zeros left out) of one series in the step that begins ``at`` (seconds, UTC)."""

    at: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Keep:
    """How long samples are kept, in seconds, by the length of their step."""

    minutes_s: float
    hours_s: float
    days_s: float


def is_count(key: str) -> bool:
    """Whether a figure counts what happened, and is no level."""
    return key.startswith("+")


def write(connection: Connection, at: float, figures: Iterable[Figure]) -> None:
    """Keep the figures of the minute that ``at`` is in. Nothing happens where that minute has been written."""
    values: dict[Key, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for f in figures:
        values[f.scope, f.name[:_LONGEST_NAME]][f.key] += f.value
    begin = _begin(at, MINUTE_S)
    this = _tower().join(samples, samples.c.series_id == series.c.id)
    if connection.execute(this.where(samples.c.step_s == MINUTE_S, samples.c.at == begin)).first() is None:
        _insert(connection, MINUTE_S, begin, values)


def compact(connection: Connection, at: float, keep: Keep) -> None:
    """Make the next hour, or else the next day, that is over at ``at``, and forget what was kept for long enough.

    Bounded: about an hour's worth of minutes is forgotten at a call, and as many of the longer steps.
    """
    for fine, coarse in pairwise(STEPS):
        if (begin := _next(connection, fine, coarse, at)) is not None:
            _insert(connection, coarse, begin, _folded(connection, fine, begin, begin + coarse))
            break  # a day is made when all its hours are
    for step_s, kept_s in zip(STEPS, (keep.minutes_s, keep.hours_s, keep.days_s), strict=True):
        _forget(connection, step_s, at - kept_s)


def read(connection: Connection, scope: str, name: str, *, since: float, step_s: int) -> list[Sample]:
    """The samples of a series that begin at ``since`` or later, in order; step_s: one of `STEPS`.

    There is one for every step in which somebody looked, without figures where all of the series were zero.
    """
    s = samples.c
    query = (
        select(s.at, s.figures)
        .join(series, series.c.id == s.series_id)
        .where(series.c.scope == scope, series.c.name == name[:_LONGEST_NAME], s.step_s == step_s, s.at >= since)
    )
    found = {row.at: row.figures for row in connection.execute(query)}
    looked = (
        select(s.at)
        .where(s.series_id == _tower().scalar_subquery(), s.step_s == step_s, s.at >= since)
        .order_by(s.series_id, s.step_s, s.at)
    )
    return [Sample(at, found.get(at, {})) for at in connection.scalars(looked)]


def names(connection: Connection, scope: str) -> list[str]:
    """The series of a scope, in order."""
    return list(connection.scalars(select(series.c.name).where(series.c.scope == scope).order_by(series.c.name)))


def _begin(at: float, step_s: int) -> int:
    return int(at // step_s) * step_s


def _tower() -> Select[tuple[int]]:
    scope, name = _WHOLE
    return select(series.c.id).where(series.c.scope == scope, series.c.name == name)


def _last(connection: Connection, step_s: int) -> int | None:
    """The begin of the last step that was written."""
    return connection.execute(select(func.max(samples.c.at)).where(samples.c.step_s == step_s)).scalar()


def _insert(connection: Connection, step_s: int, begin: int, values: Mapping[Key, Mapping[str, float]]) -> None:
    """Write one step; the series of the whole tower in any case."""
    plain = {key: kept for key, figures in values.items() if (kept := _plain(figures)) or key == _WHOLE}
    plain.setdefault(_WHOLE, {})
    ids = _ids(connection, plain.keys())
    rows = [{"series_id": ids[key], "step_s": step_s, "at": begin, "figures": kept} for key, kept in plain.items()]
    for part in chunks(rows):
        connection.execute(insert(samples), part)


def _plain(figures: Mapping[str, float]) -> dict[str, float]:
    """Without zeros, and short in JSON."""
    short = {key: int(value) if value == int(value) else round(value, 6) for key, value in figures.items()}
    return {key: value for key, value in short.items() if value}


def _ids(connection: Connection, wanted: Iterable[Key]) -> dict[Key, int]:
    """The numbers of series, which are made where they are new."""
    known = {(r.scope, r.name): r.id for r in connection.execute(select(series))}
    for scope, name in sorted(set(wanted) - known.keys()):
        known[scope, name] = inserted_id(connection.execute(insert(series).values(scope=scope, name=name)))
    return known


def _next(connection: Connection, fine: int, coarse: int, at: float) -> int | None:
    """The begin of the next coarse step that is over and can be made of fine ones."""
    last = _last(connection, coarse)
    query = select(func.min(samples.c.at)).where(samples.c.step_s == fine)
    first = connection.execute(query if last is None else query.where(samples.c.at >= last + coarse)).scalar()
    if first is None or (begin := _begin(first, coarse)) + coarse > at:
        return None
    return begin


def _folded(connection: Connection, fine: int, begin: int, end: int) -> dict[Key, dict[str, float]]:
    """Means of levels and sums of counts over the fine steps in which somebody looked."""
    s = samples.c
    looked: set[int] = set()
    sums: dict[Key, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    query = (
        select(series.c.scope, series.c.name, s.at, s.figures)
        .join(series, series.c.id == s.series_id)
        .where(s.step_s == fine, s.at >= begin, s.at < end)
    )
    for scope, name, at, figures in connection.execute(query):
        looked.add(at)
        for key, value in figures.items():
            sums[scope, name][key] += value
    return {
        name: {key: value if is_count(key) else value / len(looked) for key, value in figures.items()}
        for name, figures in sums.items()
    }


def _forget(connection: Connection, step_s: int, before: float) -> None:
    """Delete the oldest samples that are older than that and went into the next longer step; and series without any."""
    if step_s != DAY_S:
        coarse = STEPS[STEPS.index(step_s) + 1]
        last = _last(connection, coarse)
        before = min(before, 0 if last is None else last + coarse)
    here = samples.c.step_s == step_s
    oldest = connection.execute(select(func.min(samples.c.at)).where(here)).scalar()
    if oldest is None or oldest >= before:
        return
    end = min(before, oldest + _FORGOTTEN * step_s)
    connection.execute(delete(samples).where(here, samples.c.at < end))
    connection.execute(delete(series).where(~exists().where(samples.c.series_id == series.c.id)))
