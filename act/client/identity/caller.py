"""Who speaks in one request, what they have proven, and the groups that they are in by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from act.authorities import same_spelling
from act.client.identity.errors import Forbidden
from act.config import Users
from act.voms import short


@dataclass(frozen=True, slots=True)
class Caller:
    """Who speaks in one request.

    issuer and subject: of the certificate in slash form, or iss and sub of the token. groups: names of users/group,
    at least one. proxy_id: the credential that new jobs act with, None if there is none. expires: when what they came
    with ends, epoch seconds. session: its id, "" for an issuer's token.
    """

    user_id: int
    issuer: str
    subject: str
    groups: frozenset[str]
    proxy_id: int | None
    expires: float
    session: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody has proven of themselves. token: issuer and subject are those of a token, not of a certificate.

    fqans: VOMS attributes that were verified. token_groups: of the token's wlcg.groups.
    """

    issuer: str
    subject: str
    token: bool = False
    fqans: tuple[str, ...] = ()
    token_groups: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a row that holds issuer and subject elsewhere."""
        return {"token": self.token, "fqans": list(self.fqans), "token_groups": list(self.token_groups)}

    @classmethod
    def of_json(cls, issuer: str, subject: str, data: Mapping[str, Any]) -> Proof:
        """What `as_json` has made."""
        return cls(issuer, subject, data["token"], tuple(data["fqans"]), tuple(data["token_groups"]))


def groups_of(users: Users, proof: Proof, doubts: tuple[str, ...] = ()) -> frozenset[str]:
    """The groups that somebody is in, by what the configuration says now.

    doubts: why some of what they came with does not count. Raises Forbidden if there is no group.
    """
    found = frozenset(
        group.name
        for group in users.group
        if any(within(fqan, short(pattern)) for fqan in proof.fqans for pattern in group.fqan)
        or any(_is_subject(proof, pattern) for pattern in group.subject)
        or any(within(name, pattern) for name in proof.token_groups for pattern in group.token_group)
        or (proof.token and proof.issuer in group.issuer)
    )
    if found:
        return found
    has = ", ".join(proof.token_groups if proof.token else proof.fqans) or "no attributes of a VO"
    told = f" Not believed: {'; '.join(doubts)}." if doubts else ""
    advice = "get a token with your groups" if proof.token else "make a proxy with attributes of your VO"
    raise Forbidden(
        f"You are {proof.subject} with {has}, and in no group that may use this tower.{told} Please {advice}, or ask "
        "the tower's operators to let you in"
    )


def within(name: str, pattern: str) -> bool:
    """Whether a group or attribute is what a pattern says, or below it."""
    return name == pattern or name.startswith(f"{pattern.rstrip('/')}/")


def _is_subject(proof: Proof, pattern: str) -> bool:
    """A name in slash form is a certificate's: no issuer of tokens can make somebody pass for its owner."""
    if pattern.startswith("/"):
        return not proof.token and same_spelling(pattern) == same_spelling(proof.subject)
    return proof.token and pattern == proof.subject
