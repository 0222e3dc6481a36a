"""One schedd of HTCondor, as its clients see it: calls with deadlines, and errors in the tower's words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from act.errors import CEBroken, CEFull, CEUnreachable, CredentialError, TemporaryError
from act.model import CEAddress, Proxy
from act_condor.options import Options
from act_condor.states import Ad
from act_condor.workers import BindingsError, Client, Workers, workers

# What the bindings or their log say when nothing was asked for yet: no connection, or we are not let in.
_NOT_CONNECTED = re.compile(r"CEDAR:6001|SECMAN:20(04|07|11)|failed to connect|connection refused", re.IGNORECASE)
_NOT_LET_IN = re.compile(r"AUTHENTICATE:\d+|SECMAN:2010|Received \"DENIED\"|post-auth ClassAd|PERMISSION DENIED")
_BROKEN_OFF = re.compile(r"Socket closed|condor_(read|write)\(\)")
_FULL = re.compile(r"would exceed MAX_JOBS|MAX_JOBS_PER|MAX_JOBS_SUBMITTED")
_NOISE = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d( \(pid:\d+\))? ?", re.MULTILINE)
_TOLD = 500  # characters


class Schedd:
    """The schedd that jobs of one CE are given to, with one credential. Ids of jobs are ``cluster.proc#qdate``.

    All calls raise CEUnreachable (CEBroken for an answer that says it failed), CEFull and CredentialError.
    """

    def __init__(self, address: CEAddress, options: Options, proxy: Proxy, pool: Workers = workers) -> None:
        self._total_s, self._transfer_s = address.total_s, address.transfer_s
        self._where = {"collector": options.collector, "schedd": options.schedd}
        self._pool = pool
        self._client = _client(address, options, proxy)

    def probe(self) -> None:
        """Whether we may give it jobs."""
        self._call("probe")

    def submit(self, commands: Mapping[str, str], items: Sequence[Mapping[str, str]], *, spool: bool) -> list[str]:
        """Ids in the order of the items. Without spool in one transaction, so all jobs are made or none."""
        ids: list[str] = self._call("submit", self._transfer_s if spool else None,
                                    commands=dict(commands), items=list(items), spool=spool)  # fmt: skip
        return ids

    def spool(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Send the inputs of jobs: None, or why they could not be sent. Only those that were submitted here."""
        answers: dict[str, str | None] = self._call("spool", self._transfer_s, ids=list(ids))
        return answers

    def query(self, constraint: str, projection: Sequence[str]) -> list[Ad]:
        """All jobs in the queue for which the constraint holds."""
        ads: list[Ad] = self._call("query", constraint=constraint, projection=list(projection))
        return ads

    def history(self, constraint: str, projection: Sequence[str], at_most: int) -> list[Ad]:
        """The latest jobs that left the queue for which the constraint holds."""
        ads: list[Ad] = self._call("history", constraint=constraint, projection=list(projection), at_most=at_most)
        return ads

    def release(self, ids: Sequence[str]) -> None:
        """Let held jobs go on; no others."""
        self._call("act", action="Release", ids=_plain(ids), reason="aCT: released")

    def remove(self, ids: Sequence[str], reason: str) -> None:
        """End jobs. They stay in the queue until they may leave it."""
        self._call("act", action="Remove", ids=_plain(ids), reason=reason)

    def edit(self, ids: Sequence[str], attribute: str, value: str) -> None:
        """Set an attribute of jobs to an expression: of all, or of none and CEBroken."""
        self._call("edit", ids=_plain(ids), attribute=attribute, value=value)

    def retrieve(self, ids: Sequence[str]) -> None:
        """Bring what spooled jobs left into their directories."""
        self._call("retrieve", self._transfer_s, ids=_plain(ids))

    def refresh_proxy(self, ids: Sequence[str], proxy_file: str) -> None:
        """Give spooled jobs another proxy."""
        self._call("refresh_proxy", self._transfer_s, ids=_plain(ids), proxy_file=proxy_file)

    def close(self) -> None:
        """End the process that speaks for us."""
        self._pool.forget(self._client)

    def _call(self, op: str, seconds: float | None = None, **request: Any) -> Any:
        end = time.monotonic() + (seconds or self._total_s)
        try:
            return self._pool.call(self._client, end, op=op, **self._where, **request)
        except BindingsError as e:
            raise translated(self._where["schedd"], op, e) from e


def _plain(ids: Sequence[str]) -> list[str]:
    """The ids as HTCondor's calls take them."""
    return [job.partition("#")[0] for job in ids]


def translated(schedd: str, op: str, error: BindingsError) -> TemporaryError | CredentialError:
    """What an error of the bindings means: "unknown" rather than "failed", but for what cannot have been done."""
    text = f"{op} at schedd {schedd}: {_summed_up(str(error), error.details)}"
    everything = f"{error}\n{error.details}"
    if error.partly:
        return CEUnreachable(text)
    broken_off = _BROKEN_OFF.search(everything)
    if _NOT_LET_IN.search(everything) and not broken_off:
        return CredentialError(text)
    # the log may tell of a first address that failed, and the exception of what came after
    if not error.sent or _NOT_CONNECTED.search(str(error) if "errmsg=" in str(error) else everything):
        return CEUnreachable(text, sent=False)
    if broken_off:
        return CEUnreachable(text)
    if _FULL.search(everything):
        return CEFull(text)
    return CEBroken(text)


def _summed_up(said: str, details: str) -> str:
    lines = [line.strip() for line in _NOISE.sub("", details).splitlines()]
    return "; ".join(dict.fromkeys(text for text in (said.strip(), *lines) if text))[:_TOLD] or "no reason given"


def _client(address: CEAddress, options: Options, proxy: Proxy) -> Client:
    """The settings of HTCondor's client: those of the CE over those that make it use our credential."""
    macros = {
        "AUTH_SSL_CLIENT_CADIR": str(address.ca_dir),
        "AUTH_SSL_CLIENT_USE_DEFAULT_CAS": "False",
        **options.macros,
    }
    environment = {f"_CONDOR_{name}": value for name, value in macros.items()}
    if options.condor_config:
        environment["CONDOR_CONFIG"] = options.condor_config
    secrets: dict[str, bytes] = {}
    if proxy.pem:
        names = ("X509_USER_PROXY", "_CONDOR_AUTH_SSL_CLIENT_CERTFILE", "_CONDOR_AUTH_SSL_CLIENT_KEYFILE")
        secrets |= {name: proxy.pem for name in names if name not in environment}
    if proxy.token:
        environment["BEARER_TOKEN"] = proxy.token  # of a file it would accept one on a disk only
    return Client(environment, secrets)
