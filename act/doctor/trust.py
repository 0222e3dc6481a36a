"""Whom we trust: the directory of CAs, and their revocation lists."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from act.authorities import Authorities, Authority
from act.config import CoreConfig
from act.doctor.check import Check, bad, good, warning
from act.explain.words import ago, some

SHOWN = 3
SOON_S = 86400.0


def look(config: CoreConfig) -> Iterator[Check]:
    """At ca_dir. Raises ConfigError if it cannot be read."""
    found = Authorities(config.ca_dir).survey()
    where, now = str(config.ca_dir), time.time()
    if not found:
        yield bad("CA directory", f"{where} holds no CA", "install the CA certificates, or correct ca_dir")
        return
    ended = [a for a in found if a.ends <= now]
    told = f"{where}: {some(len(found), 'CA')}"
    if ended:
        todo = "install a newer distribution of CA certificates"
        yield warning("CA directory", f"{told}, {len(ended)} of them expired: {_names(ended)}", todo)
    else:
        yield good("CA directory", told)
    yield revocation(found, now, people=bool(config.users.group))


def revocation(found: Sequence[Authority], now: float, *, people: bool) -> Check:
    """The revocation lists. people: some come with certificates, which are checked against them."""
    worse = bad if people else warning
    todo = "run fetch-crl, and see that its timer or cron job is on"
    broken = [a for a in found if a.trouble]
    over = [a for a in found if a.crl_ends is not None and a.crl_ends <= now]
    if broken:
        return worse("revocation lists", f"useless: {_names(broken)}: {broken[0].trouble}", todo)
    if over:
        last = min(a.crl_ends or now for a in over)
        told = f"{some(len(over), 'list')} ran out, the first {ago(last, now)}: {_names(over)}"
        return worse("revocation lists", f"{told}; certificates of these CAs are refused", todo)
    soon = [a for a in found if a.crl_ends is not None and a.crl_ends <= now + SOON_S]
    if soon:
        return warning("revocation lists", f"{some(len(soon), 'list')} run out within a day: {_names(soon)}", todo)
    having = sum(a.has_crl for a in found)
    if not having and people:
        return warning("revocation lists", "there are none, so nobody's revocation is noticed", todo)
    if not having:
        return good("revocation lists", "there are none, and nobody comes with a certificate")
    return good("revocation lists", f"{having} of {some(len(found), 'CA')} have one, all in force")


def _names(found: Sequence[Authority]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(a.name for a in found[:SHOWN]) + more
