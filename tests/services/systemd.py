"""A systemd of our own: pid 1 of a host that looks like this one, in namespaces (see systemd-boot.sh)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BOOT = Path(__file__).with_name("systemd-boot.sh")
CGROUPS = Path("/sys/fs/cgroup")
SPACES = ("--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net")
PATIENCE_S = 60.0


def missing() -> str | None:
    """Why no systemd can be run here; None if it can."""
    if os.getuid() != 0:
        return "systemd as pid 1 of a container needs root"
    needed = ("unshare", "nsenter", "setpriv", "pivot_root", "systemd-analyze", "dbus-daemon")
    if absent := [name for name in needed if shutil.which(name) is None]:
        return f"not installed: {', '.join(absent)}"
    return None


def forbidden() -> str | None:
    """Why the machine, which may be a container itself, does not let us run one; None if it does."""
    group = _groups()[0]
    try:
        group.mkdir()
        group.rmdir()
    except OSError as error:
        return f"no control group can be made here: {error}"
    done = subprocess.run(["unshare", *SPACES, "--fork", "true"], capture_output=True, text=True, timeout=PATIENCE_S)
    return f"no namespaces can be made here: {done.stderr.strip()}" if done.returncode else None


def _groups() -> list[Path]:
    """Control groups for one host: in the unified hierarchy, or in the two that systemd wants of a hybrid one."""
    unified = (CGROUPS / "cgroup.controllers").exists()
    return [
        c / f"act-test-{os.getpid()}" for c in ([CGROUPS] if unified else [CGROUPS / "systemd", CGROUPS / "unified"])
    ]


class Host:
    """A running systemd."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", f"--target={pid}", *SPACES, f"--root=/proc/{pid}/root", f"--wd=/proc/{pid}/root",
                       "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]  # fmt: skip
        self.root = Path(f"/proc/{pid}/root")

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return subprocess.run([*self._enter, *command], capture_output=True, text=True, timeout=PATIENCE_S)

    def run(self, *command: str) -> str:
        """Run a command there that is to work; what it prints."""
        done = self.call(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def journal(self, *which: str) -> str:
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "--output=cat", *which)


@contextmanager
def booted(directory: Path, installed: Path) -> Iterator[Host]:
    """A host with the files of ``installed`` over those of this one. Raises RuntimeError if it does not come up."""
    groups = _groups()
    for group in groups:
        group.mkdir()
    join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    unshare = f"setpriv --pdeathsig KILL unshare {' '.join(SPACES)} --fork --kill-child"
    log = directory / "boot.log"
    with log.open("wb") as out:
        shell = f"set -e; {join} exec {unshare} {BOOT} {directory} {installed}"
        process = subprocess.Popen(["bash", "-c", shell], stdout=out, stderr=out)
    try:
        yield _wait(process, log)
    finally:
        for pid in _children(process.pid):  # pid 1 of the namespace: all others go with it
            os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        for group in groups:
            for inner in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                with suppress(OSError):
                    inner.rmdir()
            with suppress(OSError):  # empty groups cost nothing
                group.rmdir()


def _wait(process: subprocess.Popen[bytes], log: Path) -> Host:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        for pid in _children(process.pid):
            host = Host(pid)
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                state = host.call("systemctl", "is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    return host
        time.sleep(0.1)
    raise RuntimeError(f"systemd does not come up: {log.read_text()}")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
