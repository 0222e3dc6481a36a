"""The child processes that speak to HTCondor for this process: few, each for one open CE, killed when they are late.

HTCondor's bindings hold the interpreter's lock while they wait, and may crash: here that costs one call of one CE.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act.errors import CEUnreachable

SCRIPT = Path(__file__).with_name("worker.py")
AT_MOST = 8
_CHUNK = 1 << 16


class BindingsError(Exception):
    """The bindings gave an answer, and it is an error.

    details: their log. sent: whether the schedd may have been asked for anything; partly: it did some of it.
    """

    def __init__(self, text: str, details: str, *, sent: bool, partly: bool) -> None:
        super().__init__(text)
        self.details, self.sent, self.partly = details, sent, partly


@dataclass(frozen=True, eq=False)
class Client:
    """Whom a child acts for. environment: over that of this process; secrets: variable -> what is in the file that it
    names; the file lives in memory only."""

    environment: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Workers:
    """At most ``at_most`` children. One whose client needs it no more, or least, makes room for another's."""

    def __init__(self, at_most: int = AT_MOST) -> None:
        self._at_most = at_most
        self._changed = threading.Condition()
        self._children: dict[Client, _Child] = {}
        # A child dies with the thread that started it, so that thread lives as long as the process.
        self._starter = ThreadPoolExecutor(1, "bindings")

    def call(self, client: Client, end: float, **request: Any) -> Any:
        """The answer to one request, by ``end`` (monotonic). Raises BindingsError; CEUnreachable if there is none.

        The client's child keeps what it needs from one call to the next, unless it had to be ended in between.
        """
        child = self._take(client, end)
        try:
            answer = child.ask({**request, "within_s": max(end - time.monotonic(), 0.0)}, end)
        except BaseException:
            self._give_back(client, child, of_use=False)
            raise
        if request["op"] == "spool":
            child.unspooled -= len(request["ids"])
        elif request.get("spool"):
            child.unspooled += len(request["items"])
        sent = child.sent
        self._give_back(client, child, of_use=True)
        if "error" in answer:
            raise BindingsError(answer["error"], answer["details"], sent=sent, partly=answer["partly"])
        return answer["ok"]

    def forget(self, client: Client) -> None:
        """End the client's child, also in the middle of a call."""
        with self._changed:
            child = self._children.pop(client, None)
            if child is not None and child.busy:
                child.kill()  # the thread that waits for it does the rest: nobody closes what another reads from
                return
        if child is not None:
            child.end()

    def close(self) -> None:
        """End all."""
        for client in list(self._children):
            self.forget(client)
        self._starter.shutdown()

    def _take(self, client: Client, end: float) -> _Child:
        with self._changed:
            while True:
                child = self._children.get(client)
                if child is not None and not child.busy:
                    if child.alive():
                        break
                    self._children.pop(client).end()
                    child = None
                if child is None and (len(self._children) < self._at_most or self._make_room()):
                    child = self._children[client] = self._start(client)
                    break
                if not self._changed.wait(end - time.monotonic()):
                    raise CEUnreachable(f"all {self._at_most} processes that speak HTCondor are busy", sent=False)
            child.busy = True
            return child

    def _start(self, client: Client) -> _Child:
        try:
            return self._starter.submit(_Child, client).result()
        except OSError as e:
            raise CEUnreachable(f"a process that speaks HTCondor cannot be started: {e}", sent=False) from e

    def _make_room(self) -> bool:
        """End the idle child that is missed least: one with files to send last, as its jobs have to be replaced."""
        idle = [(child.unspooled > 0, child.used, client) for client, child in self._children.items() if not child.busy]
        if not idle:
            return False
        client = min(idle, key=lambda one: one[:2])[2]
        self._children.pop(client).end()
        return True

    def _give_back(self, client: Client, child: _Child, *, of_use: bool) -> None:
        with self._changed:
            child.busy, child.used = False, time.monotonic()
            kept = of_use and self._children.get(client) is child
            if not kept and self._children.get(client) is child:
                del self._children[client]
            self._changed.notify()
        if not kept:
            child.end()


class _Child:
    """One process; `ask` it one thing at a time."""

    def __init__(self, client: Client) -> None:
        self.busy = self.sent = False
        self.unspooled = 0
        self.used = time.monotonic()
        self._words = os.memfd_create("words")
        secrets = {name: _in_memory(content) for name, content in client.secrets.items()}
        shown = {name: f"/proc/self/fd/{fd}" for name, fd in secrets.items()}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(SCRIPT), str(os.getpid())],
                env={**os.environ, **client.environment, **shown},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, pass_fds=secrets.values(), bufsize=0,
            )  # fmt: skip
        finally:
            for fd in secrets.values():
                os.close(fd)
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._read = b""

    def ask(self, request: dict[str, Any], end: float) -> dict[str, Any]:
        """The answer; CEUnreachable if the process ends or is late, after which it is of no use any more."""
        self.sent = False
        try:
            self._write(json.dumps(request).encode() + b"\n", end)
            while True:
                answer: dict[str, Any] = json.loads(self._line(end))
                if "sent" not in answer:
                    return answer
                self.sent = True
        except TimeoutError as e:
            asked = f"schedd {request['schedd']}" if self.sent else "collector or schedd"
            raise CEUnreachable(f"{request['op']}: no answer of the {asked} in time", sent=self.sent) from e
        except (EOFError, BrokenPipeError) as e:
            raise CEUnreachable(
                f"{request['op']}: the process that speaks HTCondor ended: {self._last_words()}", sent=self.sent
            ) from e

    def alive(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Whoever waits for it is told so."""
        self._process.kill()

    def end(self) -> None:
        """Kill it; nothing of it stays. To be called once, when nobody waits for it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        os.close(self._words)

    def _write(self, data: bytes, end: float) -> None:
        left = memoryview(data)
        while left:
            _wait(self._in, select.POLLOUT, end)
            try:
                left = left[os.write(self._in, left[:_CHUNK]) :]
            except BlockingIOError:
                continue

    def _line(self, end: float) -> bytes:
        parts = [self._read]
        while b"\n" not in parts[-1]:
            _wait(self._out, select.POLLIN, end)
            parts.append(os.read(self._out, _CHUNK))
            if not parts[-1]:
                raise EOFError
        line, _, self._read = b"".join(parts).partition(b"\n")
        return line

    def _last_words(self) -> str:
        self.kill()
        code = self._process.wait()
        said = os.pread(self._words, _CHUNK, 0).decode(errors="replace").split("\n")
        return "; ".join([f"exit status {code}", *(line.strip() for line in said if line.strip())][-3:])


def _wait(fd: int, what: int, end: float) -> None:
    poll = select.poll()
    poll.register(fd, what)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        raise TimeoutError


def _in_memory(content: bytes) -> int:
    fd = os.memfd_create("secret")
    os.fchmod(fd, 0o600)
    os.write(fd, content)
    return fd


workers = Workers()
