"""Pages of queues, CEs and users, and the orders that operators give there. Thin: parse, read, show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Response, request
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from act.db import situation
from act.db.orders import Kind
from act.explain.moment import Moment
from act.interfaces import Application, plugins
from act.pages import acting, ces, queues, users
from act.pages.jobs import LONGEST
from act.web.desk import Desk

ORDER_FIELDS = ("kind", "name", "queue", "what", "value", "until", "why")


class Places:
    """Its public methods are views."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.get("/queues", self.queues)
        desk.get("/queues/<path:name>", self.queue)
        desk.get("/ces", self.ces)
        desk.get("/ces/<int:ce_id>", self.ce)
        desk.get("/users", self.users)
        desk.post("/orders", self.give)
        desk.post("/orders/end", self.take_back)

    def queues(self) -> Response:
        """All queues by the states of their jobs."""
        return self._desk.show(
            "queues.html", self._desk.read(lambda c, _: queues.listing(c, applications())), live=True
        )

    def queue(self, name: str) -> Response:
        """One queue: why it gets jobs or not."""
        found = self._desk.read(lambda c, moment: queues.page(c, moment, applications(), name))
        if found is None:
            raise NotFound(f"No queue '{name}' is known here.")
        return self._desk.show("queue.html", found)

    def ces(self) -> Response:
        """All CEs by the states of their attempts."""
        return self._desk.show("ces.html", self._desk.read(ces.listing), live=True)

    def ce(self, ce_id: int) -> Response:
        """One CE: how it answers, and what is there."""
        found = self._desk.read(lambda c, moment: ces.page(c, moment, ce_id))
        if found is None:
            raise NotFound("There is no such CE.")
        return self._desk.show("ce.html", found, there=ces.THERE)

    def users(self) -> Response:
        """Who has jobs here."""
        text, after = request.args.get("text", "")[:200], request.args.get("after", "0")
        first = int(after) if after.isdecimal() and len(after) < 19 else 0

        def read(connection: Connection, moment: Moment) -> tuple[users.Users, float]:
            return users.listing(connection, text, first), moment.now

        found, now = self._desk.read(read)
        return self._desk.show("users.html", found, now=now)

    def give(self) -> Response:
        """An order: what it would change at first, and then, when that was seen, what it did."""
        who, form = self._desk.operator(), order_form()
        sure = "sure" in request.form
        told = self._desk.write("order", lambda c: acting.give(c, self._desk.config, form, who, dry_run=not sure))
        return self._told(told, form, "/orders", done=sure, end=False)

    def take_back(self) -> Response:
        """The end of an order, in the same two steps."""
        who, form = self._desk.operator(), order_form()
        sure = "sure" in request.form
        told = self._desk.write("order", lambda c: acting.take_back(c, form, who, dry_run=not sure))
        return self._told(told, form, "/orders/end", done=sure, end=True)

    def _told(self, told: str, form: Mapping[str, str], action: str, *, done: bool, end: bool) -> Response:
        context: dict[str, Any] = {"fields": form, "action": f"{self._desk.root}{action}", "done": done, "end": end}
        return self._desk.show("confirm_order.html", told, told=told, back=self._back(form), **context)

    def _back(self, form: Mapping[str, str]) -> str:
        """The page that the order is seen on."""
        kind, name = form.get("kind", ""), form.get("name", "")
        if kind == Kind.QUEUE:
            return f"{self._desk.root}/queues/{quote(name, safe='')}"
        if kind == Kind.SHARE:
            return f"{self._desk.root}/users"
        numbers = [row.id for row in self._desk.read(lambda c, _: situation.ces_named(c, name))]
        return f"{self._desk.root}/ces/{numbers[0]}" if len(numbers) == 1 else f"{self._desk.root}/ces"


def order_form() -> dict[str, str]:
    """The fields of an order, as typed."""
    return {name: value[:LONGEST] for name in ORDER_FIELDS if (value := request.form.get(name, "").strip())}


def applications() -> list[Application]:
    """Those that are installed, by name."""
    return [application for _, application in sorted(plugins("act.app").items())]
