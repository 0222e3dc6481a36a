"""Setting up a tower, and putting the master together from configuration and plugins."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from act import keys
from act.config import CE, CORE_FILE, CORE_VARIABLE, CoreConfig, load_core, template
from act.daemons import registry
from act.daemons.lease import must_cover
from act.db import migrate
from act.db.engine import Database
from act.errors import ConfigError
from act.files import write_file
from act.interfaces import plugin, plugins
from act.master import DaemonSpec
from act.model import CEAddress
from act.xmlconfig import find


def write_config(directory: Path, *, force: bool) -> Iterator[str]:
    """Configuration files from the templates; those that are there stay unless ``force``."""
    names = [CORE_FILE, *(a.config_file for a in plugins("act.app").values())]
    for name in dict.fromkeys(names):
        path = directory / name
        if path.exists() and not force:
            yield f"{path}: is there, left as it is"
            continue
        write_file(path, template(name).encode())
        yield f"{path}: written"


def prepare(config: CoreConfig) -> Iterator[str]:
    """Directories, key files and database."""
    paths = config.paths
    # a submit point reads files in work_dir as the user that it runs jobs as
    for path, mode in ((paths.state_dir, 0o750), (paths.store_dir, 0o750), (paths.run_dir, 0o750),
                       (paths.work_dir, 0o711)):  # fmt: skip
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        yield f"{path}: ready"
    made = keys.make_key(config.proxies.key_file)
    yield f"{config.proxies.key_file}: {'made; keep a copy outside the database' if made else 'is there'}"
    made = keys.make_secret(config.web.secret_file)
    yield f"{config.web.secret_file}: {'made; the same on all hosts' if made else 'is there'}"
    database = Database(config.database.connect_url())
    if database.embedded:
        Path(str(database.url.database)).parent.mkdir(parents=True, exist_ok=True)
    yield f"database: schema {', '.join(migrate.upgrade(database))}"
    database.close()


def check_config() -> list[str]:
    """Read every configuration file; returns their paths. Raises ConfigError with all that is wrong."""
    config = load_core()
    config.database.connect_url()  # its password can be read
    registry.enabled(config)
    for name in ("call_s", "transfer_s"):
        must_cover(config.leases, f"timeouts/{name}", getattr(config.timeouts, name))
    if wrong := list(dict.fromkeys(_wrong_options(config))):
        raise ConfigError("\n".join(f"{CORE_FILE}: {what}" for what in wrong))
    core = str(find(CORE_FILE, CORE_VARIABLE))
    return list(dict.fromkeys([core, *(a.check_config() for a in plugins("act.app").values())]))


def _wrong_options(config: CoreConfig) -> Iterator[str]:
    """What CE types say of the options of CEs, and of the submit points that this host reaches."""
    types, skipped = list(plugins("act.ce")), set()
    for point in config.ces.submit_point:
        if not config.ces.reached_from(os.uname().nodename, point.name):
            skipped.add(point.name)
        elif what := _wrong(config, point.flavour, "", point.name, {o.name: o.value for o in point.option}):
            skipped.add(point.name)
            yield what
    for ce in config.ces.ce:
        answers = [_wrong_of_ce(config, ce, flavour, skipped) for flavour in ([ce.flavour] if ce.flavour else types)]
        if all(answers):  # it may be of any type that has nothing against it
            yield " / ".join(dict.fromkeys(answers))


def _wrong_of_ce(config: CoreConfig, ce: CE, flavour: str, skipped: Collection[str]) -> str:
    """What is wrong with a CE if it is of this type; "" if nothing is. skipped: submit points not to look at."""
    ways = (way for way in config.ces.ways(flavour, ce.url) if way not in skipped)
    found = (_wrong(config, flavour, ce.url, way, config.ces.options(ce.url, way)) for way in ways)
    return next(filter(None, found), "")


def _wrong(config: CoreConfig, flavour: str, url: str, submit_point: str, options: Mapping[str, str]) -> str:
    address = CEAddress(0, flavour, url, config.ca_dir, submit_point, config.paths.work_dir, options=options)
    try:
        plugin("act.ce", flavour).check(address)
    except ConfigError as error:
        return str(error)
    return ""


def specs(config: CoreConfig) -> list[DaemonSpec]:
    """All enabled daemons; their modules are imported here, so that the children share the memory."""
    target = registry.target(config)
    found = []
    for name, (entry, processes) in registry.enabled(config).items():
        entry.load()
        found.append(DaemonSpec(name, target, processes))
    return found


def reload() -> list[DaemonSpec]:
    """What SIGHUP means: everything is read and checked anew. Raises ConfigError, and the old settings stay."""
    check_config()
    return specs(load_core())
