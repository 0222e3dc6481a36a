"""Data staging of jobs that really run: inputs are fetched and outputs brought away with the delegated credential."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import ssl
import threading
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from act.simulation import TestCA
from act_arc.simulator.job import SimJob

TRANSFER_S = 60.0
NO_LIST = "Error reading user generated output file list"
_HTTP = {"davs": "https", "dav": "http"}  # WebDAV schemes, for a library that knows none


class Stager:
    """Moves the files of one job, each phase not before ``stage_s`` have passed.

    epoch: the job's when the phase began. end: set when all is to stop.
    """

    def __init__(
        self, job: SimJob, epoch: int, ca: TestCA, proxy: Path | None, stage_s: float, end: threading.Event
    ) -> None:
        self._job, self._epoch, self._stage_s, self._end = job, epoch, stage_s, end
        self._tls = ssl.create_default_context(cafile=str(ca.ca_cert))
        if proxy:
            self._tls.load_cert_chain(proxy)

    def fetch(self) -> str:
        """Bring the inputs that have a source; returns what went wrong, in A-REX's words. The first failure ends it."""
        self._end.wait(self._stage_s)
        asked = self._job.description
        for name, source in asked.inputs:
            if name in asked.uploads or self._is_over():
                continue
            path = self._job.path(name)
            try:
                if path is None:
                    raise ValueError("outside of the session directory")
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._open(urllib.request.Request(plain(source))) as response, path.open("wb") as f:
                    shutil.copyfileobj(response, f)
            except (OSError, ValueError, http.client.HTTPException) as e:
                return f"Failed in data staging: Failed checking source replica {source}: {e}\n"
        return ""

    def store(self) -> str:
        """Bring outputs away, and clear the session directory if all went well; returns what went wrong.

        One failure does not keep others from going, and a repetition only moves what is left. A job that is killed
        meanwhile keeps its files.
        """
        self._end.wait(self._stage_s)
        try:
            wanted = outputs(self._job)
        except FileNotFoundError:
            return NO_LIST
        error = ""
        for name, target in wanted:
            if not target or name in self._job.stored or self._is_over():
                continue
            try:
                self._store_one(name, plain(target))
            except (OSError, ValueError, http.client.HTTPException) as e:
                error += f"Failed in data staging: Failed to store {name} at {target}: {e}\n"
            else:
                self._job.stored.add(name)
        if not error and not self._is_over():
            clear(self._job)
            for name, _ in self._job.description.outputs:  # a list of which all is done goes, too
                listing = self._job.path(name[1:]) if name.startswith("@") else None
                if listing:
                    listing.unlink(missing_ok=True)
        return error

    def _store_one(self, name: str, target: str) -> None:
        path, url = self._job.path(name), urlsplit(target)
        if path is None:
            raise ValueError("outside of the session directory")
        if url.scheme == "file":
            copy = Path(unquote(url.path))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            return
        with path.open("rb") as f:
            size = {"Content-Length": str(path.stat().st_size)}
            with self._open(urllib.request.Request(target, f, size, method="PUT")):
                return

    def _open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        if request.type not in ("http", "https", "file"):
            raise ValueError(f"protocol {request.type} is not supported")
        # storage is called directly, whatever proxies the environment names
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls))
        response: urllib.response.addinfourl = urllib.request.build_opener(*handlers).open(request, timeout=TRANSFER_S)
        return response

    def _is_over(self) -> bool:
        """Whether the job was killed meanwhile, or all is to stop."""
        return self._end.is_set() or self._job.epoch != self._epoch


def outputs(job: SimJob) -> list[tuple[str, str]]:
    """(name, destination) of all outputs, those included that the job itself listed in a file named ``@file``.

    Raises FileNotFoundError if there is no such file.
    """
    found: list[tuple[str, str]] = []
    for name, target in job.description.outputs:
        found.append((name.removeprefix("@"), "" if name.startswith("@") else target))
        listing = job.path(name[1:]) if name.startswith("@") else None
        if listing:
            lines = (line.split() for line in listing.read_text().splitlines())
            found += [(words[0].lstrip("/"), "".join(words[1:2])) for words in lines if words]
    return found


def clear(job: SimJob) -> None:
    """Remove from the session directory all that is no output staying here."""
    try:
        wanted: Iterable[tuple[str, str]] = outputs(job)
    except FileNotFoundError:
        wanted = job.description.outputs
    kept = [name.strip("/") for name, target in wanted if not target]
    if "" in kept:
        return
    for folder, _, files in os.walk(job.session, topdown=False):
        for file in files:
            path = Path(folder) / file
            name = str(path.relative_to(job.session))
            if not any(name == k or name.startswith(f"{k}/") for k in kept):
                path.unlink()
        if Path(folder) != job.session and not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def plain(url: str) -> str:
    """A URL that others than ARC know: without options behind the host, without facts at the end."""
    if url.startswith("/"):
        return f"file://{url}"
    found = re.fullmatch(r"(\w+)://([^/;]*)(?:;[^/]*)?(/.*?)?((?::[a-z]+=[^:/]*)*)", url)
    if found is None:
        return url
    return f"{_HTTP.get(found[1], found[1])}://{found[2]}{found[3] or ''}"
