"""What this process had to do with each CE, counted until the runner's next report writes it down."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from act import metrics
from act.db.cecalls import Calls, Which
from act.errors import JobError
from act.faults import Told


class CECalls:
    """Shared by the lanes of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: dict[Which, Calls] = defaultdict(Calls)

    def of(self, ce_id: int, flavour: str, url: str) -> Told:
        """What a CE's port tells its calls to."""
        return partial(self._told, ce_id, flavour, url)

    def take(self) -> dict[Which, Calls]:
        """All that is new; from now on others are counted."""
        with self._lock:
            taken, self._new = dict(self._new), defaultdict(Calls)
        return taken

    def give_back(self, taken: Mapping[Which, Calls]) -> None:
        """It could not be written down: to be taken again."""
        with self._lock:
            for which, calls in taken.items():
                self._new[which].add(calls)

    def _told(self, ce_id: int, flavour: str, url: str, call: str, seconds: float, error: BaseException | None) -> None:
        # What the CE says of one job is an answer.
        failed = None if isinstance(error, JobError) else error
        metrics.ce_call(flavour, url, call, seconds, failed)
        with self._lock:
            self._new[ce_id, call].add(Calls(1, int(failed is not None), seconds))
