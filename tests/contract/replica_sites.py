"""The storages that the contract suite runs against: a file system, real XRootD over its two protocols, a fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.replicas import Storage, Storages, host_of, open_storage, scheme_of
from tests.needs import need
from tests.services.webdav import WebDAV
from tests.services.xrootd import XRootD

PREFIX = "removable/"


def _nothing() -> None:
    """For what a kind of storage does not have."""


@dataclass
class Site:
    """A storage under test. ``base``: URL of its top directory; paths are below that."""

    base: str
    put: Callable[[str, bytes], object]
    has: Callable[[str], bool]
    proxy: bytes = b""
    ca_dir: Path = Path()
    stop: Callable[[], None] = _nothing
    start: Callable[[], object] = _nothing
    freeze: Callable[[], object] = _nothing
    thaw: Callable[[], None] = _nothing

    def url(self, path: str) -> str:
        return self.base + path

    @contextmanager
    def storage(self, **changes: Any) -> Iterator[Storage]:
        """The storage as the tower sees it; it may remove what is below PREFIX."""
        settings = Storages(**{"removable": (self.url(PREFIX),), "read_s": 30, "total_s": 60} | changes)
        storage = open_storage(host_of(self.base), scheme_of(self.base), settings, self.proxy, self.ca_dir)
        try:
            yield storage
        finally:
            storage.close()


def make_user(ca: TestCA) -> bytes:
    """A user's proxy."""
    certificate, key = (path.read_bytes() for path in ca.user("alice"))
    return make_proxy(certificate, key, 3600)


def _file(stack: ExitStack) -> Site:
    top = Path(stack.enter_context(TemporaryDirectory()))

    def put(path: str, content: bytes) -> None:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)

    return Site(f"file://{top}/", put, lambda path: (top / path).exists())


def _xrootd(scheme: str, **options: str) -> Callable[[ExitStack], Site]:
    def make(stack: ExitStack) -> Site:
        need(XRootD.installed())
        ca = TestCA(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(XRootD(ca.ca_dir, *ca.host(rsa=True), **options))
        return Site(
            server.url(scheme, ""), server.put, lambda path: (server.data / path).exists(), make_user(ca), ca.ca_dir,
            server.kill, server.start, server.freeze, server.thaw,
        )  # fmt: skip

    return make


def _fake(stack: ExitStack) -> Site:
    ca = TestCA(stack.enter_context(TemporaryDirectory()))
    server = stack.enter_context(WebDAV(ca))

    def put(path: str, content: bytes) -> None:
        parts = path.split("/")
        server.files |= {f"/{'/'.join(parts[:n])}/": b"" for n in range(1, len(parts))} | {f"/{path}": content}

    def start() -> None:
        server.stop()
        server.start()

    return Site(
        f"davs://localhost:{server.port}/", put, lambda path: f"/{path}" in server.files, make_user(ca), ca.ca_dir,
        server.stop, start, lambda: server.faults.add({"action": "hang"}), server.faults.clear,
    )  # fmt: skip


KINDS = {
    "file": _file,
    "davs-xrootd": _xrootd("davs"),
    "root-xrootd": _xrootd("root"),
    "roots-xrootd": _xrootd("roots"),
    "davs-fake": _fake,
}
WITHOUT_CHECKSUMS = {scheme: _xrootd(scheme, checksums="") for scheme in ("davs", "root")}
CLOSED_TO_US = {scheme: _xrootd(scheme, access="u somebody-else / a") for scheme in ("davs", "root")}
