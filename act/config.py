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

from act.errors import ConfigError
from act.states import DEADLINES
from act.xmlconfig import ConfigPath, Count, Seconds, Section, base_of, find, load_xml

CORE_FILE = "aCTConfigARC.xml"
CORE_VARIABLE = "ACTCONFIGARC"


def _database_url(value: str, info: ValidationInfo) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("not a database URL; like sqlite:///path or mysql+mysqldb://user@host/name") from None
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


class Logging(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


class ProxySource(Section):
    """Where the proxies of one role come from: made of a long-lived certificate or proxy (``source_cert``), or found
    in ``directory`` as <role>.pem or <role>.*.pem, where something else renews them.

    voms: the VO whose attributes they must have, fqan: the one that must be among them; none: plain proxies.
    """

    role: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")
    source_cert: ConfigPath | None = None
    source_key: ConfigPath | None = None
    """None: the key is in source_cert, as in a proxy file."""
    directory: ConfigPath | None = None
    voms: str = Field("", pattern=r"^[A-Za-z0-9_.-]*$")
    fqan: str = Field("", pattern=r"^(/[\w.=-]+)*$")
    lifetime_h: float = Field(96, gt=0)
    renew_below_h: float = Field(72, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> ProxySource:
        if (self.source_cert is None) == (self.directory is None):
            raise ValueError("needs either source_cert or directory")
        if self.directory is not None and self.source_key is not None:
            raise ValueError("source_key goes with source_cert, not with directory")
        if self.fqan and f"{self.fqan}/".partition("/")[2].partition("/")[0] != self.voms:
            raise ValueError(f"fqan must begin with the VO in voms: /{self.voms or '<voms>'}/...")
        if self.renew_below_h >= self.lifetime_h:
            raise ValueError("renew_below_h must be less than lifetime_h")
        return self


class Proxies(Section):
    """Credentials of the tower. ``key_file`` encrypts those kept in the database.

    check_s: how often they are looked at; more often if they are short-lived. vomses: where the VOMS servers are, a
    file or directory as VOMS clients know it.
    """

    key_file: ConfigPath = Path("var/state/proxy.key")
    check_s: Seconds = 600
    vomses: ConfigPath = Path("/etc/vomses")
    proxy: tuple[ProxySource, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Proxies:
        roles = [p.role for p in self.proxy]
        if twice := {r for r in roles if roles.count(r) > 1}:
            raise ValueError(f"role given more than once: {', '.join(sorted(twice))}")
        return self


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
        names = [d.name for d in self.daemon]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"daemon given more than once: {', '.join(sorted(twice))}")
        return self


class Polling(Section):
    """How often a CE is asked, and how many jobs one call or pass takes.

    missing_s: what must lie between the two complete answers that prove that a job is gone. sweep_s: how often
    orphans are looked for. silent_s: a CE that gave no complete answer for so long is silent, and deadlines stand
    still. delegation_idle_s: how long an unused delegation is kept at a CE. rerun_s: before failed staging is repeated.
    lag_s: by how much what a CE tells of a job may be behind. fetch_max_mb: no larger file is fetched.
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


class Option(Section):
    """A setting that only one CE type knows."""

    name: str = Field(min_length=1)
    value: str


class TokenSource(Section):
    """Where the bearer token for a CE comes from: a file that something else renews, or an OIDC issuer that gives
    tokens to its client (RFC 6749, 4.4). issuer: its URL, asked for the token_endpoint unless that is given instead.
    """

    file: ConfigPath | None = None
    issuer: str = Field("", pattern="^(https://.+)?$")
    token_endpoint: str = Field("", pattern="^(https://.+)?$")
    client_id: str = ""
    client_secret_file: ConfigPath | None = None
    scope: str = "compute.read compute.create compute.modify compute.cancel"
    audience: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> TokenSource:
        if [self.file is not None, bool(self.issuer), bool(self.token_endpoint)].count(True) != 1:
            raise ValueError("needs one of file, issuer, token_endpoint")
        if self.file is None and not (self.client_id and self.client_secret_file):
            raise ValueError("needs client_id and client_secret_file, to ask an issuer")
        return self


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
        names = [p.name for p in self.submit_point]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"submit_point given more than once: {', '.join(sorted(twice))}")
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
