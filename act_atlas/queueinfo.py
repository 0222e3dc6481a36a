"""What the tower knows of a PanDA queue, made from CRIC, from plain site facts, and from local settings.

Source of the rules: the meaning of CRIC's pandaqueue fields; local settings win over all others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from act.errors import ConfigError
from act_atlas.config import AtlasConfig, Cric, QueueOverride

WEEK_MIN = 7 * 24 * 60
TRUE_PILOT_ONLY = frozenset({"condor"})  # CE types that neither move data nor know of PanDA
_TYPES = {"production": "production", "special": "production", "analysis": "analysis", "unified": "unified"}
_ARC_DEFAULT_PATH = "/arex"


class BadQueue(ConfigError):
    """The facts of a queue, or of one of its CEs, do not make sense."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One queue of a CE. url is how its CE type is addressed; queue "" leaves the choice to the CE."""

    flavour: str
    url: str
    queue: str = ""
    jobmanager: str = ""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """One PanDA queue.

    truepilot: pilots move data and talk to PanDA themselves; else the CE moves data (NorduGrid mode).
    push: the job goes along with the pilot. maxrss_mb: of a whole job, 0 if not told. walltime_told: maxwalltime_min is
    the queue's own, not what all have. maxjobs, max_waiting: None means no limit of its own.
    """

    name: str
    schedconfig: str
    type: str = "unified"
    status: str = "online"
    pilot_version: str = ""
    python_version: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    corecount: int = 1
    maxrss_mb: int = 0
    maxtime_s: int = 0
    maxwalltime_min: int = WEEK_MIN
    walltime_told: bool = False
    truepilot: bool = True
    push: bool = True
    endpoints: tuple[Endpoint, ...] = ()
    maxjobs: int | None = None
    max_waiting: int | None = None

    def candidates(self, flavour: str) -> tuple[Endpoint, ...]:
        """The CE queues of one CE type; () if there are none for now, or it cannot run jobs in the queue's mode."""
        return tuple(e for e in self.endpoints if e.flavour == flavour and self.suits(flavour))

    def suits(self, flavour: str) -> bool:
        """Whether CEs of a type can run jobs in the queue's mode."""
        return self.truepilot or flavour not in TRUE_PILOT_ONLY


def is_selected(facts: Mapping[str, Any], config: Cric) -> bool:
    """Whether a queue of CRIC is for this tower: in use, real, and of the configured pilot manager and version."""
    return not why_not_selected(facts, config)


def why_not_selected(facts: Mapping[str, Any], config: Cric) -> str:
    """Why a queue of CRIC is not for this tower; "" if it is."""
    version = str(facts.get("pilot_version") or "")
    wanted = config.pilot_version
    if facts.get("state") != "ACTIVE":
        return f"its state in CRIC is {facts.get('state')}"
    if facts.get("is_virtual"):
        return "it is a virtual queue"
    if config.pilot_manager not in ("all", facts.get("pilot_manager")):
        return f"its pilot_manager is {facts.get('pilot_manager')}, this tower's is {config.pilot_manager} (cric)"
    if wanted is not None and version != wanted and not version.startswith(f"{wanted}."):
        return f"its pilot_version is {version or 'not told'}, this tower's is {wanted} (cric)"
    return ""


def from_cric(name: str, facts: Mapping[str, Any], problems: list[str]) -> QueueInfo:
    """One entry of CRIC's pandaqueues. CEs that make no sense are left out and told in ``problems``.

    Raises BadQueue if the entry itself makes no sense.
    """
    ces = [ce for ce in _list(name, facts, "queues") if isinstance(ce, Mapping)]
    tools = (_mapping(name, facts, "copytools"), *_mapping(name, facts, "acopytools").values())
    maxtime_s = _integer(name, facts, "maxtime")
    longest_min = maxtime_s // 60 or max((_integer(name, ce, "ce_queue_maxwctime") for ce in ces), default=0)
    return QueueInfo(
        name=name,
        schedconfig=_text(facts, "panda_resource") or name,
        type=_type(name, _text(facts, "type")),
        status=_text(facts, "status") or "offline",
        pilot_version=_text(facts, "pilot_version"),
        python_version=_text(facts, "python_version"),
        params=_params(name, facts),
        corecount=_integer(name, facts, "corecount") or 1,
        maxrss_mb=_integer(name, facts, "maxrss"),
        maxtime_s=maxtime_s,
        maxwalltime_min=_walltime(longest_min),
        walltime_told=longest_min > 0,
        truepilot=not any("mv" in tool for tool in tools if isinstance(tool, Mapping | list)),
        push="push" in _text(facts, "workflow"),
        endpoints=_endpoints(name, ces, problems),
    )


def from_facts(name: str, facts: Mapping[str, Any]) -> QueueInfo:
    """Plain site facts (truepilot, maxwalltime in minutes, maxtime in s, maxrss in MB, ...). Raises BadQueue."""
    endpoints = _list(name, facts, "endpoints")
    try:
        ces = tuple(Endpoint(**{k: str(v) for k, v in e.items()}) for e in endpoints)
    except (TypeError, AttributeError) as exc:
        raise BadQueue(f"queue {name}: an endpoint must have flavour, url and queue: {exc}") from exc
    longest_min = _integer(name, facts, "maxwalltime")
    return QueueInfo(
        name=name,
        schedconfig=_text(facts, "schedconfig") or name,
        type=_type(name, _text(facts, "type") or "unified"),
        status=_text(facts, "status") or "online",
        pilot_version=_text(facts, "pilot_version"),
        python_version=_text(facts, "python_version"),
        params=_params(name, facts),
        corecount=_integer(name, facts, "corecount") or 1,
        maxrss_mb=_integer(name, facts, "maxrss"),
        maxtime_s=_integer(name, facts, "maxtime"),
        maxwalltime_min=_walltime(longest_min),
        walltime_told=longest_min > 0,
        truepilot=_flag(name, facts, "truepilot"),
        push=_flag(name, facts, "push"),
        endpoints=ces,
    )


def with_override(queue: QueueInfo, local: QueueOverride) -> QueueInfo:
    """The queue as the operator wants it."""
    names = ("status", "type", "schedconfig", "corecount", "maxwalltime_min", "truepilot", "push", "maxjobs",
             "max_waiting")  # fmt: skip
    given = {n: getattr(local, n) for n in names if getattr(local, n) is not None}
    if local.maxwalltime_min is not None:
        given["walltime_told"] = True
    if local.endpoint:
        given["endpoints"] = tuple(
            Endpoint(e.flavour, _ADDRESS.get(e.flavour, str)(e.url), e.queue) for e in local.endpoint
        )
    return replace(queue, **given)


def all_queues(document: Mapping[str, Any], config: AtlasConfig) -> tuple[dict[str, QueueInfo], list[str]]:
    """The queues for this tower by name, and what is wrong with others; a bad one never costs another.

    document: CRIC's pandaqueues. Queues that only the local settings know are made from these.
    """
    queues: dict[str, QueueInfo] = {}
    problems: list[str] = []
    for name, facts in document.items():
        try:
            if not isinstance(facts, Mapping):
                raise BadQueue(f"queue {name}: not an object")
            if is_selected(facts, config.cric):
                queues[name] = with_override(from_cric(name, facts, problems), config.queues.named(name))
        except BadQueue as exc:
            problems.append(str(exc))
    for local in config.queues.queue:
        if local.name not in document and local.endpoint:
            queues[local.name] = with_override(QueueInfo(local.name, local.schedconfig or local.name), local)
    return queues, problems


def ce_url(endpoint: str) -> str:
    """``https://host:port/arex`` of an ARC CE from any form that is in use. Raises BadQueue."""
    host, port, path = _parts(endpoint)
    if port == 2811:  # the GridFTP door that ARC once had
        port = 0
    path = re.sub(r"/rest(/[\d.]+)?$", "", path.rstrip("/")).rstrip("/")
    base = _ARC_DEFAULT_PATH if path in ("", "/jobs") else path
    return f"https://{host}:{port or 443}{base}"


def collector_of(endpoint: str) -> str:
    """``host:port`` of the collector of an HTCondor-CE from any form that is in use. Raises BadQueue."""
    host, port, _ = _parts(endpoint)
    return f"{host}:{port or 9619}"


def _parts(endpoint: str) -> tuple[str, int, str]:
    """Host, as URLs have it, port (0: none is told) and path of an endpoint, with a scheme or without."""
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise BadQueue(f"CE endpoint '{endpoint}': {exc}") from exc
    if not host or not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise BadQueue(f"CE endpoint '{endpoint}' has no host name")
    return f"[{host}]" if ":" in host else host, port or 0, parts.path


def _endpoints(name: str, ces: Sequence[Mapping[str, Any]], problems: list[str]) -> tuple[Endpoint, ...]:
    found: dict[Endpoint, None] = {}
    for ce in ces:
        flavour = FLAVOURS.get(_text(ce, "ce_flavour").upper())
        if ce.get("ce_state") != "ACTIVE" or flavour is None:
            continue
        try:
            url = _ADDRESS[flavour](_text(ce, "ce_endpoint"))
        except BadQueue as exc:
            problems.append(f"queue {name}: {exc}")
            continue
        found[Endpoint(flavour, url, _text(ce, "ce_queue_name"), _text(ce, "ce_jobmanager"))] = None
    named = tuple(e for e in found if e.queue != "default")
    return named or tuple(found)


FLAVOURS = {"ARC-CE": "arc", "HTCONDOR-CE": "condor"}
_ADDRESS: Mapping[str, Callable[[str], str]] = {"arc": ce_url, "condor": collector_of}


def _walltime(minutes: int) -> int:
    return min(minutes, WEEK_MIN) or WEEK_MIN


def _type(name: str, value: str) -> str:
    if value not in _TYPES:
        raise BadQueue(f"queue {name}: type = '{value}' is none of {', '.join(_TYPES)}")
    return _TYPES[value]


def _text(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return "" if value is None else str(value).strip()


def _integer(name: str, facts: Mapping[str, Any], key: str) -> int:
    value = facts.get(key)
    try:
        number = 0 if value is None or value == "" else int(float(value))
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0:
        raise BadQueue(f"queue {name}: {key} = {value!r} is not a number of 0 or more")
    return number


def _flag(name: str, facts: Mapping[str, Any], key: str) -> bool:
    value = facts.get(key, True)
    if not isinstance(value, bool):
        raise BadQueue(f"queue {name}: {key} = {value!r} is neither true nor false")
    return value


def _mapping(name: str, facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = facts.get(key) or {}
    if not isinstance(value, Mapping):
        raise BadQueue(f"queue {name}: {key} is not an object")
    return value


def _list(name: str, facts: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = facts.get(key) or []
    if not isinstance(value, list):
        raise BadQueue(f"queue {name}: {key} is not a list")
    return value


def _params(name: str, facts: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): str(v) for k, v in _mapping(name, facts, "params").items() if v is not None}
