"""A real master with toy daemons: toy_master.py RUN_DIR TIMES SPECS, the last two as JSON objects.

TIMES: fields of Times. SPECS: name -> toy, or [toy, processes]. On SIGHUP it reads RUN_DIR/specs.json.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from act.errors import ActError, ConfigError
from act.log import setup
from act.master import DaemonSpec, Master, Times

RUN_DIR = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
Beat = Callable[[], None]
Stopping = Callable[[], bool]


def steady(name: str, beat: Beat, stopping: Stopping) -> int:
    while not stopping():
        beat()
        time.sleep(0.02)
    (RUN_DIR / f"{name}.stopped").touch()
    return 0


def crash(name: str, beat: Beat, stopping: Stopping) -> int:
    beat()
    raise ValueError("a toy breaks")


def silent(name: str, beat: Beat, stopping: Stopping) -> int:
    beat()
    threading.Event().wait()
    return 0


def refuse(name: str, beat: Beat, stopping: Stopping) -> int:
    raise ConfigError("line 7: no such key")


def refuse_once(name: str, beat: Beat, stopping: Stopping) -> int:
    mark = RUN_DIR / "refused"
    if not mark.exists():
        mark.touch()
        raise ConfigError("line 7: no such key")
    return steady(name, beat, stopping)


def trouble(name: str, beat: Beat, stopping: Stopping) -> int:
    beat()
    raise ActError("the disk of the toy is full")


def stubborn(name: str, beat: Beat, stopping: Stopping) -> int:
    while True:
        beat()
        time.sleep(0.02)


def parent(name: str, beat: Beat, stopping: Stopping) -> int:
    """Has a child of its own, whose pid it writes down, and does not care for it."""
    child = subprocess.Popen(["sleep", "600"])
    (RUN_DIR / f"{name}.child").write_text(str(child.pid))
    steady(name, beat, stopping)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def hung_thread(name: str, beat: Beat, stopping: Stopping) -> int:
    """Ends while a thread of it never will."""
    threading.Thread(target=threading.Event().wait).start()
    return steady(name, beat, stopping)


def specs(wanted: dict[str, str | list[str | int]]) -> Sequence[DaemonSpec]:
    made = []
    for name, value in wanted.items():
        toy, processes = (value, 1) if isinstance(value, str) else value
        made.append(DaemonSpec(name, f"{__name__}:{toy}", int(processes)))
    return made


def reload() -> Sequence[DaemonSpec]:
    try:
        return specs(json.loads((RUN_DIR / "specs.json").read_text()))
    except ValueError as error:
        raise ConfigError(f"specs.json: {error}") from error


if __name__ == "__main__":
    setup("master", "DEBUG")
    try:
        code = Master(RUN_DIR, specs(json.loads(sys.argv[3])), Times(**json.loads(sys.argv[2])), reload).run()
    except ActError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        code = 75
    sys.exit(code)
