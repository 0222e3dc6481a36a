"""URLs of protocols that nothing here speaks."""

from __future__ import annotations

from collections.abc import Sequence

from act.errors import ActError, JobError, StorageUnavailable
from act_atlas.replicas.bulk import forbidden
from act_atlas.replicas.model import Checked, Finding, Replica
from act_atlas.replicas.settings import Storages
from act_atlas.replicas.urls import removable


class UnknownStorage:
    """Says of every file that it cannot tell, and what would have to be installed."""

    def __init__(self, scheme: str, settings: Storages, hint: str) -> None:
        self._text = f"nothing here speaks {scheme}: {hint}"
        self._settings = settings

    def check(self, replicas: Sequence[Replica]) -> dict[str, Checked | StorageUnavailable]:
        """See `Storage`."""
        return {replica.url: Checked(Finding.UNKNOWN_SCHEME, self._text) for replica in replicas}

    def remove(self, urls: Sequence[str]) -> dict[str, ActError | None]:
        """See `Storage`."""
        may = {url: removable(url, self._settings.removable) for url in urls}
        return {url: JobError(f"{url} is not removed: {self._text}") if may[url] else forbidden(url) for url in urls}

    def close(self) -> None:
        """Nothing is held."""
