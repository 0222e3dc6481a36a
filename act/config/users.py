"""Who may submit jobs of their own, where to, and how much."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from act.xmlconfig import ConfigPath, Count, Seconds, Section, distinct


class UserCE(Section):
    """A CE queue that users may choose. name: what they call it; url and queue: as the tower knows it."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.+-]+$")
    url: str = Field(min_length=1)
    queue: str = ""
    flavour: str = Field(min_length=1)

    @property
    def location(self) -> str:
        """The CE queue in the form in which it is also known to users: ``https://host:port/queue``."""
        parts = urlsplit(self.url if "://" in self.url else f"https://{self.url}")
        return f"https://{parts.hostname}:{parts.port or 443}/{self.queue}"


class Quota(Section):
    """What one user may have in the tower at a time. max_mb: uploaded inputs and kept results together."""

    max_jobs: Count = 100_000
    max_files: Count = 1_000_000
    max_mb: Count = 100_000


class Group(Section):
    """Users who may use some of the CEs. Somebody belongs to each group that one of the patterns fits.

    fqan: a VOMS attribute that the proxy has, with all below it; subject: of the certificate or token, literally;
    token_group: in the token's wlcg.groups, with all below it; issuer: of tokens, with any subject.
    ce: names of users/ce; none: all of them. role: of the tower's proxy that jobs act with whose owner came with a
    token and left no proxy; empty: such members must leave one.
    """

    name: str = Field(min_length=1, max_length=100)
    fqan: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    token_group: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    ce: tuple[str, ...] = ()
    role: str = ""
    quota: Quota = Quota()

    @model_validator(mode="after")
    def _somebody(self) -> Group:
        if not (self.fqan or self.subject or self.token_group or self.issuer):
            raise ValueError(f"group {self.name} has no members: give it an fqan, subject, token_group or issuer")
        return self


class Issuer(Section):
    """An issuer of tokens that people may come with. url: as in their ``iss``; audience: one that they must have.

    jwks_url: where its keys are; empty: what its OpenID configuration says. token_group: the groups that it is believed
    about, with all below them; none: all of them, which is for a single issuer.
    """

    url: str = Field(pattern="^https://.+$")
    audience: str = Field(min_length=1)
    jwks_url: str = Field("", pattern="^(https://.+)?$")
    token_group: tuple[str, ...] = ()


class Users(Section):
    """Jobs that people submit by themselves.

    begun_s: how long a submission may take, from its first to its last step. keep_days: how long an ended job is kept,
    with its results. voms_dir: the VOMS servers that are believed, as grid software knows them (vomsdir).
    proxy_min_s: a proxy must have so much left to be taken.
    """

    ce: tuple[UserCE, ...] = ()
    group: tuple[Group, ...] = ()
    issuer: tuple[Issuer, ...] = ()
    begun_s: Seconds = 3600
    keep_days: float = Field(30, gt=0)
    max_file_mb: Count = 1000
    max_inputs: Count = 1000
    max_description_kb: Count = 200
    voms_dir: ConfigPath = Path("/etc/grid-security/vomsdir")
    proxy_min_s: Seconds = 600

    @model_validator(mode="after")
    def _consistent(self) -> Users:
        distinct("ce", (ce.name for ce in self.ce))
        distinct("group", (group.name for group in self.group))
        distinct("issuer", (issuer.url for issuer in self.issuer))
        known = {ce.name for ce in self.ce}
        for group in self.group:
            if unknown := sorted(set(group.ce) - known):
                raise ValueError(f"group {group.name}: there is no users/ce named {', '.join(unknown)}")
        return self

    def ces_of(self, groups: frozenset[str] | set[str]) -> tuple[UserCE, ...]:
        """The CE queues that members of these groups may choose."""
        mine = [g for g in self.group if g.name in groups]
        if any(not g.ce for g in mine):
            return self.ce
        allowed = {name for g in mine for name in g.ce}
        return tuple(ce for ce in self.ce if ce.name in allowed)

    def quota_of(self, groups: frozenset[str] | set[str]) -> Quota:
        """The most that any of these groups grants."""
        mine = [g.quota for g in self.group if g.name in groups]
        return Quota(**{n: max((getattr(q, n) for q in mine), default=1) for n in Quota.model_fields})
