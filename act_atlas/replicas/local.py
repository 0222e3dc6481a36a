"""file://: outputs on a file system that this host has mounted."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zlib
from collections.abc import Sequence
from contextlib import ExitStack

from act.errors import ActError, JobError, StorageUnavailable
from act_atlas.replicas.bulk import decided, forbidden
from act_atlas.replicas.checksums import judge
from act_atlas.replicas.model import Checked, Finding, Replica
from act_atlas.replicas.settings import Storages
from act_atlas.replicas.urls import parse_at, prefix_of

CHUNK = 1 << 20
GONE = (FileNotFoundError, NotADirectoryError)


class LocalStorage:
    """Files of this host. What it removes lies below a prefix in truth, whatever symbolic links there are."""

    def __init__(self, settings: Storages) -> None:
        self._settings = settings

    def check(self, replicas: Sequence[Replica]) -> dict[str, Checked | StorageUnavailable]:
        """See `Storage`; the checksum that the report names is computed."""
        deadline = time.monotonic() + self._settings.total_s
        return decided("file", {replica.url: self._check(replica, deadline) for replica in replicas})

    def remove(self, urls: Sequence[str]) -> dict[str, ActError | None]:
        """See `Storage`."""
        return decided("file", {url: self._remove(url) for url in urls})

    def close(self) -> None:
        """Nothing is held."""

    def _check(self, replica: Replica, deadline: float) -> Checked | StorageUnavailable:
        try:
            path = parse_at(replica.url, "file", "file").path
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO is not waited for
            with os.fdopen(fd, "rb", buffering=0) as f:
                info = os.fstat(fd)
                if not stat.S_ISREG(info.st_mode):
                    return Checked(Finding.MISSING, f"{path} is no file")
                if replica.size is not None and info.st_size != replica.size:
                    return judge(replica, info.st_size, {})
                adler32, md5 = zlib.adler32(b""), hashlib.md5(usedforsecurity=False)
                while chunk := f.read(CHUNK):
                    if time.monotonic() > deadline:
                        return StorageUnavailable(f"{path} could not be read in {self._settings.total_s:g} s")
                    adler32 = zlib.adler32(chunk, adler32)
                    if not replica.adler32:
                        md5.update(chunk)
        except JobError as e:
            return Checked(Finding.MISSING, str(e))
        except GONE:
            return Checked(Finding.MISSING, f"no file {path}")
        except OSError as e:
            return StorageUnavailable(f"{path} cannot be read: {e.strerror}")
        return judge(
            replica, info.st_size, {"adler32": f"{adler32:08x}"} if replica.adler32 else {"md5": md5.hexdigest()}
        )

    def _remove(self, url: str) -> ActError | None:
        prefix = prefix_of(url, self._settings.removable)
        if prefix is None or prefix.scheme != "file":
            return forbidden(url)
        names = parse_at(url, "file", "file").path.split("/")[len(prefix.path.split("/")) :]
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            with ExitStack() as opened:
                directory = os.open(prefix.path, flags)
                opened.callback(os.close, directory)
                for name in names[:-1]:
                    directory = os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory)
                    opened.callback(os.close, directory)
                os.unlink(names[-1], dir_fd=directory)
        except FileNotFoundError:
            return None
        except (NotADirectoryError, IsADirectoryError) as e:
            return JobError(f"{url} is not removed: {e.strerror}, or a symbolic link on the way to it")
        except OSError as e:
            return StorageUnavailable(f"{url} cannot be removed: {e.strerror}")
        return None
