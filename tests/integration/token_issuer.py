"""An issuer of tokens, a tower that trusts it, and who comes with its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from act.config import CoreConfig, Group, Issuer
from act.simulation import Request, Response
from act.simulation.issuer import OidcSimulator
from tests.integration.handing_over import bearer
from tests.people import People, users_config

AUDIENCE = "https://act.example.org"
GROUPS = (
    Group(name="atlas", fqan=("/atlas",)),
    Group(name="experts", token_group=("/atlas/experts",), role="robot"),
    Group(name="named", subject=("0000-1111", "/O=Grid/O=aCT/CN=alice")),
)


class CountingIssuer(OidcSimulator):
    """Counts how often its keys are asked for. published: the keys it tells, if not its own."""

    asked = 0
    published: object = None

    def handle(self, request: Request) -> Response:
        if request.path == "/jwks":
            self.asked += 1
            if self.published is not None:
                return Response.json(self.published)
        return super().handle(request)


def trusting(people: People, directory: Path, issuer_url: str) -> CoreConfig:
    """Of a tower that knows people by their proxies and by tokens of this issuer."""
    return users_config(people, directory, group=GROUPS, issuer=(Issuer(url=issuer_url, audience=AUDIENCE),))


def visit(issuer: CountingIssuer, subject: str = "0000-1111", lifetime_s: float = 600, **claims: Any) -> str:
    """The header of somebody who comes with a token."""
    return bearer(issuer.keys.sign(subject, lifetime_s, **{"aud": AUDIENCE} | claims))
