"""What `actctl explain` must get right in every test: it names who acts next, and when something happens at the latest.

``environment`` is that of the tower (where its configuration is); the tower may run meanwhile, each answer is of one
moment of its database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from act.cli.actctl import main
from act.client.explain import OWNER
from act.client.states import CLIENTJOB
from act.client.tables import APP, clientjobs
from act.config import load_core
from act.daemons.registry import PER_FLAVOUR, all_daemons
from act.db import cejobs
from act.db.engine import Database
from act.explain.attempt import APPLICATION, OPERATOR
from act.states import CEJOB
from act_atlas import db
from act_atlas.states import PANDAJOB

Story = dict[str, Any]
SLACK_S = 5.0
MACHINES = (CEJOB, PANDAJOB, CLIENTJOB)
WAITING = {state for machine in MACHINES for state in machine.deadlines}
FINAL = PANDAJOB.final | CLIENTJOB.final  # of jobs


def explain(environment: Mapping[str, str], *arguments: object) -> list[Story]:
    """The stories that ``actctl explain ... --format json`` tells, each with the time "now"."""
    told = json.loads(_run(environment, *arguments, "--format", "json"))
    return [{**story, "now": told["now"]} for story in told["stories"]]


def words(environment: Mapping[str, str], *arguments: object) -> str:
    """What ``actctl explain`` puts on the terminal, on one line."""
    return " ".join(_run(environment, *arguments).split())


def _run(environment: Mapping[str, str], *arguments: object) -> str:
    result = CliRunner().invoke(main, ["explain", *map(str, arguments)], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def assert_explained(
    environment: Mapping[str, str], job: int | str, contains: str | Sequence[str] = (), *, attempt: bool = False
) -> Story:
    """The job's story keeps the promises, and its text has all of ``contains``. Returns the story."""
    named: tuple[object, ...] = ("--attempt", job) if attempt else (job,)
    (story,) = explain(environment, *named)
    complaints = list(untold(story))
    assert complaints == [], f"{complaints} in {json.dumps(story, indent=1)}"
    wanted = [contains] if isinstance(contains, str) else contains
    text = words(environment, *named) if wanted else ""
    for part in wanted:
        assert part in text, f"'{part}' is not in: {text}"
    return story


def assert_all_explained(environment: Mapping[str, str], limit: int = 50) -> int:
    """All jobs, and attempts that belong to none, keep the promises; the newest ``limit``. Returns how many."""
    database = Database(load_core(Path(environment["ACTCONFIGARC"])).database.connect_url())
    try:
        jobs = database.read("truth", lambda c: db.listing(c, limit=limit))
        people = database.read("truth", lambda c: c.execute(clientjobs.select()).all())[-limit:]
        attempts = database.read("truth", lambda c: c.execute(cejobs.cejobs.select()).all())
    finally:
        database.close()
    for row in jobs:
        assert_explained(environment, row.pandaid)
    for row in people:
        _assert_explained_or_gone(environment, row.id)
    alone = [a.id for a in attempts if a.app not in (db.SOURCE, APP)][-limit:]
    for number in alone:
        assert_explained(environment, number, attempt=True)
    return len(jobs) + len(people) + len(alone)


def _assert_explained_or_gone(environment: Mapping[str, str], number: int) -> None:
    """A person's job that is cleaned goes at any moment, and leaves nothing to be explained."""
    try:
        assert_explained(environment, f"{APP}:{number}")
    except AssertionError:
        database = Database(load_core(Path(environment["ACTCONFIGARC"])).database.connect_url())
        there = database.read("truth", lambda c: c.execute(clientjobs.select().where(clientjobs.c.id == number)).all())
        database.close()
        if there:
            raise


def whole(story: Story) -> Iterator[Story]:
    """A story and its parts."""
    yield story
    yield from story["parts"]


def reasons(story: Story) -> set[str]:
    """What is in the way, in one word each."""
    return {hold["why"] for part in whole(story) for hold in part["holds"]}


def turns(story: Story) -> list[dict[str, Any]]:
    """Whose turn it is."""
    return [part["turn"] for part in whole(story) if part["turn"] is not None]


def untold(story: Story) -> Iterable[str]:
    """What an explanation owes. A job in the archive owes nothing but its history."""
    if not story["history"]:
        yield "no history"
    if "archive" in story["title"] or story["state"] == "archived":
        return
    open_parts = [p for p in whole(story) if p["state"] in WAITING]
    if story["state"] not in FINAL and not open_parts:
        yield f"'{story['state']}' is no state that waits for anything"
    if not turns(story):
        yield "nobody's turn"
    for part in whole(story):
        yield from _of_one(part, story["now"])


def _of_one(part: Story, now: float) -> Iterator[str]:
    turn, holds = part["turn"], part["holds"]
    if turn is not None and turn["daemon"] == APPLICATION:
        if not any(h["why"] == "settings" for h in holds):
            yield "an application is waited for, and none is named"
    elif turn is not None:
        yield from _of_turn(part["state"], turn)
        stands = any(h["why"] == "daemon" for h in holds)
        if stands == turn["runs"]:
            yield f"{turn['daemon']} {'runs' if turn['runs'] else 'does not run'}, which is not what is in the way"
        if not holds and not part["due"]:
            yield "nothing is in the way, and nothing is said to happen"
    waits = part["state"] in WAITING
    if waits and [d["last"] for d in part["due"]].count(True) != 1:
        yield f"no last moment for '{part['state']}'"
    for due in part["due"]:
        if not due["last"] and due["at"] < now - SLACK_S:
            yield f"'{due['text']}' is said of a time that is over"
    if any(h["until"] is not None for h in holds) and not any(not d["last"] for d in part["due"]):
        yield "something ends by itself, and nothing is said to happen then"


def _of_turn(state: str, turn: dict[str, Any]) -> Iterator[str]:
    """It must be a daemon that there is, and that may make a step of this state, or one of the far side."""
    if turn["daemon"] == OWNER:
        if not any(s.source == state and "user" in s.owners for s in CLIENTJOB.steps):
            yield f"{OWNER} can do nothing in '{state}'"
        return
    kind = turn["daemon"].partition("-")[0]
    if kind == OPERATOR:
        if not any(s.source == state and OPERATOR in s.owners for s in CEJOB.steps):
            yield f"operators can do nothing in '{state}'"
        return
    if turn["daemon"] not in all_daemons() and kind not in PER_FLAVOUR:
        yield f"there is no daemon {turn['daemon']}"
    owners = {o for m in MACHINES for s in m.steps if s.source == state for o in s.owners}
    if state not in FINAL and kind not in owners:
        yield f"{kind} can do nothing in '{state}' (only {', '.join(sorted(owners))})"
    if not turn["does"]:
        yield "not said what is to be done"
