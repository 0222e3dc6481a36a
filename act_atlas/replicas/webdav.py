"""https and davs: outputs on storage elements that speak HTTP (dCache, XRootD, StoRM, EOS and object stores)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpcore
from lxml import etree

from act.errors import ActError, JobError, StorageUnavailable
from act_atlas.replicas.bulk import decided, forbidden
from act_atlas.replicas.checksums import from_header, judge
from act_atlas.replicas.model import Checked, Finding, Replica
from act_atlas.replicas.settings import Storages
from act_atlas.replicas.urls import parse, parse_at, removable

A = TypeVar("A")
B = TypeVar("B")
KEEPALIVE_S = 4.0  # shorter than the 5 s after which common servers close idle connections
HOPS = 4
LONGEST_ANSWER = 1 << 20
REDIRECTS = (301, 302, 303, 307, 308)
GONE = (404, 410)
FORBIDDEN = (401, 403)
NO_WEBDAV = (405, 501)
NO_CHECKSUMS = (400, 405, 406, 501)  # an XRootD server without checksums answers 405 to who wants one
# In the form of RFC 3230, which storage elements know, and in that of RFC 9530. Some give only the first they know.
WANT_ADLER32 = {"Want-Digest": "adler32, md5;q=0.5", "Want-Repr-Digest": "adler=2, md5=1"}
WANT_MD5 = {"Want-Digest": "md5, adler32;q=0.5", "Want-Repr-Digest": "md5=2, adler=1"}
BASE_HEADERS = {"User-Agent": "aCT", "Accept": "*/*", "Accept-Encoding": "identity"}


class _NoAnswer(StorageUnavailable):
    """Not a word came from the host."""


@dataclass(frozen=True, slots=True)
class _Answer:
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"HTTP {self.status} from {urlsplit(self.url).netloc}"


class WebDAVStorage:
    """One host over HTTPS, with a pool of connections that are kept. A file takes one HEAD to check."""

    def __init__(self, host: str, settings: Storages, context: ssl.SSLContext, token: str = "") -> None:
        self._host, self._settings, self._token = host, settings, token
        self._runner = asyncio.Runner()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, max_connections=settings.parallel, keepalive_expiry=KEEPALIVE_S
        )

    def check(self, replicas: Sequence[Replica]) -> dict[str, Checked | StorageUnavailable]:
        """See `Storage`."""
        return decided(self._host, self._run({r.url: r for r in replicas}, self._check))

    def remove(self, urls: Sequence[str]) -> dict[str, ActError | None]:
        """See `Storage`. A redirect is followed only to another URL that may be removed."""
        return decided(self._host, self._run({url: url for url in urls}, self._remove))

    def close(self) -> None:
        """See `Storage`."""
        self._runner.run(self._pool.aclose())
        self._runner.close()

    def _run(self, items: Mapping[str, A], act: Callable[[A], Awaitable[B]]) -> dict[str, B | StorageUnavailable]:
        return self._runner.run(self._bulk(items, act))

    async def _bulk(
        self, items: Mapping[str, A], act: Callable[[A], Awaitable[B]]
    ) -> dict[str, B | StorageUnavailable]:
        """Several at a time until the total time is over; none more once the host has shown itself dead."""
        answers: dict[str, B | StorageUnavailable] = {}
        ahead = iter(items.items())

        async def worker() -> None:
            for url, item in ahead:
                try:
                    answers[url] = await act(item)
                except StorageUnavailable as e:
                    answers[url] = e
                if all(isinstance(answer, _NoAnswer) for answer in answers.values()):
                    return

        try:
            async with asyncio.timeout(self._settings.total_s):
                await asyncio.gather(*(worker() for _ in range(self._settings.parallel)))
        except TimeoutError:
            pass
        late = StorageUnavailable(f"not reached, or not in {self._settings.total_s:g} s")
        return {url: answers.get(url, late) for url in items}

    async def _check(self, replica: Replica) -> Checked:
        try:
            where = parse_at(replica.url, "https", self._host)
        except JobError as e:
            return Checked(Finding.MISSING, str(e))
        url = f"https://{where.where}{where.path}"
        wanted = WANT_ADLER32 if replica.adler32 else WANT_MD5
        answer = await self._followed("HEAD", url, wanted, lambda _: True)
        if answer.status in NO_CHECKSUMS:
            answer = await self._followed("HEAD", url, {}, lambda _: True)
        if answer.status in GONE:
            return Checked(Finding.MISSING, str(answer))
        if answer.status != 200 or not answer.headers.get("content-length", "").isdecimal():
            raise StorageUnavailable(_refusal(answer))
        digests = (from_header(answer.headers.get(name, "")) for name in ("digest", "repr-digest"))
        stored = {algorithm: value for found in digests for algorithm, value in found.items()}
        return judge(replica, int(answer.headers["content-length"]), stored)

    async def _remove(self, url: str) -> ActError | None:
        """DELETE of a directory takes all that is in it along, so the storage is asked first what this is."""
        prefixes = self._settings.removable
        if not removable(url, prefixes):
            return forbidden(url)
        try:
            where = parse_at(url, "https", self._host)
        except JobError as e:
            return e
        target = f"https://{where.where}{where.path}"

        def allowed(to: str) -> bool:  # what storages add behind the path of a redirect is a pass, not a name
            return removable(to.partition("?")[0], prefixes)

        answer = await self._followed("PROPFIND", target, {"Depth": "0"}, allowed)
        if answer.status in GONE:
            return None
        if answer.status == 207 and _is_directory(answer):
            return JobError(f"{url} is not removed: it is a directory")
        if answer.status not in (200, 207, *NO_WEBDAV):
            raise StorageUnavailable(_refusal(answer))
        answer = await self._followed("DELETE", target, {}, allowed)
        if answer.status in (200, 202, 204, *GONE):
            return None
        if answer.status in (*FORBIDDEN, 408, 423, 429) or not 400 <= answer.status < 500:
            raise StorageUnavailable(_refusal(answer))
        return JobError(f"{url} is not removed: {answer}")

    async def _followed(
        self, method: str, url: str, headers: Mapping[str, str], allowed: Callable[[str], bool]
    ) -> _Answer:
        for _ in range(HOPS):
            answer = await self._request(method, url, headers)
            if answer.status not in REDIRECTS:
                return answer
            url = _target(answer)
            if not allowed(url):
                raise StorageUnavailable(f"{answer} sends us to {url}, where we do not go with {method}")
        raise StorageUnavailable(f"{answer} sends us on and on")

    async def _request(self, method: str, url: str, headers: Mapping[str, str]) -> _Answer:
        """One request and its complete answer; once more if a connection that was kept turns out to be closed."""
        fields = {**BASE_HEADERS, **headers}
        if self._token and urlsplit(url).netloc == self._host:
            fields["Authorization"] = f"Bearer {self._token}"
        try:
            async with asyncio.timeout(self._settings.connect_s + self._settings.read_s):
                try:
                    return await self._exchange(method, url, fields)
                except (httpcore.RemoteProtocolError, httpcore.WriteError, httpcore.ReadError):
                    return await self._exchange(method, url, fields)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as e:
            raise _NoAnswer(f"no answer to {method} {url[:200]}: {_reason(e)}") from e

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> _Answer:
        limits = {"connect": self._settings.connect_s, "read": self._settings.read_s, "write": self._settings.read_s}
        async with self._pool.stream(method, url, headers=[*headers.items()], extensions={"timeout": limits}) as answer:
            body = bytearray()
            async for piece in answer.aiter_stream():
                body += piece
                if len(body) > LONGEST_ANSWER:
                    raise httpcore.RemoteProtocolError(f"answer exceeds {LONGEST_ANSWER} bytes")
            fields: dict[str, str] = {}
            for raw, value in answer.headers:
                name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
                fields[name] = f"{fields[name]},{text}" if name in fields else text
            return _Answer(url, answer.status, fields, bytes(body))


def _target(answer: _Answer) -> str:
    """Where a redirect leads to: to another https URL."""
    location = answer.headers.get("location", "")
    try:
        url = urljoin(answer.url, location)
        parse(url)
    except (ValueError, JobError) as e:
        raise StorageUnavailable(f"{answer} sends us to '{location[:200]}', which is no URL") from e
    if not url.startswith("https://"):
        raise StorageUnavailable(f"{answer} sends us to {url}, which is not https")
    return url


def _is_directory(answer: _Answer) -> bool:
    try:
        tree = etree.fromstring(answer.body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as e:
        raise StorageUnavailable(f"{answer} is not WebDAV: {e}") from e
    return tree.find(".//{DAV:}collection") is not None


def _refusal(answer: _Answer) -> str:
    if answer.status in FORBIDDEN:
        return f"{answer}: it does not let us in there; see whether the credential has the right attributes"
    if answer.status == 200:
        return f"{answer} that does not say how large the file is"
    return str(answer)


def _reason(error: BaseException) -> str:
    """In words, with what lies behind it: TLS says there what was wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is bad: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return f"it does not accept our certificate: {cause}"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__} {error}".strip()
