"""When a CE queue is a black hole, and when it is none any more. Pure: ends in, reasons out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from act.config import Guard
from act.db.ends import End
from act.explain.words import span

ON_ONE_NODE = 0.8  # share of those that failed fast


def black_hole(ends: Sequence[End], rules: Guard) -> str:
    """Why a CE queue at which attempts ended like this, the latest last, is a black hole; "" if it is none."""
    window = ends[-rules.window :]
    bad = [end for end in window if failed_fast(end, rules)]
    if len(bad) < rules.least or len(bad) < rules.bad * len(window):
        return ""
    told = f"{len(bad)} of its last {len(window)} jobs failed after less than {span(rules.short_s)} of running"
    node, n = Counter(end.node for end in bad).most_common(1)[0]
    return f"{told}, {n} of them on node {node}" if node and n >= ON_ONE_NODE * len(bad) else told


def recovered(ends: Sequence[End], rules: Guard) -> bool:
    """Whether a black hole is none any more. ends: of attempts that it was given since it was found to be one."""
    last = ends[-rules.probes :]
    return len(last) == rules.probes and not any(failed_fast(end, rules) for end in last)


def failed_fast(end: End, rules: Guard) -> bool:
    """It failed, and was not seen to have run for long."""
    return not end.good and (end.ran_s is None or end.ran_s < rules.short_s)
