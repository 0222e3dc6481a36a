"""What an attempt waits for, what holds it, and what happens to it next. Pure: facts in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from act.db.engine import AnyRow
from act.explain import places
from act.explain.moment import Moment
from act.explain.ordered import hold
from act.explain.places import Health, Place
from act.explain.story import Due, Hold, Story, Trouble, Turn, Why, happened, in_order
from act.explain.words import ago, some, span
from act.states import CEJOB, DEADLINES, IN_DOUBT, NEXT, PLACELESS, STAND_STILL_AT_MOST_S, Event

APPLICATION, OPERATOR = "application", "operator"
WORDS = {
    "insert": "made",
    Event.CLAIM: "a CE queue was chosen",
    Event.ACCEPTED: "the CE has it, and may not run it yet",
    Event.ARMED: "the CE may run it",
    Event.PUTBACK: "taken back before it could run",
    Event.REFUSED: "no CE queue takes it",
    Event.UNARMED: "it ended at the CE without ever having been allowed to run",
    Event.WAITING: "it waits at the CE",
    Event.HELD: "the CE holds it",
    Event.RUNNING: "it runs",
    Event.FINISHING: "the CE stages out",
    Event.FINISHED: "it ended well",
    Event.FAILED: "it failed",
    Event.STAGEFAILED: "staging failed, which is worth another try",
    Event.RESTARTED: "staging was started again",
    Event.KILLED: "the CE has ended it",
    Event.GONE: "the CE does not know it any more",
    Event.KILLSENT: "the CE was told to end it",
    Event.FETCHED: "its files are here",
    Event.UNFETCHED: "its files did not come",
    Event.CLEANED: "nothing of it is left at the CE",
    Event.SILENT: "given up: no word from the CE",
    Event.EXPIRED: "given up: it never reached a CE",
    Event.CANCEL: "its end is wanted",
    Event.FETCH: "its files are wanted",
    Event.CLEAN: "it may be forgotten",
    Event.REQUEUE: "it is to leave its CE, and to wait for any again",
    Event.QUARANTINE: "kept from all CEs",
    Event.RELEASE: "it may go to a CE again",
    "priority": "its priority was changed",
    "move": "where it may go was changed",
}


@dataclass(frozen=True)
class Facts:
    """All that is known of an attempt: its row, its candidates, its CE's health and CE queue, its events."""

    row: AnyRow
    places: Sequence[Place] = ()
    health: Health | None = None
    queue: str = ""
    events: Sequence[AnyRow] = ()

    @property
    def lane(self) -> AnyRow | None:
        """Of its CE and credential."""
        return self.health.lane(self.row.proxy_id) if self.health is not None else None


def tell(moment: Moment, facts: Facts) -> Story:
    """The whole story of one attempt."""
    row = facts.row
    turn = _turn(moment, facts)
    holds = _holds(moment, facts, turn) if turn is not None else []
    return Story(
        title=f"attempt {row.id}",
        state=row.state,
        since=row.since,
        facts=tuple(_facts(moment, facts)),
        turn=turn,
        holds=tuple(holds),
        due=in_order(_due(moment, facts, turn, holds)),
        errors=tuple(_errors(moment, facts, turn, holds)),
        history=happened(facts.events, f"attempt {row.id}", WORDS),
    )


# -- whose turn it is ------------------------------------------------------------------------------------------------


def _held(moment: Moment, row: AnyRow) -> bool:
    return row.claimed_by is not None and row.claimed_until is not None and row.claimed_until > moment.now


def _turn(moment: Moment, facts: Facts) -> Turn | None:
    row = facts.row
    following = NEXT.get(row.state)
    if following is None:
        return None
    if following.owner == APPLICATION:
        return Turn(APPLICATION, following.does)
    if following.owner == OPERATOR:
        return Turn(OPERATOR, following.does, runs=True, word="the tower waits for nobody else")
    if row.state in IN_DOUBT and _held(moment, row) and not row.claimed_by.startswith("reconciler"):
        return moment.turn(f"submitter-{row.flavour}", "brings it to the CE")
    far = facts.health.url if following.far and facts.health is not None else ""
    return moment.turn(f"{following.owner}-{row.flavour}", following.does, far)


# -- what holds it ---------------------------------------------------------------------------------------------------


def _holds(moment: Moment, facts: Facts, turn: Turn) -> list[Hold]:
    if turn.daemon == APPLICATION:
        return []
    if turn.daemon == OPERATOR:
        return _quarantine(facts)
    holds = [*moment.idle(turn)]
    if facts.row.state == "tosubmit":
        return holds + _no_place(moment, facts, turn.daemon)
    if held := lease(moment, facts.row) or _patience(moment, facts.row):
        holds.append(held)
    if facts.health is not None:
        holds += places.unwell(moment, facts.health, turn.daemon, facts.row.proxy_id)
    if not holds and turn.runs and (silence := places.silent(moment, facts.lane)):
        holds.append(silence)
    return holds


def _quarantine(facts: Facts) -> list[Hold]:
    """Who put it there, and why."""
    order = next((e for e in reversed(facts.events) if e.event == Event.QUARANTINE), None)
    return [Hold(Why.QUARANTINE, f"by {order.who}: {order.why}" if order is not None else "nobody knows by whom")]


def _no_place(moment: Moment, facts: Facts, daemon: str) -> list[Hold]:
    """Why no CE queue takes an attempt; [] if one may."""
    if moment.stopped:
        return [Hold(Why.STOPPED, f"nothing is submitted: {moment.stopped}")]
    if (paused := moment.orders.share(facts.row.share)) is not None:
        return [hold(f"{paused.kind} {paused.name}", paused)]
    usable = [p for p in facts.places if not p.row.refused]
    if not usable:
        return [Hold(Why.REFUSED, "all its CE queues have refused it" if facts.places else "it may go to no CE queue")]
    holds = []
    for place in usable:
        here = _against(moment, place, daemon, facts.row.proxy_id)
        if not here:
            return []
        holds += here
    return list(dict.fromkeys(holds))


def _against(moment: Moment, place: Place, daemon: str, proxy_id: int) -> list[Hold]:
    return places.no_room(moment, place) + places.unwell(moment, place.health, daemon, proxy_id)


def lease(moment: Moment, row: AnyRow) -> Hold | None:
    """Why a row is left alone: another process works on it, or it rests."""
    if row.claimed_until is None or row.claimed_until <= moment.now:
        return None
    if row.claimed_by is None:
        return Hold(Why.REST, "it rests before it is tried again", row.claimed_until)
    return Hold(Why.LEASE, f"claimed by {holder(row.claimed_by)}", row.claimed_until, "the claim ends, if not before")


def _patience(moment: Moment, row: AnyRow) -> Hold | None:
    """Staging is not repeated at once."""
    until = row.since + moment.config.polling.rerun_s
    if row.state != "torerun" or until <= moment.now:
        return None
    return Hold(Why.REST, "what made staging fail is given time to go away", until, "staging is tried once more")


def holder(claimed_by: str) -> str:
    """``submitter-x@host:123:beef`` in words."""
    name, _, rest = claimed_by.partition("@")
    host, _, process = rest.partition(":")
    return f"{name} on {host} (process {process.partition(':')[0]})"


# -- what happens next -----------------------------------------------------------------------------------------------


def _due(moment: Moment, facts: Facts, turn: Turn | None, holds: Sequence[Hold]) -> list[Due]:
    row, due = facts.row, []
    if turn is not None and turn.daemon not in (APPLICATION, OPERATOR):
        due += ends(moment, holds)
        if not holds:
            due.append(_step(moment, facts, turn))
    if row.state in DEADLINES:
        due.append(_deadline(moment, facts))
    return due


def ends(moment: Moment, holds: Sequence[Hold]) -> list[Due]:
    """What happens when that ends which is in the way for a while."""
    return list(dict.fromkeys(Due(max(h.until, moment.now), h.then) for h in holds if h.until is not None))


def _step(moment: Moment, facts: Facts, turn: Turn) -> Due:
    """The next pass of the daemon whose turn it is, when nothing is in its way."""
    if NEXT[facts.row.state].far:
        lane = facts.lane
        if lane is not None and lane.claimed_by is not None and lane.claimed_until > moment.now:
            return Due(moment.now, f"{holder(lane.claimed_by)} is asking the CE")
        polled = lane.polled if lane is not None and lane.polled is not None else moment.now
        return Due(max(moment.now, polled + moment.config.polling.status_s), f"{turn.daemon} asks the CE")
    return Due(moment.now + moment.config.daemons.idle_s, f"{turn.daemon} {turn.does}")


def _deadline(moment: Moment, facts: Facts) -> Due:
    """When the state has lasted too long. The clock stands still while the CE is silent, within limits."""
    row, lane = facts.row, facts.lane
    deadline = DEADLINES[row.state]
    own = {d.state: d.seconds for d in moment.config.deadlines.deadline}
    seconds = own.get(row.state, deadline.seconds)
    at = row.since + seconds
    if row.ce_id is not None:
        heard = lane.heard if lane is not None and places.silent(moment, lane) is None else None
        latest = at + STAND_STILL_AT_MOST_S
        at = latest if heard is None else min(max(at, heard + seconds), latest)
    step = CEJOB.step(row.state, deadline.event)
    assert step is not None
    text = f"the limit of '{row.state}' is over, and it becomes '{step.target}'"
    return Due(at, text + moment.once(f"reconciler-{row.flavour}"), last=True)


# -- facts and errors ------------------------------------------------------------------------------------------------


def _facts(moment: Moment, facts: Facts) -> list[tuple[str, str]]:
    row = facts.row
    told = [("credential", _credential(moment, row.proxy_id))]
    if row.state not in PLACELESS:
        told += [("CE", _place(facts)), ("at the CE", _at_ce(row))]
    if row.state in (*PLACELESS, *IN_DOUBT):
        told.append(("submissions", f"{row.submission} so far" if row.submission else "none yet"))
    if row.doubts:
        times = some(row.doubts, "time")
        told.append(("in doubt", f"the CE failed {times} on requests that it was in: it goes out with fewer others"))
    if row.missing_at is not None:
        when = ago(row.missing_at, moment.now)
        told.append(("missing", f"{when} a complete answer of the CE did not have it; a second one counts"))
    if row.wish:
        told.append(("wanted", f"{row.wish}: done as soon as nothing is in doubt and nobody has it in hand"))
    if row.state in PLACELESS:
        told += [("may go to", _candidate(moment, place, row)) for place in facts.places]
    return [(label, text) for label, text in told if text]


def _place(facts: Facts) -> str:
    if facts.health is None:
        return ""
    return f"{facts.health.name} queue {facts.queue}" if facts.queue else facts.health.name


def _at_ce(row: AnyRow) -> str:
    """What the CE said of it last."""
    if row.ce_job_id is None:
        return ""
    told = [f"job {row.ce_job_id}"]
    told += [f"the CE says {row.ce_state}"] if row.ce_state else []
    told += [f"node {row.node}"] if row.node else []
    told += [f"exit code {row.exit_code}"] if row.exit_code is not None else []
    told += [f"wall time {span(row.wall_s)}"] if row.wall_s is not None else []
    return ", ".join(told)


def _credential(moment: Moment, proxy_id: int) -> str:
    row = moment.proxies.get(proxy_id)
    if row is None or row.expires <= moment.now:
        return f"role '{moment.role(proxy_id)}', not good any more"
    return f"role '{row.role}', good for {span(row.expires - moment.now)}"


def _candidate(moment: Moment, place: Place, row: AnyRow) -> str:
    if place.row.refused:
        return f"{place.name}: has refused it"
    against = _against(moment, place, f"submitter-{row.flavour}", row.proxy_id)
    if against:
        return f"{place.name}: not now ({', '.join(dict.fromkeys(h.why.value for h in against))})"
    before = f", {place.ahead} of the same share before it" if place.ahead else ""
    return f"{place.name}: {places.filled(place.load)}{before}"


def _errors(moment: Moment, facts: Facts, turn: Turn | None, holds: Sequence[Hold]) -> list[Trouble]:
    found = [Trouble(f"of the attempt: {facts.row.error}")] if facts.row.error else []
    if turn is None:
        return found
    if facts.row.state in PLACELESS:
        by_name = {p.health.name: p.health for p in facts.places}
    else:
        by_name = {facts.health.name: facts.health} if facts.health is not None else {}
    for health in by_name.values():
        found += places.troubles(moment, health, holds, facts.row.proxy_id)
    return found + list(moment.lately(turn.daemon))
