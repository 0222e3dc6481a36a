"""`actctl explain`: reads one moment, and puts the story on the terminal."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from act.config import CoreConfig, load_core
from act.daemons import registry
from act.db.engine import Database
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Due, Happened, Hold, Story, Trouble, Turn
from act.explain.words import ago, ahead, clock, span
from act.master import read_status

SHOWN = 40  # steps of a history; JSON has all
PLAIN_WIDTH = 120  # where the output is no terminal
_ROW = re.compile(r"[a-z]+:[0-9]{1,18}")  # a job by the number of its application's own row

Tell = Callable[[Connection, Moment], Sequence[Story]]


@click.command()
@click.argument("subject", required=False, metavar="[JOB|URL]")
@click.option("--ce", metavar="URL", help="A CE: its URL, or enough of it.")
@click.option("--queue", metavar="NAME", help="A queue of the source of jobs.")
@click.option("--attempt", type=int, metavar="N", help="An attempt, where a job has the same number.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(subject: str | None, ce: str | None, queue: str | None, attempt: int | None, form: str) -> None:
    """Why a job, a CE or a queue is as it is: what it waits for, what holds it, and what happens next.

    JOB is the number that the source gave it, or that of an attempt; jobs in the archive are found, too. A job that
    somebody submitted here is client:NUMBER.
    """
    tell = _teller(subject, ce, queue, attempt)
    now, stories = read(load_core(), tell)
    if form == "json":
        click.echo(json.dumps({"now": now, "stories": [s.as_dict() for s in stories]}, indent=1))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(width=max(60, width), highlight=False, markup=False)
    for story in stories:
        show(console, story, now)


def _teller(subject: str | None, ce: str | None, queue: str | None, attempt: int | None) -> Tell:
    """What is asked for, exactly one thing. Raises click.UsageError."""
    if [subject, ce, queue, attempt].count(None) != 3:
        raise click.UsageError("name one thing: JOB, --ce URL, --queue NAME or --attempt N")
    if queue is not None:
        return lambda c, m: [ask.queue(c, m, queue)]
    if attempt is not None:
        return lambda c, m: [ask.an_attempt(c, m, attempt)]
    if subject is not None and subject.isdecimal() and len(subject) < 19:
        return lambda c, m: [ask.job(c, m, int(subject))]
    if subject is not None and _ROW.fullmatch(subject):
        return lambda c, m: [ask.by_row(c, m, subject)]
    url = ce or subject or ""
    if ce is None and "://" not in url:
        raise click.UsageError(f"'{subject}' is neither a number nor a URL; for a queue say --queue {subject}")
    return lambda c, m: ask.a_ce(c, m, url)


def read(config: CoreConfig, tell: Tell) -> tuple[float, Sequence[Story]]:
    """(the database's time, stories), all of one moment. Raises ActError."""
    database = Database(config.database.connect_url())
    enabled = registry.enabled(config)
    master = read_status(config.paths.run_dir)

    def work(connection: Connection) -> tuple[float, Sequence[Story]]:
        moment = Moment.read(connection, config, enabled, master)
        return moment.now, tell(connection, moment)

    try:
        return database.snapshot("explain", work)
    finally:
        database.close()


# -- on the terminal -------------------------------------------------------------------------------------------------


def show(console: Console, story: Story, now: float) -> None:
    """One story; its parts below it, its history last."""
    head = Text(f"{story.title}: ", "bold").append(story.state, "bold cyan")
    if story.since is not None:
        head.append(f", for {span(now - story.since)} (since {clock(story.since)} UTC)", "default")
    _put(console, [], head)
    _labelled(console, story.facts)
    _section(console, "Whose turn it is", _turn(story.turn))
    _section(console, "What is in the way", _holds(story.holds))
    _section(console, "What happens next", _dues(story.due, now))
    _section(console, "Last errors", _troubles(story.errors, now))
    console.print()
    for part in story.parts:
        show(console, part, now)
    _history(console, story.history)


def _put(console: Console, before: Sequence[tuple[str, int]], text: Text, hanging: int = 0) -> None:
    """A paragraph beside columns of a fixed width, (text, width) each; its further lines stand in by ``hanging``."""
    left = Text.assemble(*((f"{cell:<{width}}", "dim") for cell, width in before))
    text.plain = "".join(c if c.isprintable() else " " for c in text.plain)  # CEs and jobs may say anything
    further = Text(" " * (left.cell_len + hanging))
    for line in text.wrap(console, max(20, console.width - left.cell_len - hanging)):
        line.rstrip()
        console.print(left + line, no_wrap=True, crop=False, soft_wrap=True)
        left = further


def _labelled(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Labels and texts in two columns; a label is not repeated."""
    width = max((len(label) for label, _ in pairs), default=0) + 2
    before = ""
    for label, text in pairs:
        _put(console, [("", 2), ("" if label == before else label, width)], Text(text))
        before = label


def _section(console: Console, title: str, lines: Iterable[Text]) -> None:
    for n, line in enumerate(lines):
        if n == 0:
            _put(console, [("", 2)], Text(title, "bold"))
        _put(console, [("", 4)], line, hanging=2)


def _turn(turn: Turn | None) -> Iterator[Text]:
    if turn is None:
        return
    acts = f"{turn.far} {turn.does}; {turn.daemon} hears of it" if turn.far else f"{turn.daemon} {turn.does}"
    yield Text(acts)
    if turn.runs:  # else that is in the way, and told there
        yield Text(turn.word, "green")


def _holds(holds: Sequence[Hold]) -> Iterator[Text]:
    for hold in holds:
        yield Text(f"{hold.why}: ", "red").append(hold.text, "default")


def _dues(dues: Sequence[Due], now: float) -> Iterator[Text]:
    for due in dues:
        text = f"at the latest, {due.text}" if due.last else due.text
        yield Text(f"{ahead(due.at, now)}: ", "cyan").append(text, "default")


def _troubles(errors: Sequence[Trouble], now: float) -> Iterator[Text]:
    for error in errors:
        yield Text(f"{ago(error.at, now)}, {error.text}" if error.at is not None else error.text)


def _history(console: Console, history: Sequence[Happened]) -> None:
    """Who did a step stands at its end; a day is not repeated."""
    if not history:
        return
    shown = history[-SHOWN:]
    some = f", the last {SHOWN} of {len(history)} steps" if len(history) > SHOWN else ""
    _put(console, [], Text(f"What happened (UTC{some})", "bold"))
    width = max(len(step.of) for step in shown) + 2
    day = ""
    for step in shown:
        date, time = clock(step.at).split()
        if date != day:
            _put(console, [("", 2)], Text(date, "dim"))
        _put(
            console,
            [("", 2), (time, 10), (step.of, width)],
            Text(step.text).append(f"  [{step.who}]", "dim"),
            hanging=2,
        )
        day = date
    console.print()
