"""Proxies and tokens: how long they are good, what they say, and what they are made of. Pure but for the sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from act.config import CoreConfig, ProxySource
from act.db.engine import AnyRow
from act.doctor.check import Check, Examination, bad, good, unchecked, warning
from act.doctor.facts import Facts
from act.explain.words import ago, span
from act.x509 import UNREADABLE

WHY = "'actctl daemon proxy --once' tells why"
SOON_S = 14 * 86400.0
LATE = 0.5  # of the share of its life after which a proxy should have been renewed


def proxies(config: CoreConfig, facts: Facts) -> Iterator[Check]:
    """One for each role of the tower."""
    if not config.proxies.proxy:
        todo = "configure proxies/proxy, unless only people with proxies of their own submit here"
        yield unchecked("proxies", "no role is configured", todo)
    for source in config.proxies.proxy:
        yield proxy(source, facts.proxies.get(source.role), facts.now)


def proxy(source: ProxySource, row: AnyRow | None, now: float) -> Check:
    """The proxy of a role, as it is in the database."""
    what = f"proxy {source.role}"
    if row is None:
        return bad(what, "not made yet", WHY)
    if row.expires <= now:
        return bad(what, _over(row, now), WHY)
    left = row.expires - now
    told = f"{row.identity}, good for {span(left)}"
    attributes = row.fqans.split("\n") if row.fqans else []
    told += f", {attributes[0]}" if attributes else ""
    if row.error:
        return warning(what, f"{told}; cannot be renewed: {row.error}", WHY)
    if source.fqan and not any(a == source.fqan or a.startswith(f"{source.fqan}/Capability") for a in attributes):
        return warning(what, f"{told}; has not {source.fqan}", WHY)
    if left < LATE * (row.expires - row.issued) * source.renew_below_h / source.lifetime_h:
        return warning(what, f"{told}; should have been renewed", "does the daemon 'proxy' run?")
    return good(what, told)


def tokens(config: CoreConfig, facts: Facts) -> Iterator[Check]:
    """One for each CE that takes a token."""
    for url in sorted({ce.url.rstrip("/") for ce in config.ces.ce if ce.token is not None}):
        row, what = facts.tokens.get(url), f"token for {url}"
        if row is None:
            yield bad(what, "none yet", WHY)
        elif row.expires <= facts.now:
            yield bad(what, _over(row, facts.now), WHY)
        elif row.error:
            yield warning(what, f"good for {span(row.expires - facts.now)}; cannot be renewed: {row.error}", WHY)
        else:
            yield good(what, f"{row.identity}, good for {span(row.expires - facts.now)}")


def _over(row: AnyRow, now: float) -> str:
    told = f"ran out {ago(row.expires, now)}" if row.expires else "never came"
    return f"{told}: {row.error}" if row.error else told


def sources(config: CoreConfig, now: float) -> Iterator[Examination]:
    """The certificates that proxies are made of, and that of the web server."""
    made_of = [(f"source of role {p.role}", p.source_cert) for p in config.proxies.proxy]
    for what, path in (*made_of, ("web certificate", config.web.certificate)):
        if path is not None:
            yield Examination(what, lambda what=what, path=path: [certificate(what, path, now)])  # type: ignore[misc]


def certificate(what: str, path: Path, now: float) -> Check:
    """How long the certificate in a file is good."""
    todo = f"get a new one, and put it into {path}"
    try:
        first = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except UNREADABLE as error:
        return bad(what, f"{path} holds no certificate: {error}", todo)
    ends, begins = first.not_valid_after_utc.timestamp(), first.not_valid_before_utc.timestamp()
    told = f"{path}: good for {span(ends - now)}"
    if ends <= now:
        return bad(what, f"{path} expired {ago(ends, now)}", todo)
    if ends - now < min(SOON_S, (ends - begins) / 4):
        return warning(what, told, todo)
    return good(what, told)
