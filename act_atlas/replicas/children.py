"""root://, and whatever gfal2 speaks: outputs on storage elements behind libraries that may block or crash."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from act.errors import ActError, JobError, StorageUnavailable
from act_atlas.replicas import child
from act_atlas.replicas.bulk import decided, forbidden
from act_atlas.replicas.checksums import LENGTHS, judge
from act_atlas.replicas.model import Checked, Finding, Replica
from act_atlas.replicas.settings import Storages
from act_atlas.replicas.urls import parse_at, removable

Library = Literal["xrootd", "gfal"]
MODULES = {"xrootd": "XRootD", "gfal": "gfal2"}


def installed(library: Library) -> bool:
    """Whether the bindings can be imported; asked without doing it."""
    return importlib.util.find_spec(MODULES[library]) is not None


class ChildStorage:
    """One host; each bulk runs in a child process of its own, which is killed when its time is over.

    A bulk therefore ends in time whatever the library does, a crash costs no more than the answers that had not come,
    and no process ever holds two credentials.
    """

    def __init__(
        self, library: Library, scheme: str, host: str, settings: Storages, proxy_pem: bytes, ca_dir: Path, token: str
    ) -> None:
        self._library, self._scheme, self._host, self._settings = library, scheme, host, settings
        self._proxy_pem = proxy_pem
        self._environment = os.environ | {
            "X509_CERT_DIR": str(ca_dir),
            "XRD_CONNECTIONWINDOW": str(max(1, round(settings.connect_s))),
            "XRD_CONNECTIONRETRY": "1",
            "XRD_REQUESTTIMEOUT": str(max(1, round(settings.read_s))),
            "XRD_TIMEOUTRESOLUTION": "1",
        }
        if token:
            self._environment["BEARER_TOKEN"] = token

    def check(self, replicas: Sequence[Replica]) -> dict[str, Checked | StorageUnavailable]:
        """See `Storage`."""
        answers: dict[str, Checked | StorageUnavailable] = {}
        items: list[Any] = []
        for replica in replicas:
            try:
                path = self._path(replica.url)
            except JobError as e:
                answers[replica.url] = Checked(Finding.MISSING, str(e))
            else:
                known = [algorithm for algorithm in LENGTHS if getattr(replica, algorithm)]
                items.append([replica.url, path, replica.size, known])
        found = self._run("check", items)
        by_url = {replica.url: replica for replica in replicas}
        answers |= {item[0]: _checked(by_url[item[0]], found.get(item[0], {})) for item in items}
        return decided(self._host, answers)

    def remove(self, urls: Sequence[str]) -> dict[str, ActError | None]:
        """See `Storage`."""
        answers: dict[str, ActError | None] = {}
        items: list[Any] = []
        for url in urls:
            try:
                path = self._path(url)
            except JobError as e:
                answers[url] = e
            else:
                if removable(url, self._settings.removable):
                    items.append([url, path, None, []])
                else:
                    answers[url] = forbidden(url)
        found = self._run("remove", items)
        answers |= {item[0]: _removed(item[0], found.get(item[0], {})) for item in items}
        return decided(self._host, answers)

    def close(self) -> None:
        """Nothing is held between bulks."""

    def _path(self, url: str) -> str:
        """The absolute path at the server; root://host//path and root://host/path are the same file."""
        return "/" + parse_at(url, self._scheme, self._host).path.lstrip("/")

    def _run(self, action: str, items: list[Any]) -> dict[str, dict[str, Any]]:
        """The answers that came in time, by URL. Raises StorageUnavailable with the child's last words if none did."""
        if not items:
            return {}
        settings = self._settings
        order = {
            "action": action, "endpoint": f"{self._scheme}://{self._host}", "parallel": settings.parallel,
            "read_s": settings.read_s, "total_s": settings.total_s, "items": items,
        }  # fmt: skip
        command = [sys.executable, "-P", str(Path(child.__file__)), self._library]
        with self._credential() as (environment, fds):
            process = subprocess.Popen(
                command, env=environment, pass_fds=fds,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            with process:
                try:
                    out, err = process.communicate(json.dumps(order).encode(), settings.total_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    out, err = process.communicate()
                finally:
                    process.kill()
        # the last line may have been cut off
        answers = [json.loads(line) for line in out.splitlines(keepends=True) if line.endswith(b"\n")]
        if not answers:
            said = err.decode(errors="replace").strip().splitlines()[-1:] or [f"nothing in {settings.total_s:g} s"]
            raise StorageUnavailable(f"storage {self._host}: the {self._library} process said: {said[0][:300]}")
        return {answer["url"]: answer for answer in answers}

    @contextmanager
    def _credential(self) -> Iterator[tuple[dict[str, str], list[int]]]:
        """Environment and descriptors that show the proxy to a child, as a file that lives in memory only."""
        if not self._proxy_pem:
            yield self._environment, []
            return
        fd = os.memfd_create("proxy")
        try:
            os.fchmod(fd, 0o600)  # the libraries refuse proxies that others could read
            os.write(fd, self._proxy_pem)
            yield self._environment | {"X509_USER_PROXY": f"/proc/self/fd/{fd}"}, [fd]
        finally:
            os.close(fd)


def _checked(replica: Replica, answer: dict[str, Any]) -> Checked | StorageUnavailable:
    if "gone" in answer:
        return Checked(Finding.MISSING, answer["gone"])
    if "size" in answer:
        return judge(replica, answer["size"], answer["checksums"])
    return StorageUnavailable(answer.get("unavailable", "no answer in time"))


def _removed(url: str, answer: dict[str, Any]) -> ActError | None:
    if "gone" in answer:
        return None
    if "refused" in answer:
        return JobError(f"{url} is not removed: {answer['refused']}")
    return StorageUnavailable(answer.get("unavailable", "no answer in time"))
