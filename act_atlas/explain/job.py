"""What a PanDA job waits for, what holds it, and what happens to it next. Pure: facts in, sentences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from act.db.engine import AnyRow
from act.explain import attempt as of_attempt
from act.explain.moment import Moment
from act.explain.story import Due, Hold, Story, Trouble, Turn, Why, happened, in_order, merged
from act.explain.words import ago, span
from act.states import NEXT as ATTEMPT_NEXT
from act_atlas.config import AtlasConfig
from act_atlas.queueinfo import QueueInfo
from act_atlas.states import DEADLINES, NEXT, ON_STORAGE, PANDAJOB, TO_REPORT, Event
from act_atlas.supply import MAKERS

WORDS = {
    "insert": "PanDA handed it over",
    Event.ATTEMPT: "an attempt was made",
    Event.UNFIT: "it cannot be submitted",
    Event.WAITING: "its attempt waits",
    Event.RUNNING: "its attempt runs",
    Event.FINISHING: "the CE stages out",
    Event.ENDED: "its attempt ended well",
    Event.BROKEN: "its attempt ended badly",
    Event.VALID: "nothing is left to check",
    Event.RESUBMIT: "another attempt is worth it",
    Event.RETRY: "it is tried again",
    Event.GIVEUP: "it is not tried again",
    Event.CLEANED: "nothing more is to be removed",
    Event.KILL: "its end is wanted",
    Event.KILLED: "it was ended",
    Event.REPORTED: "PanDA knows the end",
    "priority": "its priority was changed",
    "replay": "PanDA is to hear the last word again",
    "clean": "it goes into the archive",
}


@dataclass(frozen=True)
class Unsent:
    """What an attempt would be made of, for a job that has none yet. role: of the proxy it would act with.

    problem: why none can be made, whatever the daemons do.
    """

    queue: QueueInfo | None = None
    role: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Facts:
    """All that is known of a PanDA job. attempt: the present one; attempts: all numbers, the present one last."""

    row: AnyRow
    attempt: AnyRow | None = None
    attempts: tuple[int, ...] = ()
    outputs: Sequence[AnyRow] = ()
    events: Sequence[AnyRow] = ()
    unsent: Unsent = Unsent()


def tell(moment: Moment, atlas: AtlasConfig, facts: Facts) -> Story:
    """The story of a job, without that of its attempts."""
    row = facts.row
    turn = _turn(moment, facts)
    holds = [*moment.idle(turn), *_holds(moment, atlas, facts)] if turn is not None else []
    return Story(
        title=f"PanDA job {row.pandaid} of queue {row.queue}",
        state=row.state,
        since=row.since,
        facts=tuple(_facts(moment, facts)),
        turn=turn,
        holds=tuple(holds),
        due=in_order(_due(moment, atlas, facts, turn, holds)),
        errors=tuple(_errors(moment, atlas, facts, turn)),
        history=happened(facts.events, "PanDA job", WORDS),
        attempts=facts.attempts,
    )


# -- whose turn it is ------------------------------------------------------------------------------------------------


def _turn(moment: Moment, facts: Facts) -> Turn | None:
    """None: the attempt's own story tells."""
    state = facts.row.state
    if state in PANDAJOB.final:
        return moment.turn("archiver", "puts it into the archive, once nothing is left to do for its attempts")
    following = NEXT[state]
    if following.owner == "maker":
        return moment.turn(_maker(facts.unsent.queue), following.does)
    if following.far:
        if facts.attempt is not None and not _has_news(facts.attempt):
            return None
        return moment.turn(following.owner, following.does)
    return moment.turn(following.owner, following.does)


def _maker(queue: QueueInfo | None) -> str:
    """Which daemon makes attempts for a queue."""
    makers = (daemon for daemon, flavour in MAKERS.items() if queue is not None and queue.candidates(flavour))
    return next(makers, next(iter(MAKERS)))


def _has_news(attempt: AnyRow) -> bool:
    """The job has not been told of what became of its attempt, or only the job can say how the attempt goes on."""
    owner = ATTEMPT_NEXT[attempt.state].owner if attempt.state in ATTEMPT_NEXT else of_attempt.APPLICATION
    return bool(attempt.version != attempt.seen_version or owner == of_attempt.APPLICATION)


# -- what holds it ---------------------------------------------------------------------------------------------------


def _holds(moment: Moment, atlas: AtlasConfig, facts: Facts) -> list[Hold]:
    state = facts.row.state
    if state == "sent":
        return _unsent(moment, facts)
    if state in ON_STORAGE:
        return [*moment.credential_of(atlas.panda.role), *_on_storage(moment, facts)]
    if state in TO_REPORT:
        return _unreported(moment, atlas, facts.row)
    return []


def _unsent(moment: Moment, facts: Facts) -> list[Hold]:
    """Why no attempt is made. A proxy that has run out is no reason: it holds the attempt, not the job."""
    holds = []
    unsent = facts.unsent
    if unsent.problem:
        holds.append(Hold(Why.SETTINGS, unsent.problem))
    if unsent.role and unsent.role not in {p.role for p in moment.proxies.values()}:
        holds += moment.credential_of(unsent.role)
    if lease := of_attempt.lease(moment, facts.row):
        holds.append(lease)
    return holds


def _on_storage(moment: Moment, facts: Facts) -> list[Hold]:
    """Storage that files wait for. A file is due again some time after a try, or after it was taken in hand."""
    holds = []
    later = [o for o in facts.outputs if o.wish is not None and o.due > moment.now]
    for host, wish in sorted({(o.host, o.wish) for o in later}):
        files = [o for o in later if (o.host, o.wish) == (host, wish)]
        said = next((f": {o.detail}" for o in files if o.detail), "")
        text = f"{host} has been asked to {wish} {_files(files)}, and has not done it yet{said}"
        holds.append(Hold(Why.SILENCE, text, min(o.due for o in files), f"{host} is asked again"))
    return holds


def _files(files: Sequence[AnyRow]) -> str:
    return str(files[0].lfn) if len(files) == 1 else f"{len(files)} files"


def _unreported(moment: Moment, atlas: AtlasConfig, row: AnyRow) -> list[Hold]:
    """Why PanDA does not know the end."""
    holds = [] if atlas.panda.token_file else [*moment.credential_of(atlas.panda.role)]
    grace_end = row.since + atlas.panda.final_grace_s
    if row.truepilot and row.state == "finished" and grace_end > moment.now:
        text = "the pilot has some time to tell PanDA the end itself"
        holds.append(Hold(Why.REST, text, grace_end, "heartbeat tells PanDA in its place"))
    elif row.due is not None and row.due > moment.now:
        text = "PanDA has not acknowledged the end that it was told, or was to be told"
        holds.append(Hold(Why.SILENCE, text, row.due, "heartbeat tells PanDA again"))
    return holds


# -- what happens next -----------------------------------------------------------------------------------------------


def _due(moment: Moment, atlas: AtlasConfig, facts: Facts, turn: Turn | None, holds: Sequence[Hold]) -> list[Due]:
    row = facts.row
    due = of_attempt.ends(moment, holds)
    if row.state in PANDAJOB.final:
        at = max(moment.now, row.since + atlas.panda.archive_after_s)
        return [Due(at, "it may go into the archive", last=True)]
    if turn is not None and not holds:
        due.append(Due(moment.now + moment.config.daemons.idle_s, f"{turn.daemon} {turn.does}"))
    if row.due is not None and row.state not in TO_REPORT:
        text = f"heartbeat tells PanDA that the job is alive{moment.once('heartbeat')}"
        due.append(Due(max(row.due, moment.now), text))
    deadline = DEADLINES[row.state]
    step = PANDAJOB.step(row.state, deadline.event)
    assert step is not None
    text = f"the limit of '{row.state}' is over, and it becomes '{step.target}'{moment.once('archiver')}"
    return [*due, Due(row.since + deadline.seconds, text, last=True)]


# -- facts and errors ------------------------------------------------------------------------------------------------


def _facts(moment: Moment, facts: Facts) -> list[tuple[str, str]]:
    row = facts.row
    told = [("PanDA", _told(moment, row)), *_mode(facts)]
    if len(facts.attempts) > 1:
        told.append(("attempts", ", ".join(str(i) for i in facts.attempts)))
    told += [("outputs", text) for text in _outputs(facts.outputs)]
    return told


def _told(moment: Moment, row: AnyRow) -> str:
    told = f"was told '{row.told}' {ago(row.told_at, moment.now)}" if row.told else "was told nothing yet"
    pilot_speaks = row.state not in PANDAJOB.final and not row.sendhb and row.due is None
    return f"{told}; the pilot speaks to it now" if pilot_speaks else told


def _mode(facts: Facts) -> list[tuple[str, str]]:
    """Decided by the queue when an attempt is made."""
    queue = facts.unsent.queue
    if facts.row.state == "sent" and queue is None:
        return []
    truepilot = queue.truepilot if queue is not None else facts.row.truepilot
    if truepilot:
        return [("mode", "true pilot: it moves the data, and speaks to PanDA once it runs")]
    return [("mode", "NorduGrid: the CE moves the data, and the tower speaks for the pilot")]


def _outputs(outputs: Sequence[AnyRow]) -> list[str]:
    """How many files are how; each that is not well by name."""
    if not outputs:
        return []
    counted = Counter(f"to {o.wish}" if o.wish else o.finding or "not asked for" for o in outputs)
    odd = [f"{o.lfn} is {o.finding}: {o.detail}" for o in outputs if o.wish is None and o.detail]
    return [", ".join(f"{n} {what}" for what, n in counted.items()), *odd]


def _errors(moment: Moment, atlas: AtlasConfig, facts: Facts, turn: Turn | None) -> list[Trouble]:
    row = facts.row
    found = []
    if row.error_diag:
        code = f"error {row.error_code}: " if row.error_code else ""
        found.append(Trouble(f"of the job: {code}{row.error_diag}"))
    overdue = row.due is not None and moment.now - row.due > atlas.panda.retry_s
    if overdue:
        heartbeat = moment.turn("heartbeat", "")
        text = f"PanDA should have heard of it {span(moment.now - row.due)} ago; heartbeat: {heartbeat.word}"
        found.append(Trouble(text))
    if overdue or row.state in TO_REPORT:
        found += moment.lately("heartbeat")
    elif turn is not None:
        found += moment.lately(turn.daemon)
    return found


def tell_archived(row: AnyRow) -> Story:
    """What the archive kept of a job."""
    history: Mapping[str, Any] = row.history
    job, attempts = history["job"], history["attempts"]
    told = [("PanDA", f"was told '{job['told']}'")] if job.get("told") else []
    told += [(f"attempt {a['id']}", _kept(a)) for a in attempts]
    told += [("output", f"{lfn}: {finding or 'not asked for'}{f', {detail}' if detail else ''}")
             for lfn, _, finding, detail in history.get("outputs", ())]  # fmt: skip
    errors = [f"of the job: error {job.get('error_code', 0)}: {job['error_diag']}"] if job.get("error_diag") else []
    errors += [f"of attempt {a['id']}: {a['error']}" for a in attempts if a.get("error")]
    stories = [happened(_events(job), "PanDA job", WORDS)]
    stories += [happened(_events(a), f"attempt {a['id']}", of_attempt.WORDS) for a in attempts]
    return Story(
        title=f"PanDA job {row.external_id} of queue {row.queue}, in the archive",
        state=row.state,
        since=row.ended,
        facts=tuple(told),
        errors=tuple(Trouble(text) for text in errors),
        history=merged(stories),
    )


def _kept(attempt: Mapping[str, Any]) -> str:
    told = [f"{attempt['flavour']}"]
    told += [f"job {attempt['ce_job_id']}"] if attempt.get("ce_job_id") else ["it never was at a CE"]
    told += [f"node {attempt['node']}"] if attempt.get("node") else []
    told += [f"exit code {attempt['exit_code']}"] if attempt.get("exit_code") is not None else []
    return ", ".join(told)


def _events(kept: Mapping[str, Any]) -> list[SimpleNamespace]:
    """Events as the archive has them, with names again."""
    names = ("at", "source", "event", "target", "who", "why")
    return [SimpleNamespace(**dict(zip(names, event, strict=True))) for event in kept["events"]]
