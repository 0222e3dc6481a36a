"""aCTConfigARC.xml -> `CoreConfig`: the database, paths, proxies, daemons and limits that every tower has.

All durations ending in ``_s`` are seconds and may have fractions. Every element has a default, so a file may be short.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from act.config.ces import CE, CEs
from act.config.credentials import Proxies
from act.config.operating import Alarms, Guard, LogFile, Metrics, Report
from act.config.users import Users
from act.config.web import Web
from act.errors import ConfigError
from act.states import DEADLINES
from act.xmlconfig import ConfigPath, Count, Seconds, Section, base_of, distinct, find, load_xml

CORE_FILE = "aCTConfigARC.xml"
CORE_VARIABLE = "ACTCONFIGARC"


def _database_url(value: str, info: ValidationInfo) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("not a database URL; like sqlite:///path or mysql+mysqldb://user@host/name") from None
    if url.get_backend_name() not in ("sqlite", "mysql", "mariadb"):
        raise ValueError(f"the tower works on SQLite and MariaDB, not on {url.get_backend_name()}")
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(base_of(info) / Path(url.database).expanduser()))
    return url.render_as_string(hide_password=False)


class Database(Section):
    """Where the tables are."""

    url: Annotated[str, AfterValidator(_database_url)] = Field("sqlite:///var/act.db", repr=False)
    password_file: ConfigPath | None = None

    def connect_url(self) -> str:
        """The URL with the password from its file. Raises ConfigError if that cannot be read."""
        if self.password_file is None:
            return self.url
        try:
            password = self.password_file.read_text().strip()
        except OSError as exc:
            raise ConfigError(f"database/password_file {self.password_file}: {exc.strerror}") from exc
        return make_url(self.url).set(password=password).render_as_string(hide_password=False)


class Paths(Section):
    """Directories of the tower. ``store_dir`` holds results and answers of job sources; hosts may share it.

    work_dir: files of jobs that are at a submit point of this host, which must see them at the same path.
    """

    state_dir: ConfigPath = Path("var/state")
    store_dir: ConfigPath = Path("var/store")
    run_dir: ConfigPath = Path("var/run")
    work_dir: ConfigPath = Path("var/work")

    @property
    def metrics_dir(self) -> Path:
        """Where this host's processes write down what they count."""
        return self.run_dir / "metrics"


class Logging(Section):
    """What is logged, and how. moves: one line for each change of a job's state. file: rotated files beside stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"
    moves: bool = False
    file: LogFile | None = None


class Timeouts(Section):
    """Limits of single waits (connect, read), of one whole call, and of one file's transfer."""

    connect_s: Seconds = 10
    read_s: Seconds = 60
    call_s: Seconds = 120
    transfer_s: Seconds = 300


class Leases(Section):
    """How long a claim lasts beyond the deadlines under it, and what the reconciler waits between two lists."""

    lease_s: Seconds = 600
    settle_s: Seconds = 5
    margin_s: Seconds = 30

    @model_validator(mode="after")
    def _ordered(self) -> Leases:
        if self.margin_s >= self.lease_s:
            raise ValueError("margin_s must be less than lease_s")
        return self


class Daemon(Section):
    """Settings of one kind of daemon."""

    name: str = Field(min_length=1)
    processes: Count = 1
    disabled: bool = False


class Daemons(Section):
    """Settings of all daemons, and of single kinds."""

    threads: Count = 16
    idle_s: Seconds = 1.0
    daemon: tuple[Daemon, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Daemons:
        distinct("daemon", (d.name for d in self.daemon))
        return self


class Polling(Section):
    """How often a CE is asked, and how many jobs one call or pass takes.

    missing_s: what must lie between the two complete answers that prove that a job is gone. sweep_s: how often
    orphans are looked for. silent_s: a CE that gave no complete answer for so long is silent, and deadlines stand
    still. delegation_idle_s: how long an unused delegation is kept at a CE. rerun_s: before failed staging is repeated.
    lag_s: by how much what a CE tells of a job may be behind. fetch_max_mb: no larger file is fetched, fetch_total_mb:
    no more of one job.
    """

    status_s: Seconds = 30
    missing_s: Seconds = 60
    sweep_s: Seconds = 3600
    silent_s: Seconds = 600
    delegation_idle_s: Seconds = 3600
    rerun_s: Seconds = 60
    lag_s: Seconds = 120
    submit_batch: Count = 100
    status_batch: Count = 20000
    fetch_batch: Count = 50
    fetch_max_mb: Count = 200
    fetch_total_mb: Count = 2000
    cancel_batch: Count = 500
    clean_batch: Count = 500


class Breaker(Section):
    """After so many failures in a row a CE is left alone, at first for ``open_s``, in the end for ``max_open_s``."""

    failures: Count = 3
    open_s: Seconds = 30
    max_open_s: Seconds = 600


class Limits(Section):
    """Of a CE queue that has none of its own."""

    max_waiting: int = Field(500, ge=0)
    max_jobs: int = Field(20000, ge=0)


class StateDeadline(Section):
    """How long a job may stay in a state, instead of the built-in limit."""

    state: str
    seconds: Seconds

    @field_validator("state")
    @classmethod
    def _known(cls, state: str) -> str:
        if state not in DEADLINES:
            raise ValueError(f"no state with a limit (known: {', '.join(DEADLINES)})")
        return state


class Deadlines(Section):
    """Overrides of the limits in `act.states`."""

    deadline: tuple[StateDeadline, ...] = ()


class Errors(Section):
    """Texts in a CE's error after which the failed staging of a job is tried again; none: after every one."""

    rerun: tuple[str, ...] = ()


class CoreConfig(Section):
    """The whole file."""

    database: Database = Database()
    paths: Paths = Paths()
    logging: Logging = Logging()
    ca_dir: ConfigPath = Path("/etc/grid-security/certificates")
    proxies: Proxies = Proxies()
    timeouts: Timeouts = Timeouts()
    leases: Leases = Leases()
    daemons: Daemons = Daemons()
    polling: Polling = Polling()
    breaker: Breaker = Breaker()
    limits: Limits = Limits()
    deadlines: Deadlines = Deadlines()
    errors: Errors = Errors()
    ces: CEs = CEs()
    users: Users = Users()
    web: Web = Web()
    report: Report = Report()
    alarms: Alarms = Alarms()
    guard: Guard = Guard()
    metrics: Metrics = Metrics()

    def limits_of(self, ce: CE) -> Limits:
        """The limits of a CE's queues that have none of their own."""
        own = {n: getattr(ce, n) for n in ("max_waiting", "max_jobs") if getattr(ce, n) is not None}
        return self.limits.model_copy(update=own)


def load_core(path: Path | None = None) -> CoreConfig:
    """Read ``path``, or the file found by the search order. Raises ConfigError."""
    return load_xml(path or find(CORE_FILE, CORE_VARIABLE), CoreConfig)


def template(name: str) -> str:
    """The text of a configuration template, as shipped in etc/."""
    return (resources.files("act") / "templates" / name).read_text()
