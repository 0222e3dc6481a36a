"""Jobs that really run, each as a local process group in its session directory."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from act.simulation import TestCA
from act_arc.simulator.delegations import Delegations
from act_arc.simulator.engine import Done, Ran
from act_arc.simulator.job import SimJob
from act_arc.simulator.staging import TRANSFER_S, Stager, clear

log = logging.getLogger(__name__)
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class Runner:
    """Executes jobs, one thread and one process group for each; ends them all on `stop`."""

    def __init__(self, control: Path, ca: TestCA, delegations: Delegations, stage_s: float) -> None:
        self._control, self._ca, self._delegations, self._stage_s = control, ca, delegations, stage_s
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._live: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: set[threading.Thread] = set()
        control.mkdir(parents=True, exist_ok=True)

    def stage_in(self, job: SimJob, done: Done) -> None:
        """Fetch the inputs that have a source."""
        if self._stage_s or any(name not in job.description.uploads for name, _ in job.description.inputs):
            epoch = job.epoch
            self._spawn(lambda: done(self._stager(job, epoch).fetch()))
        else:
            done("")

    def run(self, job: SimJob, ran: Ran) -> None:
        """Start the executable in its session directory."""
        epoch = job.epoch
        self._spawn(lambda: self._execute(job, epoch, ran))

    def kill(self, job: SimJob) -> None:
        """SIGKILL the job's process group."""
        with self._lock:
            process = self._live.get(job.id)
            if process:
                _kill_group(process)

    def stage_out(self, job: SimJob, done: Done) -> None:
        """Bring outputs away and clear the session directory."""
        epoch = job.epoch
        self._spawn(lambda: done(self._stager(job, epoch).store()))

    def output(self, job: SimJob, name: str) -> bytes | None:
        """All outputs are files."""
        return None

    def stop(self) -> None:
        """Kill all jobs and wait for their threads."""
        self._end.set()
        with self._lock:
            for process in self._live.values():
                _kill_group(process)
            threads = list(self._threads)
        for thread in threads:
            thread.join(TRANSFER_S)

    def _spawn(self, call: Callable[[], None]) -> None:
        def work() -> None:
            try:
                call()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=work, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _execute(self, job: SimJob, epoch: int, ran: Ran) -> None:
        try:
            process = self._start(job, epoch)
        except OSError as e:
            log.info("job %s cannot start: %s", job.id, e)
            ran(None, "LRMS error: (-1) Job died unexpectedly")
            return
        if process:
            job.local_id = str(process.pid)
            self._wait(job, process, ran)

    def _start(self, job: SimJob, epoch: int) -> subprocess.Popen[bytes] | None:
        """Start the job's process; None if it was killed before."""
        asked = job.description
        command = _command(job)
        job.session.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            stdin = files.enter_context(_stream(job, asked.stdin, "rb"))
            stdout = files.enter_context(_stream(job, asked.stdout, "wb"))
            joined = asked.join or asked.stderr == asked.stdout
            stderr = stdout if joined else files.enter_context(_stream(job, asked.stderr, "wb"))
            with self._lock:
                if self._end.is_set() or job.epoch != epoch:
                    return None
                self._live[job.id] = subprocess.Popen(
                    command, cwd=job.session, env=self._environment(job), stdin=stdin, stdout=stdout, stderr=stderr,
                    start_new_session=True,
                )  # fmt: skip
                return self._live[job.id]

    def _wait(self, job: SimJob, process: subprocess.Popen[bytes], ran: Ran) -> None:
        code, error = None, ""
        try:
            code = process.wait(job.description.walltime_s)
        except subprocess.TimeoutExpired:
            error = "LRMS error: (271) job killed: walltime limit exceeded"
        with self._lock:
            _kill_group(process)
            del self._live[job.id]
        process.wait()
        if code is not None and code < 0:
            code, error = None, "LRMS error: (-1) Job died unexpectedly"
        if code:
            error = f"LRMS error: ({code}) Job finished with wrong exit code - {code} != 0"
        if error:
            clear(job)
        ran(code, error)

    def _environment(self, job: SimJob) -> dict[str, str]:
        known = {"PATH": PATH, "HOME": str(job.session), "TMPDIR": "/tmp", "LANG": "C.UTF-8",
                 "GRID_GLOBAL_JOBID": job.id, "X509_CERT_DIR": str(self._ca.ca_dir)}  # fmt: skip
        proxy = self._proxy(job)
        if proxy:
            known["X509_USER_PROXY"] = str(proxy)
        return known | dict(job.description.environment)

    def _stager(self, job: SimJob, epoch: int) -> Stager:
        return Stager(job, epoch, self._ca, self._proxy(job), self._stage_s, self._end)

    def _proxy(self, job: SimJob) -> Path | None:
        """The delegated credential as a file, outside of the session directory."""
        delegation = self._delegations.known.get(job.delegation)
        if delegation is None or not delegation.chain:
            return None
        path = self._control / f"{job.id}.proxy"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(delegation.proxy())
        return path


def _command(job: SimJob) -> list[str]:
    """The command line, which A-REX puts into a shell script in double quotes: ``$`` and backquotes work in there.

    A job without an executable does nothing, with success. Raises FileNotFoundError.
    """
    if not job.description.executable:
        return ["true"]
    program = _program(job)
    if shutil.which(program, path=PATH) is None:
        raise FileNotFoundError(program)
    words = (re.sub(r'(["\\])', r"\\\1", word) for word in (program, *job.description.arguments))
    line = " ".join(f'"{word}"' for word in words)
    return ["/bin/sh", "-c", f"{line}; exit $?"]  # the exit keeps the shell from becoming the program


def _program(job: SimJob) -> str:
    """The executable: absolute, from the session directory, or found in PATH; made executable if it is a session's."""
    asked = job.description
    for name in (asked.executable, *asked.executables):
        path = job.path(name)
        if not name.startswith("/") and path and path.is_file():
            path.chmod(0o700)
    own = job.path(asked.executable)
    return str(own) if own and own.is_file() else asked.executable


def _stream(job: SimJob, name: str, mode: str) -> IO[bytes]:
    """One of the job's standard streams; without a name it leads nowhere."""
    path = job.path(name) if name else None
    if path is None:
        path = Path(os.devnull)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    return cast(IO[bytes], path.open(mode))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        log.debug("process group %d was gone", process.pid)
