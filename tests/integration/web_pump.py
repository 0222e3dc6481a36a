"""The daemons that carry users' jobs, one pass after the other in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from act.config import CoreConfig
from act.daemons import registry

KINDS = ("submitter", "reconciler", "status", "fetcher", "canceller", "cleaner")
# Everything as in production, but in a hurry.
HURRY = """<daemons><threads>2</threads><idle_s>0.2</idle_s></daemons>
<leases><lease_s>60</lease_s><settle_s>1</settle_s><margin_s>1</margin_s></leases>
<polling><status_s>0.5</status_s><missing_s>3</missing_s><silent_s>60</silent_s><lag_s>10</lag_s></polling>
<timeouts><connect_s>5</connect_s><read_s>15</read_s><call_s>20</call_s><transfer_s>30</transfer_s></timeouts>"""
PAUSE_S = 0.2


class Pump:
    """A context manager in which the daemons work."""

    def __init__(self, config: CoreConfig, flavour: str = "arc") -> None:
        """flavour: of the CEs that jobs go to."""
        names = (f"client2{flavour}", *(f"{kind}-{flavour}" for kind in KINDS), "clientstatus")
        self._runners = {name: registry.build(name, config) for name in names}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for runner in self._runners.values():
            runner.daemon.close()
            runner.context.close()

    def _turn(self) -> None:
        try:
            while not self._stop.wait(PAUSE_S):
                for runner in self._runners.values():
                    runner.once()
        except BaseException as error:
            self.failure = error
            raise

    def until(self, holds: Callable[[], bool], within_s: float = 120) -> None:
        """Wait while the daemons work."""
        end = time.monotonic() + within_s
        while not holds():
            assert self.failure is None, self.failure
            troubles = {name: runner.daemon.troubles() for name, runner in self._runners.items()}
            assert time.monotonic() < end, troubles
            time.sleep(PAUSE_S)
