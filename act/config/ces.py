"""What the operator says of CEs, and of the ways to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from act.config.credentials import TokenSource
from act.xmlconfig import Section, distinct


class Option(Section):
    """A setting that only one CE type knows."""

    name: str = Field(min_length=1)
    value: str


class CE(Section):
    """What the operator says of one CE. token: speak to it with a bearer token instead of a proxy. direct: jobs go
    straight to it, although its CE type has submit points."""

    url: str = Field(min_length=1)
    flavour: str | None = None
    status: Literal["online", "offline"] = "online"
    max_jobs: int | None = Field(None, ge=0)
    max_waiting: int | None = Field(None, ge=0)
    direct: bool = False
    option: tuple[Option, ...] = ()
    token: TokenSource | None = None


class SubmitPoint(Section):
    """A service through which jobs go to CEs of a type. host: the only one that reaches it; empty: all do.

    option: as of CEs, for all that are reached through it.
    """

    name: str = Field(min_length=1, max_length=255)
    flavour: str = Field(min_length=1)
    host: str = ""
    option: tuple[Option, ...] = ()


class CEs(Section):
    """CEs that need settings of their own, the others come from the job source; and the ways to them."""

    submit_point: tuple[SubmitPoint, ...] = ()
    ce: tuple[CE, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> CEs:
        distinct("submit_point", (p.name for p in self.submit_point))
        return self

    def at(self, url: str) -> CE:
        """The settings of the CE with this URL; some that change nothing if there are none."""
        return next((ce for ce in self.ce if ce.url.rstrip("/") == url.rstrip("/")), CE(url=url))

    def ways(self, flavour: str, url: str) -> tuple[str, ...]:
        """The submit points that jobs may go through to a CE; "" is the way straight to it."""
        points = tuple(p.name for p in self.submit_point if p.flavour == flavour)
        return ("",) if self.at(url).direct or not points else points

    def reached_from(self, host: str, submit_point: str) -> bool:
        """Whether a host can speak to CEs behind a submit point."""
        return not submit_point or any(p.name == submit_point and p.host in ("", host) for p in self.submit_point)

    def options(self, url: str, submit_point: str) -> dict[str, str]:
        """The options of a CE, over those of the submit point on the way to it."""
        of_point = (o for p in self.submit_point if p.name == submit_point for o in p.option)
        return {o.name: o.value for o in (*of_point, *self.at(url).option)}
