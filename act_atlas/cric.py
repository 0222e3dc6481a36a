"""CRIC: facts of all queues, fetched now and then, with the last good answer to fall back on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from act.errors import CredentialError, SourceUnreachable
from act.files import write_file
from act_atlas.config import AtlasConfig
from act_atlas.panda.client import PandaServer
from act_atlas.panda.http import Http
from act_atlas.queueinfo import QueueInfo, all_queues

LAST_GOOD = "cric-pandaqueues.json"
HttpGet = Callable[[str, float], bytes]  # (URL, total deadline in s) -> body; raises SourceUnreachable


@dataclass(frozen=True, slots=True)
class QueueTable:
    """The queues for this tower by name; problems: what was wrong with others; fetched: seconds since the epoch."""

    queues: Mapping[str, QueueInfo]
    problems: tuple[str, ...]
    fetched: float


class CricSource:
    """Queue facts from a server or a file. One per process; the last good answer is shared through its directory."""

    def __init__(self, config: AtlasConfig, directory: Path, http_get: HttpGet) -> None:
        self._config = config
        self._file = directory / LAST_GOOD
        self._http_get = http_get
        self._cached: tuple[tuple[int, int], QueueTable] | None = None

    def refresh(self) -> QueueTable:
        """Fetch, and keep as the last good answer. Raises SourceUnreachable; then the last good one stays."""
        body, table = self._fetched()
        try:
            write_file(self._file, body)
        except OSError as exc:
            raise SourceUnreachable(f"{self._file} cannot be written: {exc.strerror}") from exc
        return table

    def fetch(self) -> QueueTable:
        """Fetch for one look. Raises SourceUnreachable."""
        return self._fetched()[1]

    def _fetched(self) -> tuple[bytes, QueueTable]:
        url = self._config.cric.url
        body = self._read(url) if url else b"{}"
        table = self._table(body, time.time(), url)
        if url and not table.queues:
            told = f", first problem: {table.problems[0]}" if table.problems else ""
            raise SourceUnreachable(f"{url} has no queue for this tower (pilot_manager, state){told}")
        return body, table

    def load(self) -> QueueTable:
        """The last good answer, read again only when it has changed. Raises SourceUnreachable if there is none."""
        try:
            stat = self._file.stat()
            version = (stat.st_mtime_ns, stat.st_ino)
            if self._cached is None or self._cached[0] != version:
                body = self._file.read_bytes()
                self._cached = version, self._table(body, stat.st_mtime, str(self._file))
        except OSError as exc:
            raise SourceUnreachable(f"no facts of queues yet: {self._file}: {exc.strerror}") from exc
        return self._cached[1]

    def told_of(self, name: str) -> Mapping[str, Any] | None:
        """What the last good answer says of a queue, also of one that is not for this tower."""
        try:
            facts = _document(self._file.read_bytes(), str(self._file)).get(name)
        except OSError as exc:
            raise SourceUnreachable(f"no facts of queues yet: {self._file}: {exc.strerror}") from exc
        return facts if isinstance(facts, Mapping) else None

    def _read(self, url: str) -> bytes:
        if url.startswith(("http://", "https://")):
            return self._http_get(url, self._config.cric.timeout_s)
        path = Path(unquote(urlsplit(url).path) if url.startswith("file://") else url)
        try:
            return path.read_bytes()
        except OSError as exc:
            raise SourceUnreachable(f"{path} cannot be read: {exc.strerror}") from exc

    def _table(self, body: bytes, fetched: float, origin: str) -> QueueTable:
        queues, problems = all_queues(_document(body, origin), self._config)
        return QueueTable(queues, tuple(problems), fetched)


def _document(body: bytes, origin: str) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise SourceUnreachable(f"{origin} did not answer with JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise SourceUnreachable(f"{origin} did not answer with an object of queues")
    return document


def http_getter(ca_dir: Path) -> HttpGet:
    """GET with the server verified against a directory of authorities."""

    def get(url: str, deadline_s: float) -> bytes:
        parts = urlsplit(url)
        server = PandaServer(f"{parts.scheme}://{parts.netloc}", ca_dir, read_s=deadline_s, total_s=deadline_s)
        http = Http(server)
        try:
            return http.call("GET", parts.path or "/", query=parse_qsl(parts.query, keep_blank_values=True))
        except CredentialError as exc:
            raise SourceUnreachable(str(exc)) from exc
        finally:
            http.close()

    return get
