"""Templates -> HTML. All that a template is given is escaped; nothing in a page is a script or a style of its own.

Every template is also given: ``root`` (the URL that all pages are below), ``now`` (seconds, UTC), ``operator`` (whether
this reader may change things), ``who`` (their name, "" for strangers), ``csrf`` (what forms bring back), ``static``
(the page stands alone, without a server: no links, no forms).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from act.db.hosts import Disk
from act.db.orders import LIMITS
from act.explain import words
from act.pages import plots
from act.pages.overview import RATES, SHOWN

ROOT = "/status"
# States in which somebody suffers, those that are on the way, and those that went well; all others are neutral.
_BAD = frozenset({"failed", "donefailed", "lost", "toresubmit", "torerun", "broken"})
_WARN = frozenset({"holding", "tocancel", "cancelling", "cancelled", "donecancelled", "tobekilled", "quarantined"})
_GOOD = frozenset({"finished", "done", "archived"})
_RUNNING = frozenset({"running", "finishing", "transferring"})
_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def render(template: str, *, now: float, **context: Any) -> str:
    """One page. Raises UndefinedError for what a template needs and is not given."""
    given = {"root": ROOT, "operator": False, "who": "", "csrf": "", "static": False, "live": False, **context}
    return _environment().get_template(template).render(now=now, **given)


def asset(name: str) -> str:
    """The text of a file that pages refer to."""
    return (resources.files("act.pages") / "static" / name).read_text()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("act.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "span": words.span, "clock": words.clock, "ago": words.ago, "ahead": words.ahead, "tone": tone,
        "short_s": short_s, "percent": percent, "bytes": size, "order_phrase": order_phrase, "number": number,
        "disk": disk,
    }  # fmt: skip
    made.globals |= {
        "shown": SHOWN, "rates": RATES, "stacked": plots.stacked, "lines": plots.lines,
        "style": lambda: Markup(asset("act.css")),
    }  # fmt: skip
    return made


def tone(state: str) -> str:
    """good, run, warn, bad or plain: what a state means to people."""
    for name, states in (("bad", _BAD), ("warn", _WARN), ("good", _GOOD), ("run", _RUNNING)):
        if state in states:
            return name
    return "plain"


def short_s(seconds: float) -> str:
    """``8 ms``, ``1.3 s``, ``2 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else words.span(seconds)


def percent(part: float) -> str:
    """``0 %``, ``0.4 %``, ``12 %``, of 0 to 1."""
    return f"{part * 100:.1f} %" if 0 < part < 0.0995 else f"{part * 100:.0f} %"


def size(n: float) -> str:
    """``12 kB``; of bytes."""
    for unit, factor in _UNITS:
        if n >= factor:
            return f"{n / factor:.{1 if n < 10 * factor else 0}f} {unit}"
    return f"{n:.0f} bytes"


def number(n: float) -> str:
    """``12 345``; thousands apart, as people read them."""
    return f"{n:,.0f}".replace(",", "\u202f")


def disk(one: Disk) -> str:
    """``/var/lib/act: 12.3 GB free (40 %)``."""
    part = one.free_mb / one.total_mb if one.total_mb else 0.0
    return f"{one.path}: {one.free_mb / 1000:.1f} GB free ({part * 100:.0f} %)"


def order_phrase(order: Any) -> str:
    """A row of ``orders`` in a few words."""
    phrases = {"drain": "draining", "pause": "paused", "probe": "one job at a time"}
    return f"{order.what} {order.value}" if order.what in LIMITS else phrases.get(order.what, str(order.what))
