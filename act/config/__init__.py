"""Configuration of the core, typed and frozen: `core` is the whole file, the other modules hold its larger parts."""

from act.config.ces import CE, CEs, Option, SubmitPoint
from act.config.core import (
    CORE_FILE,
    CORE_VARIABLE,
    CoreConfig,
    Daemon,
    Database,
    Leases,
    Limits,
    Paths,
    Polling,
    Timeouts,
    load_core,
    template,
)
from act.config.credentials import Proxies, ProxySource, TokenSource
from act.config.operating import Alarms, Guard, LogFile, Metrics, Report
from act.config.users import Group, Issuer, Quota, UserCE, Users
from act.config.web import Web

__all__ = [
    "CE",
    "CORE_FILE",
    "CORE_VARIABLE",
    "Alarms",
    "CEs",
    "CoreConfig",
    "Daemon",
    "Database",
    "Group",
    "Guard",
    "Issuer",
    "Leases",
    "Limits",
    "LogFile",
    "Metrics",
    "Option",
    "Paths",
    "Polling",
    "Proxies",
    "ProxySource",
    "Quota",
    "Report",
    "SubmitPoint",
    "Timeouts",
    "TokenSource",
    "UserCE",
    "Users",
    "Web",
    "load_core",
    "template",
]
