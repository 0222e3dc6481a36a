"""Who is asking: client certificates, bearer tokens, and the production role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from act.simulation import Request


class Forbidden(Exception):
    """The request is answered 403 with this text."""


@dataclass(frozen=True)
class Caller:
    """dn is "" for somebody without credential; name: what the histories of jobs call them."""

    dn: str
    production: bool
    name: str


@dataclass(frozen=True)
class Access:
    """Rules of admission. roles_required False: everybody may do everything.

    production_dns: parts of subjects that have the production role. tokens: bearer token -> group "<vo>/<role>".
    """

    roles_required: bool = False
    production_dns: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)

    def caller(self, request: Request) -> Caller:
        """The one behind a request. Raises Forbidden for a bad token."""
        agent = request.headers.get("user-agent", "unknown").split("/")[0]
        authorization = request.headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            group = self._group(authorization.removeprefix("Bearer "), request.headers.get("origin", ""))
            return Caller(f"/CN=token of {group}", not self.roles_required or group.endswith("/production"), agent)
        dn = request.identity or ""
        production = bool(dn) and any(known in dn for known in self.production_dns)
        return Caller(dn, production or not self.roles_required, agent)

    def _group(self, token: str, origin: str) -> str:
        """A token counts only with the Origin that names its group."""
        if not origin:
            raise Forbidden("ERROR : Token authentication failed. Origin is missing in the HTTP header")
        group = self.tokens.get(token)
        if group is None:
            raise Forbidden("ERROR : Token authentication failed. Invalid token. Signature verification failed")
        if origin.replace(":", ".") != group.replace("/", "."):
            raise Forbidden(f"ERROR : Token authentication failed. {origin} is not in the token's groups")
        return group
