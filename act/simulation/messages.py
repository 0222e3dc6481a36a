"""What passes between a simulator and the server that carries it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self


@dataclass
class Request:
    """One request, its body already received. ``headers`` have lower-case names; ``identity`` is None without a
    client certificate, else its subject as ``/O=../CN=..`` without the CNs that proxies add."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    stream: IO[bytes]
    identity: str | None = None

    @property
    def body(self) -> bytes:
        """The whole body."""
        self.stream.seek(0)
        return self.stream.read()

    def one(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass
class Response:
    """An answer; a body that is a path is sent from that file. ``reason`` replaces the status's usual phrase."""

    status: int = 200
    body: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Self:
        """An answer with ``value`` as JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def identity(peer: Mapping[str, Any] | None) -> str | None:
    """The subject of the end-entity certificate behind a peer's certificate, as ``/O=../CN=..``."""
    if not peer:
        return None
    short = {"organizationName": "O", "organizationalUnitName": "OU", "commonName": "CN", "domainComponent": "DC",
             "countryName": "C"}  # fmt: skip
    parts = [f"/{short.get(key, key)}={value}" for rdn in peer["subject"] for key, value in rdn]
    while len(parts) > 1 and re.fullmatch(r"/CN=(\d+|(limited )?proxy)", parts[-1]):
        parts.pop()
    return "".join(parts)
