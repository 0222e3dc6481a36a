"""What operators fill in on the pages, as orders and actions, and what comes of these. Bad input raises ActError."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Connection

from act.config import CoreConfig
from act.control import orders as control
from act.control.apply import Action, Done, apply, place, select
from act.control.jobs import Filter, Verb
from act.db import meta
from act.db.engine import Database
from act.db.orders import LIMITS, Kind, Order, What
from act.errors import ActError
from act.pages.jobs import Search

MOST = 2000  # jobs that one form acts on: longer work is for the command line
SHOWN = 20
WORDS = {
    Verb.KILL: "End them; whoever they belong to is told",
    Verb.RESUBMIT: "Give those that ended badly another attempt",
    Verb.REQUEUE: "Take those that wait at a CE back, to wait for any CE again",
    Verb.CLEAN: "Keep nothing of those that have ended any longer",
    Verb.QUARANTINE: "Let those that wait go to no CE until they are released",
    Verb.RELEASE: "Release them from quarantine",
    Verb.PRIORITY: "Give those that wait another priority",
    Verb.MOVE: "Let those that wait go to one CE queue only",
    Verb.REPLAY: "Tell their source again what it was told last",
}
W = TypeVar("W", bound=StrEnum)


# -- jobs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action, or would. done: how many jobs; refused: why not -> how many; shown: the first ones.

    more: there are further jobs, beyond those that one form acts on.
    """

    done: int
    refused: Mapping[str, int]
    shown: tuple[Done, ...]
    more: bool


def action(connection: Connection, form: Mapping[str, str], names: Sequence[str], who: str) -> Action:
    """The action of a form: on the jobs named, or on all that its fields of a search find. who: see `Action`."""
    verb = _word(Verb, form.get("verb", ""), "action")
    search = Search.of(form)
    if names:
        wanted = Filter(names=tuple(names)[:MOST])
    elif search.asked and form.get("all"):
        wanted = search.filter(connection)
    else:
        raise ActError("no job is chosen: mark some, or choose all that a search has found")
    return Action(verb, wanted, who, _why(form), _value(verb, form))


def carry_out(database: Database, wanted: Action, *, dry_run: bool) -> Outcome:
    """Do it to `MOST` jobs, or the few more of a page that is begun; dry_run: find out what would come of it."""
    done: list[Done] = []
    more = False
    for page in apply(database, wanted, dry_run=dry_run):
        done += page
        if len(done) >= MOST:  # the next page would be acted on before it could be seen
            more = _more(database, wanted.wanted, done[-1])
            break
    refused = Counter(d.refused for d in done if d.refused)
    return Outcome(len(done) - refused.total(), dict(refused.most_common(SHOWN)), tuple(done[:SHOWN]), more)


def _more(database: Database, wanted: Filter, last: Done) -> bool:
    """Whether there are jobs behind this one."""
    return bool(database.read("find", lambda c: select(c, wanted, after=place(last.job), limit=1)))


def _value(verb: Verb, form: Mapping[str, str]) -> Any:
    if verb is Verb.PRIORITY:
        return _number(form.get("value", ""), "priority", least=-(10**6))
    if verb is Verb.MOVE:
        return [_number(form.get("place", ""), "CE queue")]
    return None


# -- orders ----------------------------------------------------------------------------------------------------------


def give(connection: Connection, config: CoreConfig, form: Mapping[str, str], who: str, *, dry_run: bool) -> str:
    """Put the order of a form into force; what that changes, in words."""
    now = meta.clock(connection)
    what = _word(What, form.get("what", ""), "order")
    order = Order(
        kind=_word(Kind, form.get("kind", ""), "kind of order"),
        name=form.get("name", ""),
        queue=form.get("queue", ""),
        what=what,
        value=_number(form.get("value", ""), what) if what in LIMITS else None,
        until=control.end(until, now) if (until := form.get("until", "").strip()) else None,
        why=_why(form),
    )
    return control.give(connection, config, order, who=who, dry_run=dry_run)


def take_back(connection: Connection, form: Mapping[str, str], who: str, *, dry_run: bool) -> str:
    """End the order of a form; what that changes, in words."""
    what = _word(What, form.get("what", ""), "order")
    about = control.Subject(
        _word(Kind, form.get("kind", ""), "kind of order"), form.get("name", ""), form.get("queue", "")
    )
    why = form.get("why", "") if dry_run else _why(form)
    told = control.take_back(connection, about, [what], who=who, why=why, dry_run=dry_run)
    return "; ".join(told) or f"{about.text}: there is no such order (any more), nothing changes"


# -- fields ----------------------------------------------------------------------------------------------------------


def _why(form: Mapping[str, str]) -> str:
    why = form.get("why", "").strip()
    if not why:
        raise ActError("say why: those who come after you will want to know")
    return why[: control.LONGEST_WHY]


def _word(kind: type[W], text: str, name: str) -> W:
    if text not in [member.value for member in kind]:
        raise ActError(f"choose what is to be done: '{text[:50]}' is no {name}")
    return kind(text)


def _number(text: str, name: str, least: int = 0) -> int:
    try:
        number = int(text.strip())
    except ValueError:
        raise ActError(f"{name}: '{text[:50]}' is no whole number") from None
    if not least <= number <= 10**9:
        raise ActError(f"{name}: {number} is too small or too large")
    return number
