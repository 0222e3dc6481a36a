"""What people read: tables that fit the terminal, and the same facts as JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from act.cli.user import units

Json = dict[str, Any]

COLOURS = {"done": "green", "donefailed": "red", "failed": "red", "lost": "red", "cancelled": "yellow",
           "quarantined": "yellow", "running": "cyan", "holding": "yellow"}  # fmt: skip
ENDED = frozenset({"done", "donefailed", "cancelled", "lost"})
_LEAST = 8  # columns of the terminal that a column with long texts keeps


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `stat`: its title, and what it shows of a job. long: of free text, the first to be cut."""

    title: str
    text: Callable[[Json], str]
    right: bool = False
    long: bool = False


def _plain(key: str) -> Callable[[Json], str]:
    return lambda job: "" if job.get(key) is None else str(job[key])


def _moment(key: str) -> Callable[[Json], str]:
    return lambda job: units.moment(job.get(key))


def _span(key: str) -> Callable[[Json], str]:
    return lambda job: units.span(job.get(key))


def _memory(job: Json) -> str:
    used = job.get("memory_mb")
    return "" if used is None else units.size(used * 1e6)


# By the names of the API's fields.
COLUMNS = {
    "id": Column("ID", _plain("id"), right=True),
    "name": Column("NAME", _plain("name"), long=True),
    "state": Column("STATE", _plain("state")),
    "ce": Column("CE", _plain("ce")),
    "queue": Column("QUEUE", _plain("queue")),
    "created": Column("SUBMITTED", _moment("created")),
    "modified": Column("CHANGED", _moment("modified")),
    "wall_s": Column("RAN", _span("wall_s"), right=True),
    "cpu_s": Column("CPU", _span("cpu_s"), right=True),
    "memory_mb": Column("MEMORY", _memory, right=True),
    "exit_code": Column("EXIT", _plain("exit_code"), right=True),
    "attempt": Column("TRY", _plain("attempt"), right=True),
    "node": Column("NODE", _plain("node"), long=True),
    "ce_state": Column("CE STATE", _plain("ce_state")),
    "ce_job_id": Column("CE JOB", _plain("ce_job_id"), long=True),
    "ce_url": Column("CE URL", _plain("ce_url"), long=True),
    "error": Column("ERROR", _plain("error"), long=True),
}
USUAL = ("id", "name", "state", "ce", "created", "wall_s", "exit_code", "error")


def columns(names: Iterable[str]) -> list[str]:
    """Names of columns, also in comma lists. Raises ValueError."""
    wanted = [name.strip().lower() for text in names for name in text.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in COLUMNS]:
        raise ValueError(f"there is no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    return wanted


def jobs_table(jobs: Iterable[Json], names: Sequence[str], width: int | None) -> list[str]:
    """Lines of a table of jobs, the first with titles. width: of the terminal; None: nothing is cut."""
    chosen = [COLUMNS[name] for name in names]
    rows = [[one_line(column.text(job)) for column in chosen] for job in jobs]
    colours = [{n: COLOURS.get(row[n], "") for n, name in enumerate(names) if name == "state"} for row in rows]
    longer = frozenset(n for n, column in enumerate(chosen) if column.long)
    return table([c.title for c in chosen], rows, [c.right for c in chosen], width, colours, longer)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = (), width: int | None = None,
    colours: Sequence[dict[int, str]] = (), longer: frozenset[int] = frozenset(),
) -> list[str]:  # fmt: skip
    """Lines of text in columns two blanks apart; columns are cut until a line fits, the longer ones first."""
    widths = [max(map(cells, column)) for column in zip(titles, *rows, strict=True)]
    for some in (longer, frozenset(range(len(widths)))):
        _shrink(widths, some, (width or 10**9) - 2 * (len(widths) - 1))
    sides = [*right, *[False] * (len(titles) - len(right))]
    lines = [_line(titles, widths, sides, dict.fromkeys(range(len(titles)), "bold"))]
    for n, row in enumerate(rows):
        lines.append(_line(row, widths, sides, colours[n] if n < len(colours) else {}))
    return lines


def _shrink(widths: list[int], some: frozenset[int], room: int) -> None:
    """Make some of the columns smaller until all fit, as far as anything can still be read in them."""
    while sum(widths) > room and (wide := [n for n in some if widths[n] > _LEAST]):
        widths[max(wide, key=lambda n: (widths[n], n))] -= 1


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool], styles: dict[int, str]) -> str:
    words = []
    for n, (text, width) in enumerate(zip(row, widths, strict=True)):
        short = cut(text, width)
        blanks = " " * (width - cells(short)) if n < len(row) - 1 or right[n] else ""
        styled = _styled(short, styles.get(n, ""))
        words.append(blanks + styled if right[n] else styled + blanks)
    return "  ".join(words).rstrip()


def _styled(text: str, style: str) -> str:
    if not text or not style or not coloured():
        return text
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)


def cells(text: str) -> int:
    """How many columns of the terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """As much of a text as fits, with a mark where something is missing."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def one_line(text: str) -> str:
    """A text that cannot steer the terminal or break the table: all that does not print becomes blank."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """A text whose characters that do not print are blanks."""
    return "".join(c if c.isprintable() else " " for c in text)


def paragraph(text: str) -> str:
    """A line that stands in; wrapped at words where it goes to a terminal."""
    width = terminal_width()
    if width is None:
        return f"  {text}"
    return textwrap.fill(text, max(40, width), initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def coloured(stream: Any = None) -> bool:
    """Whether colours are shown: on a terminal, unless NO_COLOR is set."""
    return not os.environ.get("NO_COLOR") and (stream or sys.stdout).isatty()


def terminal_width() -> int | None:
    """Of the terminal that the output goes to, None if it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write_json(jobs: Iterable[Json]) -> None:
    """A JSON list with one job a line, as they come."""
    separator = "[\n"
    for job in jobs:
        click.echo(separator + json.dumps(job), nl=False)
        separator = ",\n"
    click.echo("[]" if separator == "[\n" else "\n]")


def write_csv(jobs: Iterable[Json], names: Sequence[str]) -> None:
    """Lines of comma-separated values as the server tells them, the first with the names of columns."""
    click.echo(_csv_line(names))
    for job in jobs:
        click.echo(_csv_line([job.get(name) for name in names]))


def _csv_line(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def summary(jobs: Sequence[Json]) -> str:
    """12 jobs: 3 running, 9 done."""
    counts: dict[str, int] = {}
    for job in jobs:
        state = str(job.get("state") or "begun")
        counts[state] = counts.get(state, 0) + 1
    told = ", ".join(f"{n} {state}" for state, n in sorted(counts.items(), key=lambda item: -item[1]))
    return f"{count(len(jobs), 'job')}: {told}" if jobs else "no jobs"


def count(n: int, noun: str) -> str:
    """1 job, 2 jobs."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
