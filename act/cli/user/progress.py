"""Progress on the terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from act.cli.user import units


class Bar:
    """Counts jobs and bytes; shows nothing by itself. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.jobs = self.bytes = 0

    def advance(self, jobs: int = 0, n_bytes: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self.jobs += jobs
            self.bytes += n_bytes
            self._show()

    def _show(self) -> None:
        pass


@contextmanager
def bar(title: str, jobs: int) -> Iterator[Bar]:
    """A bar for so many jobs, if there is a terminal to show it on."""
    if not sys.stderr.isatty() or jobs < 2:
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("jobs"),
               TextColumn("{task.fields[moved]}"), TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=jobs, moved="")

        class Shown(Bar):
            def _show(self) -> None:
                progress.update(task, completed=self.jobs, moved=units.size(self.bytes) if self.bytes else "")

        yield Shown()
