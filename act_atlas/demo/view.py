"""How the demonstration looks: a picture that moves, or lines where there is no terminal, and the summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from act.db import cejobs
from act.states import CEJOB
from act_atlas.db import LEDGER
from act_atlas.demo.mix import Kind
from act_atlas.demo.picture import Job, Picture
from act_atlas.joblog import joblog_name
from act_atlas.states import PANDAJOB

LINE_EVERY_S = 3.0
LATEST = 8
WIDTH = 160  # where there is no terminal
PANDA_STATES = ("activated", "sent", "starting", "running", "holding", "transferring", "finished", "failed",
                "cancelled", "closed")  # fmt: skip
STYLES = {
    "bold green": ("finished", "done"),
    "red": ("failed", "donefailed", "lost"),
    "magenta": ("cancelled", "closed", "donecancelled", "tobekilled", "tocancel", "cancelling"),
    "cyan": ("running", "finishing", "holding", "transferring"),
    "dim": ("archived",),
}
_STYLE = {state: style for style, states in STYLES.items() for state in states}
Counts = Mapping[str, int]


def console() -> Console:
    """The terminal, or a wide page where there is none."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=WIDTH)


class Show:
    """Shows pictures as they come; a context manager."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._begun = time.monotonic()
        self._next_line = 0.0
        self._live = Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else None

    def __enter__(self) -> Show:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def elapsed_s(self) -> float:
        """Since this was made."""
        return time.monotonic() - self._begun

    def update(self, picture: Picture) -> None:
        """Show it."""
        if self._live is not None:
            self._live.update(self._frame(picture), refresh=True)
        elif self.elapsed_s >= self._next_line:
            self._next_line = self.elapsed_s + LINE_EVERY_S
            parts = [f"{name}: {_plain(counts)}" for name, counts in _places(picture)]
            self._out.print(f"{self.elapsed_s:4.0f} s  {'; '.join(parts)}", soft_wrap=True, markup=False)

    def _frame(self, picture: Picture) -> Group:
        ended, total = sum(j.settled for j in picture.jobs.values()), len(picture.jobs)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"{self.elapsed_s:4.0f} s", style="bold"),
            ProgressBar(total=total, completed=ended, width=40),
            f"{ended} of {total} jobs are over and cleared away",
        )
        where = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2))
        where.add_column("who", no_wrap=True)
        where.add_column("jobs by state")
        for name, counts in _places(picture):
            where.add_row(name, _coloured(counts))
        return Group(head, Text(), where, Text(), _latest(picture))


def _places(picture: Picture) -> Iterable[tuple[str, Counts]]:
    """(who, its counts in the order of states): PanDA, the tower, each CE."""
    yield "PanDA", _ordered(picture.panda_counts(), PANDA_STATES)
    yield "tower", _ordered(picture.tower_counts(), PANDAJOB.states)
    for ce_id, url in picture.ces.items():
        yield f"CE {_host(url)}", _ordered(picture.ce_counts(ce_id), CEJOB.states)


def _host(url: str) -> str:
    """Host and port; for some types of CEs that is all there is."""
    return urlsplit(url).netloc or url


def _ordered(counts: Counter[str], states: Sequence[str]) -> Counts:
    return {s: counts[s] for s in states if counts[s]}


def _plain(counts: Counts) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts.items()) or "none"


def _coloured(counts: Counts) -> Text:
    text = Text()
    for state, n in counts.items():
        text.append(f"{n} {state}", style=_STYLE.get(state, "yellow")).append("   ")
    return text


def _latest(picture: Picture) -> Table:
    """The last few things that happened."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2), expand=True)
    for column in ("PanDA job", "last steps", "by", "why"):
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if column == "why" else None)
    for pandaid, event in picture.events()[-LATEST:]:
        step = Text("attempt " if event.kind == cejobs.LEDGER.kind else "")
        step.append(event.source).append(" → ") if event.source != event.target else step.append("new ")
        step.append(event.target, style=_STYLE.get(event.target, "yellow"))
        table.add_row(str(pandaid), step, event.who, Text(event.why, style="dim"))
    return table


def summary(out: Console, picture: Picture, kinds: Mapping[int, Kind], joblog: Path) -> None:
    """Every job: what it was, its CE and log, exit code, and its states at PanDA, in the tower and at the CE."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("PanDA job", no_wrap=True)
    table.add_column("what, CE, log", no_wrap=True)
    table.add_column("exit", justify="right")
    table.add_column("states, in order")
    for pandaid, job in picture.jobs.items():
        facts = Text.assemble(kinds[pandaid].what, (f"\n{_ce_of(job, picture)}\n{_log(job, joblog)}", "dim"))
        paths = Table.grid(padding=(0, 1))
        paths.add_row(Text("PanDA", style="dim"), _path(job.panda_states))
        paths.add_row(Text("tower", style="dim"), _path(job.tower_states(LEDGER.kind)))
        paths.add_row(Text("CE", style="dim"), _path(job.tower_states(cejobs.LEDGER.kind)))
        table.add_row(str(pandaid), facts, _exit(job), paths)
    out.print(table)
    out.print(f"\nLogs are below {joblog}", soft_wrap=True, markup=False)


def _path(states: Sequence[str]) -> Text:
    return Text(" ").join(Text(state, style=_STYLE.get(state, "")) for state in states)


def _exit(job: Job) -> str:
    codes = [a.exit_code for a in job.attempts if a.exit_code is not None]
    return str(codes[-1]) if codes else "-"


def _ce_of(job: Job, picture: Picture) -> str:
    urls = [picture.ces[a.ce_id] for a in job.attempts if a.ce_job_id]
    return _host(urls[-1]) if urls else "-"


def _log(job: Job, joblog: Path) -> str:
    """Its log below the joblog, or its request where it never came to a log."""
    if job.row is None:
        return "-"
    names = [joblog_name(job.row, ending) for ending in ("out", "jdl")]
    return next((name for name in names if (joblog / name).exists()), "-")
