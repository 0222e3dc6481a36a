"""Outputs of jobs on storage elements: are they there, whole and right; and away with those of failed attempts.

    with closing(open_storage(host, scheme, config.storages, proxy_pem, ca_dir)) as storage:
        storage.check([Replica(url, size, adler32)]); storage.remove([url])

Work is grouped by (`host_of`, `scheme_of`) of the URLs; both raise JobError for what is no URL. At most
``storages/batch`` files go into one call. `removable` tells beforehand what `Storage.remove` would refuse.
"""

from __future__ import annotations

from pathlib import Path

from act import faults
from act.errors import StorageUnavailable
from act.https import client_context
from act_atlas.replicas.children import ChildStorage, Library, installed
from act_atlas.replicas.local import LocalStorage
from act_atlas.replicas.model import Checked, Finding, Replica, Storage
from act_atlas.replicas.settings import Storages
from act_atlas.replicas.unknown import UnknownStorage
from act_atlas.replicas.urls import host_of, removable, scheme_of
from act_atlas.replicas.webdav import WebDAVStorage

HINTS: dict[Library, str] = {
    "xrootd": "install the extra 'xrootd' of this package",
    "gfal": "install gfal2 with the plugin for it and its Python bindings (python3-gfal2)",
}
__all__ = [
    "Checked",
    "Finding",
    "Replica",
    "Storage",
    "Storages",
    "host_of",
    "open_storage",
    "removable",
    "scheme_of",
]


def open_storage(
    host: str, scheme: str, settings: Storages, proxy_pem: bytes, ca_dir: Path, token: str = ""
) -> Storage:
    """The storage that URLs with this `host_of` and `scheme_of` are at. No network call yet.

    proxy_pem: shown to the storage, b"" for none; token: a bearer token for https, instead or besides. Raises
    ConfigError and CredentialError for what no storage can mend.
    """
    return faults.port("replicas", _open(host, scheme, settings, proxy_pem, ca_dir, token), StorageUnavailable)


def _open(host: str, scheme: str, settings: Storages, proxy_pem: bytes, ca_dir: Path, token: str) -> Storage:
    if scheme == "file":
        return LocalStorage(settings)
    if scheme == "https":
        return WebDAVStorage(host, settings, client_context(ca_dir, proxy_pem or None), token)
    library: Library = "xrootd" if scheme in ("root", "roots") else "gfal"
    if installed(library):
        return ChildStorage(library, scheme, host, settings, proxy_pem, ca_dir, token)
    return UnknownStorage(scheme, settings, HINTS[library])
