"""Setting up a tower, and putting the master together from configuration and plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from act import keys
from act.config import CORE_FILE, CoreConfig, load_core, template
from act.daemons import registry
from act.daemons.lease import must_cover
from act.db import migrate
from act.db.engine import Database
from act.files import write_file
from act.interfaces import plugins
from act.master import DaemonSpec


def write_config(directory: Path, *, force: bool) -> Iterator[str]:
    """Configuration files from the templates; those that are there stay unless ``force``."""
    names = [CORE_FILE, *(a.config_file for a in plugins("act.app").values())]
    for name in names:
        path = directory / name
        if path.exists() and not force:
            yield f"{path}: is there, left as it is"
            continue
        write_file(path, template(name).encode())
        yield f"{path}: written"


def prepare(config: CoreConfig) -> Iterator[str]:
    """Directories, key file and database."""
    paths = config.paths
    # a submit point reads files in work_dir as the user that it runs jobs as
    for path, mode in ((paths.state_dir, 0o750), (paths.store_dir, 0o750), (paths.run_dir, 0o750),
                       (paths.work_dir, 0o711)):  # fmt: skip
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        yield f"{path}: ready"
    made = keys.make_key(config.proxies.key_file)
    yield f"{config.proxies.key_file}: {'made; keep a copy outside the database' if made else 'is there'}"
    database = Database(config.database.connect_url())
    if database.embedded:
        Path(str(database.url.database)).parent.mkdir(parents=True, exist_ok=True)
    yield f"database: schema {', '.join(migrate.upgrade(database))}"
    database.close()


def check_config() -> list[str]:
    """Read every configuration file; returns what was read. Raises ConfigError with all that is wrong."""
    config = load_core()
    registry.enabled(config)
    for name in ("call_s", "transfer_s"):
        must_cover(config.leases, f"timeouts/{name}", getattr(config.timeouts, name))
    return [CORE_FILE, *(a.check_config() for a in plugins("act.app").values())]


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
