"""The web server: where it listens, with which certificate, and what its sessions and requests may take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from act.xmlconfig import ConfigPath, Count, Network, Seconds, Section


class Operator(Section):
    """Who may change things on the pages. subject: of the certificate or token; issuer: of the token, "" for
    certificates."""

    subject: str = Field(min_length=1)
    issuer: str = ""


_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


class Web(Section):
    """``actctl web``. Without a certificate it speaks plain HTTP, on loopback only, to a web server before it.

    secret_file: the key that signs sessions, the same on all hosts. session_h: how long a session lasts at most, and
    never longer than the credential it came with. handover_s: how long the hand-over of a proxy may take.
    header_s: until the head of a request must be there; stall_s: without a byte of its body.
    pages: who may read the status pages: ``open`` to everybody who reaches them, ``login`` to operators, or ``off``.
    forwarder: the addresses (or networks) of web servers before this one: whose request it is they tell.
    """

    bind: str = Field("127.0.0.1:8080", pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")
    certificate: ConfigPath | None = None
    key: ConfigPath | None = None
    secret_file: ConfigPath = Path("var/state/web.key")
    processes: Count = 2
    threads: Count = 32
    session_h: float = Field(12, gt=0)
    handover_s: Seconds = 600
    header_s: Seconds = 10
    stall_s: Seconds = 30
    pages: Literal["open", "login", "off"] = "login"
    operator: tuple[Operator, ...] = ()
    forwarder: tuple[Network, ...] = ()

    @model_validator(mode="after")
    def _safe(self) -> Web:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.certificate is None and self.bind.rpartition(":")[0] not in _LOOPBACK:
            raise ValueError(f"without certificate and key it may listen on loopback only, not on {self.bind}")
        return self
