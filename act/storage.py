"""The store: results, joblogs and whatever must outlive a host, in a directory or on any fsspec filesystem.

Names are relative, with "/" between their parts. A file appears under its name whole or not at all.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from act.errors import BadJobSpec, ConfigError, OutputMissing, StorageUnavailable
from act.faults import hit
from act.files import PART, new_file

MAX_PART_BYTES = 200


def result_name(cejob_id: int, name: str) -> str:
    """Where the store keeps a fetched file: one folder per attempt, a thousand attempts per parent."""
    return f"{result_folder(cejob_id)}/{name.removeprefix('diagnose=')}"


def result_folder(cejob_id: int) -> str:
    """Where all `result_name` of an attempt are."""
    return _folder("results", cejob_id)


def live_name(cejob_id: int, name: str) -> str:
    """Where the store keeps what a file of a running job has by now, while somebody looks at it."""
    return f"{live_folder(cejob_id)}/{name}"


def live_folder(cejob_id: int) -> str:
    """Where all `live_name` of an attempt are."""
    return _folder("live", cejob_id)


def _folder(kind: str, cejob_id: int) -> str:
    return f"{kind}/{cejob_id // 1000}/{cejob_id}"


class Store:
    """Files under one root, local directory or URL.

    All methods raise BadJobSpec for a name that is not safe and StorageUnavailable when the store does not do its
    work (disk full, no permission, no answer).
    """

    def __init__(self, root: str | Path, **options: Any) -> None:
        """root: a directory or a URL that fsspec knows; options: those of its filesystem. Does no I/O."""
        try:
            self._fs, base = fsspec.core.url_to_fs(str(root), **options)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"the store {root} cannot be used: {error}") from error
        self._base = str(base).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """A binary file to fill; it appears, replacing an older one, when the block ends without an exception."""
        path = self._path(name)
        try:
            with self._filling(path) as file:
                yield cast(BinaryIO, _Out(file, self.where(name)))
                hit("store.commit", "before", StorageUnavailable)
        except OSError as error:
            raise self._unavailable("written", name, error) from error
        hit("store.commit", "after", StorageUnavailable)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A binary file to read. Raises OutputMissing if there is none."""
        try:
            file = self._fs.open(self._path(name), "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise OutputMissing(f"there is no file {self.where(name)}") from error
        except OSError as error:
            raise self._unavailable("read", name, error) from error
        with file:
            yield file

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises OutputMissing if there is none."""
        with self.open(name) as file:
            try:
                return file.read()
            except OSError as error:
                raise self._unavailable("read", name, error) from error

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        try:
            return bool(self._fs.exists(self._path(name)))
        except OSError as error:
            raise self._unavailable("looked up", name, error) from error

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        try:
            info = self._fs.info(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unavailable("looked up", name, error) from error
        return int(info["size"]) if info["type"] == "file" else None

    def list(self, folder: str = "") -> list[str]:
        """The names of all files in a folder and below, sorted; empty if there is no such folder."""
        root = self._path(folder) if folder else self._base
        try:
            found = self._fs.find(root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unavailable("listed", folder, error) from error
        names = (str(path)[len(self._base) :].lstrip("/") for path in found)
        return sorted(name for name in names if not _is_part(name.rpartition("/")[2]))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; no error if there is none."""
        try:
            with suppress(FileNotFoundError):
                self._fs.rm(self._path(name), recursive=True)
        except OSError as error:
            raise self._unavailable("removed", name, error) from error

    def where(self, name: str = "") -> str:
        """Path or URL of a file, for people and for links."""
        path = self._path(name) if name else self._base
        return path if self._local else str(self._fs.unstrip_protocol(path))

    def _path(self, name: str) -> str:
        check_name(name)
        return f"{self._base}/{name}"

    @contextmanager
    def _filling(self, path: str) -> Iterator[BinaryIO]:
        if self._local:
            with new_file(Path(path)) as file:
                yield file
            return
        with tempfile.NamedTemporaryFile(prefix="act-store-") as spool:
            yield cast(BinaryIO, spool)
            spool.flush()
            folder, _, last = path.rpartition("/")
            part = f"{folder}/.{last}.{Path(spool.name).name}{PART}"
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.put_file(spool.name, part)
            self._fs.mv(part, path)

    def _unavailable(self, done: str, name: str, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self.where(name)} could not be {done}: {error.strerror or error}")


class _Out(io.BufferedIOBase):
    """A file whose failing writes are the store's, not of the network call that feeds it."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            raise StorageUnavailable(f"{self._where} could not be written: {error.strerror or error}") from error


def check_name(name: str) -> None:
    """Refuse names that could leave the root or trouble people who list them. Raises BadJobSpec."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or _is_part(part) for part in parts):
        raise BadJobSpec(f"'{name!a}' is no file name: it must be relative, without empty, '.' or '..' parts")
    if not name.isprintable():
        raise BadJobSpec(f"{name!a} is no file name: it holds characters that do not print")
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise BadJobSpec(f"{name!a} is no file name: a part of it is longer than {MAX_PART_BYTES} bytes")


def _is_part(last: str) -> bool:
    return last.startswith(".") and last.endswith(PART)
