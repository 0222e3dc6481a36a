"""What the configuration says of a CE of this type: the way to it, the client's settings, what to do with held jobs."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from act.errors import ConfigError
from act.model import CEAddress
from act_condor.holds import HELD, RELEASE_AFTER_S, Policy, Route

_KNOWN = ("route", "schedd", "collector", "grid_resource", "submit_collector", "condor_config", "owner",
          "hold_release", "hold_release_after_s", "hold_resubmit", "hold_fail", "hold_keep")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """A CE's options, with their defaults.

    schedd: the one that is spoken to, found in collector ("": the configured one). grid_resource: how that one names
    the CE. owner: uid of whom files of jobs belong to, None for us. macros: HTCondor's configuration, by name.
    """

    route: Route
    schedd: str
    collector: str
    grid_resource: str
    owner: int | None
    condor_config: str
    macros: Mapping[str, str]
    policies: Mapping[int, Policy]
    release_after_s: int


def read(address: CEAddress) -> Options:
    """Raises ConfigError for options that are unknown or make no sense, with what to do about it."""
    given = address.options
    if unknown := [name for name in given if name not in _KNOWN and not _is_macro(name)]:
        raise ConfigError(_wrong(address, unknown[0], f"is unknown (known: {', '.join(_KNOWN)}, MACROS_OF_HTCONDOR)"))
    schedd, collector = given.get("schedd") or _host(address.url), given.get("collector") or address.url
    direct = not address.submit_point
    return Options(
        route="direct" if direct else _route(address),
        schedd=schedd if direct else address.submit_point,
        collector=collector if direct else given.get("submit_collector", ""),
        grid_resource=given.get("grid_resource") or f"condor {schedd} {collector}",
        owner=None if direct else _owner(address),
        condor_config=given.get("condor_config", ""),
        macros={name: value for name, value in given.items() if _is_macro(name)},
        policies={**HELD, **_policies(address)},
        release_after_s=_number(address, "hold_release_after_s", RELEASE_AFTER_S),
    )


def _route(address: CEAddress) -> Route:
    route = address.options.get("route", "grid")
    if route not in ("grid", "pool"):
        raise ConfigError(_wrong(address, "route", f"is {route!r}; it may be grid or pool"))
    return "grid" if route == "grid" else "pool"


def _owner(address: CEAddress) -> int | None:
    """Only root can give files away."""
    owner = address.options.get("owner", "")
    if not owner or os.geteuid() != 0:
        return None
    try:
        return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except KeyError as e:
        raise ConfigError(_wrong(address, "owner", f"is {owner!r}, and there is no such user on this host")) from e


def _number(address: CEAddress, option: str, default: int) -> int:
    text = address.options.get(option, str(default))
    if not text.isdecimal():
        raise ConfigError(_wrong(address, option, f"is {text!r}; it is a number"))
    return int(text)


def _policies(address: CEAddress) -> dict[int, Policy]:
    found: dict[int, Policy] = {}
    for policy in Policy:
        for code in address.options.get(f"hold_{policy}", "").replace(",", " ").split():
            if not code.isdecimal():
                raise ConfigError(_wrong(address, f"hold_{policy}", f"has {code!r}; it lists hold codes of HTCondor"))
            found[int(code)] = policy
    return found


def _host(url: str) -> str:
    return urlsplit(f"//{url.removeprefix('<')}").hostname or url


def _is_macro(name: str) -> bool:
    return name.isupper()


def _wrong(address: CEAddress, option: str, what: str) -> str:
    if not address.url:
        return f"option {option} of the submit point {address.submit_point} {what}"
    way = f" behind {address.submit_point}" if address.submit_point else ""
    return f"option {option} of the CE {address.url}{way} {what}"
