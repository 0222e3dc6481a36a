"""Asks a storage through a library that may block or crash; runs as a process of its own, as a script, once for a bulk.

``child.py xrootd|gfal``; reads one JSON object: ``action`` (check or remove), ``endpoint`` (scheme://host:port),
``parallel``, ``read_s``, ``total_s`` and ``items``, a list of [url, path, size or null, algorithms]. Writes one JSON
object a line as answers come: ``url`` and either ``size`` with ``checksums``, or one of ``gone``, ``refused`` and
``unavailable`` with the reason.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import stat
import sys
import threading
from typing import Any

# What XRootD's errors mean (kXR_*).
NOT_AUTHORIZED, NOT_FOUND, UNSUPPORTED = 3010, 3011, 3013
NO_CHECKSUM = (3000, 3006, UNSUPPORTED)  # servers without checksums also say "invalid argument" or "invalid request"
LARGEST_STATUS = 400  # XRootDStatus.code of a complete answer that is an error


class Gone(Exception):
    """There is no such file."""


class Refused(Exception):
    """It will never be done."""


class Unavailable(Exception):
    """No answer, or none that decides anything."""


class XRootD:
    """The bindings of XRootD's client."""

    def __init__(self, endpoint: str, read_s: float) -> None:
        from XRootD import client
        from XRootD.client.flags import QueryCode, StatInfoFlags

        self._files = client.FileSystem(endpoint)
        self._timeout = max(1, round(read_s))
        self._checksum, self._directory = QueryCode.CHECKSUM, StatInfoFlags.IS_DIR

    def size(self, url: str, path: str) -> int:
        status, info = self._files.stat(path, timeout=self._timeout)
        self._judge(status)
        if info.flags & self._directory:
            raise Refused(f"{path} is a directory")
        return int(info.size)

    def checksum(self, url: str, path: str, algorithm: str) -> str:
        mark = "&" if "?" in path else "?"
        status, text = self._files.query(self._checksum, f"{path}{mark}cks.type={algorithm}", timeout=self._timeout)
        if status.code == LARGEST_STATUS and status.errno in NO_CHECKSUM:
            return ""
        self._judge(status)
        name, _, value = text.decode("ascii", "replace").strip("\0 \n").partition(" ")
        return value.strip() if name.lower() == algorithm else ""

    def remove(self, url: str, path: str) -> None:
        status, _ = self._files.rm(path, timeout=self._timeout)
        self._judge(status)

    @staticmethod
    def _judge(status: Any) -> None:
        if status.ok:
            return
        text = status.message.strip()
        if status.code == LARGEST_STATUS and status.errno == NOT_FOUND:
            raise Gone(text)
        hint = "; see whether the credential has the right attributes"
        raise Unavailable(text + (hint if status.errno == NOT_AUTHORIZED or "Auth" in text else ""))


class Gfal:
    """The bindings of gfal2."""

    def __init__(self, endpoint: str, read_s: float) -> None:
        import gfal2

        self._error = gfal2.GError
        self._context = gfal2.creat_context()
        self._context.set_opt_integer("CORE", "NAMESPACE_TIMEOUT", max(1, round(read_s)))
        self._context.set_opt_integer("CORE", "CHECKSUM_TIMEOUT", max(1, round(read_s)))

    def size(self, url: str, path: str) -> int:
        info = self._do(self._context.stat, url)
        if stat.S_ISDIR(info.st_mode):
            raise Refused(f"{path} is a directory")
        return int(info.st_size)

    def checksum(self, url: str, path: str, algorithm: str) -> str:
        try:
            return str(self._context.checksum(url, algorithm.upper()))
        except self._error as e:
            if e.code in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
                return ""
            raise self._translated(e) from e

    def remove(self, url: str, path: str) -> None:
        self._do(self._context.unlink, url)

    def _do(self, call: Any, url: str) -> Any:
        try:
            return call(url)
        except self._error as e:
            raise self._translated(e) from e

    @staticmethod
    def _translated(error: Any) -> Exception:
        if error.code in (errno.ENOENT, errno.ENOTDIR):
            return Gone(error.message)
        denied = error.code in (errno.EACCES, errno.EPERM)
        hint = "; see whether the credential has the right attributes"
        return Unavailable(f"{error.message}{hint if denied else ''}")


Library = XRootD | Gfal


def check(library: Library, url: str, path: str, size: int | None, algorithms: list[str]) -> dict[str, Any]:
    """The size, and the first checksum there is, if the size leaves anything to compare."""
    try:
        found = library.size(url, path)
    except Refused as e:
        raise Gone(str(e)) from e
    if size is not None and found != size:
        return {"size": found, "checksums": {}}
    for algorithm in algorithms:
        if text := library.checksum(url, path, algorithm):
            return {"size": found, "checksums": {algorithm: text}}
    return {"size": found, "checksums": {}}


def remove(library: Library, url: str, path: str, size: int | None, algorithms: list[str]) -> dict[str, Any]:
    """Removed; a directory is not, though the library could."""
    library.size(url, path)
    library.remove(url, path)
    return {"gone": "removed"}


def main() -> None:
    """Work off the items on several threads, each answer a line."""
    order = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library has to say is no answer
    signal.alarm(round(order["total_s"]) + 5)  # if nobody is there any more to end this process
    library = (XRootD if sys.argv[1] == "xrootd" else Gfal)(order["endpoint"], order["read_s"])
    act = check if order["action"] == "check" else remove
    ahead: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    for item in order["items"]:
        ahead.put(item)

    def work() -> None:
        while True:
            try:
                item = ahead.get_nowait()
            except queue.Empty:
                return
            try:
                answer = act(library, *item)
            except (Gone, Refused, Unavailable) as e:
                answer = {type(e).__name__.lower(): str(e)}
            os.write(answers, json.dumps({"url": item[0], **answer}).encode() + b"\n")  # one write: lines stay whole

    threads = [threading.Thread(target=work, daemon=True) for _ in range(order["parallel"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)  # libraries have been seen to hang or crash while they are torn down


if __name__ == "__main__":
    main()
