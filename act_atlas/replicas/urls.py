"""URLs of files on storage elements: which host they are at, and whether a file may be removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from act.errors import JobError

# Names of the same protocol -> the one that is used here.
ALIASES = {"davs": "https", "xroot": "root", "xroots": "roots"}
PORTS = {"https": 443, "http": 80, "dav": 80, "root": 1094, "roots": 1094, "srm": 8443, "gsiftp": 2811}
LONGEST = 4096
LONGEST_HOST = 245  # with its port it stands in a column of the database

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]*)(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[\x21-\x7e]*)",
    re.IGNORECASE | re.ASCII,
)
# Characters that mean nothing special to any server, and no escapes: what is compared is what the storage takes it for.
_PLAIN = re.compile(r"[A-Za-z0-9_.+=:@,~-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file is. scheme: without aliases; port: 0 if there is none; path: as in the URL, from the first slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def where(self) -> str:
        """host:port, or "file"."""
        return f"{self.host}:{self.port}" if self.port else self.host or self.scheme

    @property
    def segments(self) -> tuple[str, ...] | None:
        """The names that lead to the file, or None if there is anything in the path but plain names."""
        path = self.path.removeprefix("/") if self.scheme in ("root", "roots") else self.path  # root://host//path
        names = tuple(path.split("/"))[1:]
        plain = path.startswith("/") and all(_PLAIN.fullmatch(n) and n not in (".", "..") for n in names)
        return names if plain else None


def parse(url: str) -> Location:
    """Raises JobError for what is no URL of a file."""
    match = _URL.fullmatch(url) if len(url) <= LONGEST else None
    if match is None:
        raise JobError(f"'{url[:200]}' is no URL of a file (scheme://host:port/path)")
    scheme = match["scheme"].lower()
    scheme = ALIASES.get(scheme, scheme)
    host, port = match["host"].lower(), int(match["port"] or PORTS.get(scheme, 0))
    local = scheme == "file"
    if (host not in ("", "localhost") or match["port"]) if local else not 0 < len(host) <= LONGEST_HOST or port > 65535:
        raise JobError(f"'{url[:200]}' names no possible host")
    return Location(scheme, "" if local else host, port, match["path"])


def parse_at(url: str, scheme: str, host: str) -> Location:
    """As `parse`; raises JobError also for a URL that is not of the protocol and host (`Location.where`) given."""
    location = parse(url)
    if (location.scheme, location.where) != (scheme, host):
        raise JobError(f"'{url[:200]}' is not at {scheme}://{host}")
    return location


def host_of(url: str) -> str:
    """The storage that work is grouped by: host:port, or "file". Raises JobError for what is no URL of a file."""
    return parse(url).where


def scheme_of(url: str) -> str:
    """The protocol of a URL, without aliases: https for davs. Raises JobError for what is no URL of a file."""
    return parse(url).scheme


def removable(url: str, prefixes: Iterable[str]) -> bool:
    """Whether a URL is below one of the prefixes: same protocol, host and port, and all its names and more.

    Never true for a URL with anything out of the ordinary in it: escapes, ``..``, empty names, a query, a user.
    """
    return prefix_of(url, prefixes) is not None


def prefix_of(url: str, prefixes: Iterable[str]) -> Location | None:
    """The prefix that makes a URL removable."""
    try:
        file = parse(url)
    except JobError:
        return None
    names = file.segments
    for prefix in map(parse_prefix, prefixes):
        above = prefix.segments
        same = (prefix.scheme, prefix.host, prefix.port) == (file.scheme, file.host, file.port)
        if same and names and above and len(names) > len(above) and names[: len(above)] == above:
            return prefix
    return None


def parse_prefix(url: str) -> Location:
    """The directory that a prefix names. Raises JobError for one that could stand for more than a directory."""
    prefix = parse(url.removesuffix("/"))
    if not prefix.segments:
        raise JobError(f"'{url[:200]}' is no prefix (scheme://host:port/directory/, of plain names)")
    return prefix
