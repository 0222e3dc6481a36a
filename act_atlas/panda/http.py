"""HTTPS with one server: connections kept, the peer verified, and a total deadline on every call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import httpx

from act.errors import ConfigError, CredentialError, SourceUnreachable
from act.https import DeadlineTransport, client_context
from act_atlas.panda.client import PandaServer


class Http:
    """One server, one credential, a pool of connections; may be shared by threads."""

    def __init__(self, server: PandaServer) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "aCT"}
        if server.token:
            headers |= {"Authorization": f"Bearer {server.token}", "Origin": server.origin}
        timeout = httpx.Timeout(server.read_s, connect=server.connect_s, pool=server.total_s)
        transport = DeadlineTransport(client_context(server.ca_dir, server.proxy_pem or None), server.total_s)
        self._url = server.url.rstrip("/")
        self.ahead_s: float | None = None
        """By how much the server's clock was ahead of ours in its last answer, to a second; None: it did not say."""
        self._client = httpx.Client(transport=transport, headers=headers, timeout=timeout, trust_env=False)

    def call(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: bytes = b"",
        content_type: str = "", accept: str = "application/json",
    ) -> bytes:  # fmt: skip
        """The body of a 200 answer. Raises SourceUnreachable and CredentialError."""
        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        try:
            response = self._client.request(method, self._url + path, params=list(query), content=body, headers=headers)
        except httpx.InvalidURL as e:
            raise ConfigError(f"PanDA server's URL {self._url} is none: {e}") from e
        self.ahead_s = _ahead_s(response.headers.get("Date", ""))
        if response.status_code == 200:
            return response.content
        text = response.content[:500].decode("utf-8", "replace").strip()
        what = f"{self._url}{path}: HTTP {response.status_code} {text}"
        if response.status_code in (401, 403) and "forbidden" not in text:
            raise CredentialError(what)
        hint = " (is the right protocol configured?)" if response.status_code == 403 else ""
        raise SourceUnreachable(what + hint)

    def close(self) -> None:
        """Give back connections."""
        self._client.close()


def _ahead_s(date: str) -> float | None:
    """What an HTTP date says of its maker's clock. It has whole seconds only, cut off."""
    try:
        told = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    ahead = told - time.time()
    return 0.0 if -1 <= ahead <= 0 else ahead
