"""Orders in words."""

from __future__ import annotations

from act.db.engine import AnyRow
from act.db.orders import Kind, Order, What
from act.explain.story import Hold, Why
from act.explain.words import clock


def phrase(order: Order | AnyRow) -> str:
    """An order, without what it is about, why and until when."""
    return {
        What.DRAIN: "takes no new jobs",
        What.PAUSE: "is left alone" if order.kind == Kind.CE else "gives no jobs to CEs",
        What.PROBE: "gets one job at a time",
        What.MAX_WAITING: f"has at most {order.value} waiting",
        What.MAX_JOBS: f"has at most {order.value} jobs",
    }[What(order.what)]


def describe(row: AnyRow) -> str:
    """A row of orders for people, without what it is about."""
    return f"{phrase(row)}{until(row.until)} ({row.who}: {row.why})"


def until(end: float | None) -> str:
    """When an order ends, as the end of a sentence."""
    return f" until {clock(end)} UTC" if end is not None else ""


def hold(about: str, row: AnyRow) -> Hold:
    """An order that is in the way. about: what it is given for, in words."""
    return Hold(Why.ORDER, f"{about} {describe(row)}", row.until, "the order ends")
