"""What a job that somebody submitted waits for, what holds it, and what happens to it next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.client import db
from act.client.states import CLIENTJOB, DEADLINES, NEXT, Event, limits
from act.client.tables import APP, LEDGER
from act.db import cejobs
from act.db.engine import AnyRow
from act.explain import attempt as of_attempt
from act.explain.moment import Moment
from act.explain.story import Due, Hold, Story, Trouble, Turn, happened, in_order
from act.explain.words import some
from act.states import CEJOB
from act.states import NEXT as ATTEMPT_NEXT

OWNER = "its owner"
WORDS = {
    "insert": "its submission was begun",
    Event.CONFIRM: "it was submitted",
    Event.ABANDON: "its submission was given up",
    Event.ATTEMPT: "an attempt was made",
    Event.UNFIT: "it cannot be submitted",
    Event.KILL: "its end is wanted",
    Event.DONE: "its attempt ended well",
    Event.BROKEN: "its attempt ended badly",
    Event.STOPPED: "its attempt was ended",
    Event.RESUBMIT: "it is to be tried again",
    Event.REQUEUE: "it waits for a CE again",
    Event.CLEAN: "it may be forgotten",
    Event.CLEANED: "nothing of it is left",
}
MB = 1_000_000


@dataclass(frozen=True)
class Facts:
    """All that is known of a job. attempts: oldest first; owner: the subject of the one whose job it is."""

    row: AnyRow
    owner: str = ""
    attempts: Sequence[AnyRow] = ()
    events: Sequence[AnyRow] = ()

    @property
    def attempt(self) -> AnyRow | None:
        """The current one."""
        return next((a for a in self.attempts if a.id == self.row.cejob_id), None)


def explain(connection: Connection, moment: Moment, name: str) -> Story | None:
    """The job of a row, ``client:<number>``."""
    app, _, number = name.partition(":")
    if app != APP:
        return None
    row = db.get(connection, [int(number)]).get(int(number))
    if row is None:
        return None
    attempts = db.attempts_of(connection, [row.id])
    events = cejobs.history(connection, LEDGER.kind, [row.id])
    return tell(moment, Facts(row, db.owner(connection, row.user_id), attempts, events))


def tell(moment: Moment, facts: Facts) -> Story:
    """The story of a job, without that of its attempts."""
    row = facts.row
    turn = _turn(moment, facts)
    rests = of_attempt.lease(moment, row)
    holds = [*moment.idle(turn), *([rests] if rests else [])] if turn is not None else []
    attempts = sorted((a.id for a in facts.attempts), key=lambda i: (i == row.cejob_id, i))
    return Story(
        title=f"job {row.id} {row.jobname}".rstrip(),
        state=row.state,
        since=row.since,
        facts=tuple(_facts(facts)),
        turn=turn,
        holds=tuple(holds),
        due=in_order(_due(moment, row, turn, holds)),
        errors=tuple(_errors(moment, row, turn)),
        history=happened(facts.events, "job", WORDS),
        attempts=tuple(attempts),
    )


def _turn(moment: Moment, facts: Facts) -> Turn | None:
    """None: the story of an attempt tells."""
    state = facts.row.state
    following = NEXT[state]
    if following.owner == "user":
        return Turn(OWNER, following.does, runs=True, word="the tower waits for nobody else")
    if following.owner == "maker":
        return moment.turn(f"client2{facts.row.flavour}", following.does)
    waits_for = [facts.attempt] if state == "active" else facts.attempts
    if any(a is not None and a.state not in CEJOB.final and not _has_news(a) for a in waits_for):
        return None
    return moment.turn(following.owner, following.does)


def _has_news(attempt: AnyRow) -> bool:
    """The job has not been told of what became of its attempt, or only the job can say how the attempt goes on."""
    owner = ATTEMPT_NEXT[attempt.state].owner if attempt.state in ATTEMPT_NEXT else of_attempt.APPLICATION
    return bool(attempt.version != attempt.seen_version or owner == of_attempt.APPLICATION)


def _due(moment: Moment, row: AnyRow, turn: Turn | None, holds: Sequence[Hold]) -> list[Due]:
    due = of_attempt.ends(moment, holds)
    if turn is not None and turn.daemon != OWNER and not holds:
        due.append(Due(moment.now + moment.config.daemons.idle_s, f"{turn.daemon} {turn.does}"))
    step = CLIENTJOB.step(row.state, DEADLINES[row.state].event)
    assert step is not None
    text = f"the limit of '{row.state}' is over, and it becomes '{step.target}'{moment.once('clientstatus')}"
    return [*due, Due(row.since + limits(moment.config)[row.state], text, last=True)]


def _facts(facts: Facts) -> list[tuple[str, str]]:
    row = facts.row
    told = [("owner", facts.owner), ("shown as", row.shown), ("may go to", ", ".join(row.ces))]
    told.append(("files", f"{some(row.files, 'file')}, {row.bytes / MB:.1f} MB" if row.files else ""))
    if len(facts.attempts) > 1:
        told.append(("attempts", ", ".join(str(a.id) for a in facts.attempts)))
    if row.killed and row.state == "active":
        told.append(("wanted", "its end: its attempt is told as soon as nothing is in doubt"))
    return [(label, text) for label, text in told if text]


def _errors(moment: Moment, row: AnyRow, turn: Turn | None) -> list[Trouble]:
    found = [Trouble(f"of the job: {row.error}")] if row.error else []
    return found + (list(moment.lately(turn.daemon)) if turn is not None else [])
