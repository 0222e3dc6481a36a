"""What generic jobs need: groups that may do something, CEs for them, and room for what quotas allow."""

from __future__ import annotations

from collections.abc import Iterator

from act.config import CoreConfig
from act.config.users import Group
from act.daemons.context import Context
from act.doctor.check import Check, Examination, bad, good, warning
from act.doctor.host import room
from act.doctor.measures import amount
from act.explain.words import some

MB = 1 << 20


def examinations(context: Context) -> Iterator[Examination]:
    """None where nobody may submit jobs of their own."""
    config = context.config
    if config.users.group:
        yield Examination("users", lambda: groups(config))
        yield Examination("quotas", lambda: quotas(config, room(config.paths.store_dir).free))
    if any(group.fqan for group in config.users.group):
        yield Examination("vomsdir", lambda: vomsdir(config))


def groups(config: CoreConfig) -> Iterator[Check]:
    """Whether members of each group can do anything. Pure."""
    wrong = [check for group in config.users.group for check in _group(config, group)]
    if wrong:
        yield from wrong
    else:
        yield good("users", f"{some(len(config.users.group), 'group')}, {some(len(config.users.ce), 'CE')} for them")


def _group(config: CoreConfig, group: Group) -> Iterator[Check]:
    what = f"group {group.name}"
    choice = config.users.ces_of({group.name})
    if not choice:
        yield bad(what, "there is no CE for its members", "add users/ce")
    elif all(config.ces.at(ce.url).status == "offline" for ce in choice):
        yield warning(what, "all of its CEs are offline by the configuration", "add a CE, or put one online in ces/ce")
    if group.role and group.role not in {p.role for p in config.proxies.proxy}:
        todo = "configure it in proxies/proxy, or correct users/group/role"
        yield bad(what, f"there is no proxy of its role '{group.role}'", todo)
    known = {issuer.url.rstrip("/") for issuer in config.users.issuer}
    if unknown := [url for url in group.issuer if url.rstrip("/") not in known]:
        yield bad(what, f"its issuer {unknown[0]} is none of users/issuer", "add it to users/issuer")
    if group.token_group and not known:
        yield bad(what, "its members come with tokens, and no issuer is believed", "add users/issuer")


def quotas(config: CoreConfig, free: int) -> Iterator[Check]:
    """Whether one user alone can fill the store. free: bytes. Pure."""
    largest = max(group.quota.max_mb for group in config.users.group) * MB
    told = f"one user may have {amount(largest)}, {amount(free)} are free in {config.paths.store_dir}"
    if largest > free:
        yield warning("quotas", told, "lower users/group/quota/max_mb, or make room: one user alone can fill the store")
    else:
        yield good("quotas", told)


def vomsdir(config: CoreConfig) -> Iterator[Check]:
    """Whether VOMS attributes of people can be believed at all."""
    where = config.users.voms_dir
    vos = sorted({fqan.split("/")[1] for group in config.users.group for fqan in group.fqan if fqan.startswith("/")})
    if unknown := [vo for vo in vos if not list((where / vo).glob("*"))]:
        told = f"{where} has nothing for {', '.join(unknown)}: attributes of its members are not believed"
        yield bad("vomsdir", told, f"put the .lsc files of its VOMS servers into {where}/{unknown[0]}")
    else:
        yield good("vomsdir", f"{where} knows {', '.join(vos)}")
