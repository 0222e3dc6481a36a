"""The public act-client 1.0.0, unmodified, in a virtual environment of its own, and somebody who uses it.

The client looks for the proxy that it signs with at ``/tmp/x509up_u<uid>`` only: it runs in a user namespace under a
uid that nobody else has.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.needs import unavailable
from tests.signals import hear_ctrl_c

RELEASE = "act-client==1.0.0"
COMMAND_S = 300


def installed() -> Path:
    """Its command ``act``; it is installed from PyPI once."""
    home = Path(sys.prefix) / "act-client"
    with Path(f"{home}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            for command in ([sys.executable, "-m", "venv", home], [home / "bin/pip", "install", "-q", RELEASE]):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    unavailable(f"{RELEASE} cannot be installed from PyPI: {done.stderr[-500:]}")
            (home / "complete").touch()
    return home / "bin/act"


class ActClient:
    """Somebody at a terminal. home: a directory of theirs; proxy: in PEM, with its key."""

    def __init__(self, home: Path, server: str, ca_cert: Path, clusters: Mapping[str, list[str]], proxy: bytes) -> None:
        self.home, self._ca_cert, self._act = home, ca_cert, installed()
        self._uid = random.randrange(1 << 20, 1 << 30)
        self.proxy_file = Path(f"/tmp/x509up_u{self._uid}")
        home.mkdir(exist_ok=True)
        self.token_file = home / "token"
        lists = "".join(f"  {name}: [{', '.join(urls)}]\n" for name, urls in clusters.items())
        config = f"server: {server}\nclusters:\n{lists}token: {self.token_file}\nproxy: {self.proxy_file}\n"
        (home / "config.yaml").write_text(config)
        self._proxy = proxy

    def __enter__(self) -> Self:
        descriptor = os.open(self.proxy_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._proxy)
        probe = subprocess.run([*self._namespace(), "true"], capture_output=True, text=True)
        if probe.returncode:
            self.__exit__(None, None, None)
            unavailable(f"act-client needs a user namespace, and there is none to be had: {probe.stderr}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy_file.unlink()

    def _namespace(self) -> list[str]:
        return ["unshare", "--user", f"--map-user={self._uid}"]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something else. It replaces unshare, so that signals reach it."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "SSL_CERT_FILE": str(self._ca_cert),
            "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        command = [*self._namespace(), str(self._act), "--conf", str(self.home / "config.yaml"), *arguments]
        return subprocess.Popen(
            command, cwd=self.home, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=hear_ctrl_c,
        )  # fmt: skip

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """What a command says."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=COMMAND_S)
        assert (process.returncode != 0) == fails, f"act {arguments}: {process.returncode} {said}"
        return said

    def write(self, name: str, text: str) -> str:
        """A file in the home directory; its name."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name
