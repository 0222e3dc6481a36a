"""How a credential is, in words: rows of ``proxies`` and ``tokens``, None where there is none yet. Pure."""

from __future__ import annotations

from act.db.engine import AnyRow
from act.explain.words import ago, span


def unusable(row: AnyRow | None, name: str, now: float) -> str:
    """Why a credential cannot be used; "" if it can."""
    if row is None:
        return f"there is no {name} yet: 'actctl daemon proxy --once' tells why"
    if row.expires > now:
        return ""
    if not row.expires:  # the row is there for its error only
        return f"there is no {name}: {row.error}"
    text = f"the {name} ran out {ago(row.expires, now)}"
    return f"{text}; it cannot be renewed: {row.error}" if row.error else text


def unrenewed(row: AnyRow, name: str, now: float) -> str:
    """What will come of a credential that still can be used, as it cannot be renewed; "" if all is well."""
    if not row.error:
        return ""
    return f"the {name}, good for {span(row.expires - now)}, cannot be renewed: {row.error}"
