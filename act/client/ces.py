"""Which of the CE queues that a user may choose a job goes to."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from act.config import UserCE
from act.errors import BadJobSpec

DEFAULT = "default"  # a name for all that the user may choose


def chosen(allowed: Sequence[UserCE], wanted: Sequence[str]) -> tuple[UserCE, ...]:
    """Those that the wanted names or locations mean, in the order in which they were wanted; all for none.

    Raises BadJobSpec for what the user may not use, and what there is not.
    """
    if not allowed:
        raise BadJobSpec("there is no CE that you may use: ask those who run this tower for one (users/ce)")
    if not wanted or DEFAULT in wanted:
        return tuple(allowed)
    by_name = {ce.name: ce for ce in allowed}
    by_place = {_place(ce.location): ce for ce in allowed}
    found: dict[str, UserCE] = {}
    for name in wanted:
        ce = by_name.get(name) or by_place.get(_place(name))
        if ce is None:
            raise BadJobSpec(f"Unknown cluster {name[:200]}: {told(allowed)}")
        found[ce.name] = ce
    return tuple(found.values())


def of_one_flavour(ces: Sequence[UserCE], flavour: str, *, only: bool) -> tuple[UserCE, ...]:
    """Those for one job, which goes to one type of CE. flavour: the type that its description is made for, "" for any;
    only: it says what other types do not understand. Raises BadJobSpec if there is none."""
    own = [ce for ce in ces if ce.flavour == flavour]
    if own:
        return tuple(own)
    if flavour and only:
        names = ", ".join(ce.name for ce in ces)
        raise BadJobSpec(f"the description is for CEs of type {flavour}, and of {names} none is: choose another CE")
    return tuple(ce for ce in ces if ce.flavour == ces[0].flavour)


def told(allowed: Sequence[UserCE]) -> str:
    """What a user may choose, in words."""
    return f"you may use {', '.join(f'{ce.name} ({ce.location})' for ce in allowed)}"


def _place(location: str) -> tuple[str, int, str]:
    """(host, port, queue) of a location; the last part of its path is the queue."""
    try:
        parts = urlsplit(location if "://" in location else f"https://{location}")
        return (parts.hostname or "").lower(), parts.port or 443, parts.path.rstrip("/").rpartition("/")[2]
    except ValueError:
        return location, 0, ""
