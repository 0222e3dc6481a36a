"""Proxies and tokens of the tower that have run out, or that nobody renews. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from act.alarms.alarm import Alarm, Severity
from act.config import ProxySource
from act.db.engine import AnyRow
from act.explain.credential import unrenewed, unusable
from act.explain.moment import Moment
from act.explain.words import span

WHY = "'actctl daemon proxy --once' tells why"
HOUR_S = 3600.0
PROXY_LEFT = 0.5  # of what is left when a proxy is to be renewed: it should never come down to that
TOKEN_LEFT = 0.25  # of the life of a token, the same


def of_credentials(moment: Moment) -> Iterator[Alarm]:
    """Of the roles and CEs of the configuration; what people hand over is theirs."""
    roles = {row.role: row for row in moment.proxies.values()}
    for source in moment.config.proxies.proxy:
        name = f"proxy of role '{source.role}'"
        yield from _credential(moment, roles.get(source.role), source.role, name, proxy_left(source))
    for url in sorted({ce.url.rstrip("/") for ce in moment.config.ces.ce if ce.token is not None}):
        yield from _credential(moment, moment.tokens.get(url), url, f"token for {url}", TOKEN_LEFT)


def proxy_left(source: ProxySource) -> float:
    """The share of its life that a proxy of this source should never come down to."""
    return PROXY_LEFT * source.renew_below_h / source.lifetime_h


def _credential(moment: Moment, row: AnyRow | None, about: str, name: str, least: float) -> Iterator[Alarm]:
    """least: the share of its life that it should never come down to."""
    now = moment.now
    if over := unusable(row, name, now):
        yield Alarm("credential_expired", Severity.CRITICAL, about, over, WHY)
        return
    assert row is not None
    wrong, left_s = unrenewed(row, name, now), row.expires - now
    if left_s < min(moment.config.alarms.credential_h * HOUR_S, least * (row.expires - row.issued)):
        text = wrong or f"the {name} is good for {span(left_s)} only, and nobody has renewed it"
        yield Alarm("credential_expiring", Severity.CRITICAL, about, text, WHY)
    elif wrong:
        yield Alarm("credential_not_renewed", Severity.WARNING, about, wrong, WHY)
