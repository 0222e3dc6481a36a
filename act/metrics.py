"""What a process counts and times: in memory, and every few seconds in a file for who tells Prometheus.

`begin` after the fork, `save` from time to time and at the end. A process that never begins counts for itself only, so
nobody who counts needs to know. A process that is started again goes on with the counts of its earlier lives, and all
that one process counts gets the label ``daemon``, its name, where the files are put together (`collected`).

Why not the files of prometheus_client's multiprocess mode: docs/adr/0010-counts-are-written-down-not-mapped.md.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary
from prometheus_client.metrics_core import Metric

from act import files

log = logging.getLogger(__name__)

DAEMON = "daemon"
_ENDING = ".json"
_QUICK = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_SLOW = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)

_registry = CollectorRegistry()
_ce_s = Histogram("act_ce_call_seconds", "How long calls to CEs took.", ["flavour", "call"],
                  buckets=_SLOW, registry=_registry)  # fmt: skip
_ce_calls = Counter("act_ce_calls", "Calls to each CE by how they ended: ok, or the class of the error.",
                    ["ce", "call", "outcome"], registry=_registry)  # fmt: skip
_port_s = Histogram("act_port_call_seconds", "How long calls to what is neither CE nor database took.",
                    ["port", "call"], buckets=_SLOW, registry=_registry)  # fmt: skip
_port_errors = Counter("act_port_call_errors", "Those of them that failed, by the class of the error.",
                       ["port", "call", "error"], registry=_registry)  # fmt: skip
_db_s = Histogram("act_db_transaction_seconds", "How long transactions took, each try by itself.",
                  ["mode"], buckets=_QUICK, registry=_registry)  # fmt: skip
_db_labels = Summary("act_db_label_seconds", "The same by what the transaction was for.",
                     ["label"], registry=_registry)  # fmt: skip
_db_retries = Counter("act_db_retries", "Transactions that were tried again, by why.", ["cause"], registry=_registry)
_moves = Counter("act_moves", "Changes of jobs' states that were committed.", ["kind", "target"], registry=_registry)
_unmoved = Counter("act_moves_skipped", "Changes that were not made: the row had another state or version, or was held "
                   "by another process.", ["kind", "cause"], registry=_registry)  # fmt: skip
_pass_s = Histogram("act_pass_seconds", "How long passes over a lane took.", ["outcome"],
                    buckets=_SLOW, registry=_registry)  # fmt: skip
_errors = Counter(
    "act_errors", "Troubles that daemons noted, by the class of the error.", ["error"], registry=_registry
)
_web_s = Histogram("act_web_request_seconds", "How long the web server took to the head of its answers.",
                   ["interface", "status"], buckets=_QUICK, registry=_registry)  # fmt: skip
_instruments = (_ce_s, _ce_calls, _port_s, _port_errors, _db_s, _db_labels, _db_retries, _moves, _unmoved, _pass_s,
                _errors, _web_s)  # fmt: skip

# --- counting -------------------------------------------------------------------------------------------------------


@contextmanager
def timed(told: Callable[[float, BaseException | None], None]) -> Iterator[None]:
    """Tell how many seconds the block took, and what it raised."""
    begun, raised = time.perf_counter(), None
    try:
        yield
    except BaseException as error:
        raised = error
        raise
    finally:
        told(time.perf_counter() - begun, raised)


def ce_call(flavour: str, url: str, call: str, seconds: float, error: BaseException | None) -> None:
    """A call to a CE has ended."""
    _ce_s.labels(flavour, call).observe(seconds)
    _ce_calls.labels(url, call, _outcome(error)).inc()


def port_call(port: str, call: str, seconds: float, error: BaseException | None) -> None:
    """A call of another port has ended; port: its name, as in fault points."""
    _port_s.labels(port, call).observe(seconds)
    if error is not None:
        _port_errors.labels(port, call, _outcome(error)).inc()


def transaction(label: str, mode: str, seconds: float, _: BaseException | None) -> None:
    """A transaction has ended, well or not. mode: ``read`` or ``write``."""
    _db_s.labels(mode).observe(seconds)
    _db_labels.labels(label).observe(seconds)


def retried(cause: str) -> None:
    """A transaction is tried again. cause: ``conflict`` with another one, or ``connection``."""
    _db_retries.labels(cause).inc()


def moved(kind: str, target: str, n: int) -> None:
    """Jobs of a kind (a word of ``events``) have come to a state."""
    _moves.labels(kind, target).inc(n)


def not_moved(kind: str, cause: str) -> None:
    """A job was not as expected. cause: ``state``, ``version`` or ``claim``."""
    _unmoved.labels(kind, cause).inc()


def passed(seconds: float, error: BaseException | None) -> None:
    """A pass over a lane has ended."""
    _pass_s.labels("ok" if error is None else "error").observe(seconds)


def trouble(error: Exception) -> None:
    """A daemon has noted an error."""
    _errors.labels(_outcome(error)).inc()


def request(interface: str, status: int, seconds: float) -> None:
    """The web server has answered. interface: which of those that it has."""
    _web_s.labels(interface, f"{status // 100}xx").observe(seconds)


def _outcome(error: BaseException | None) -> str:
    return "ok" if error is None else type(error).__name__


# --- files ----------------------------------------------------------------------------------------------------------

# A sample: its family, its own name, and its labels.
_Key = tuple[str, str, tuple[tuple[str, str], ...]]
_Values = dict[_Key, float]


class _File:
    """Where a process writes its counts, added to those of its earlier lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _read(path)

    def save(self) -> None:
        values = defaultdict(float, self._before)
        for family in _registry.collect():
            for s in family.samples:
                if not s.name.endswith("_created"):
                    values[family.name, s.name, tuple(s.labels.items())] += s.value
        data = json.dumps([[*key, value] for key, value in values.items()])
        files.write_file(self._path, data.encode(), durable=False)


_file: _File | None = None


def begin(directory: Path, name: str) -> None:
    """Count for this process from now on, in a file of its name. To be called after the fork, by one such process."""
    global _file
    for instrument in _instruments:
        instrument.clear()  # what the parent counted is the parent's
    _file = _File(directory / f"{name}{_ENDING}")


def save() -> None:
    """Write the counts down. A disk that takes no more is only logged: nothing else depends on them."""
    if _file is None:
        return
    try:
        _file.save()
    except OSError as error:
        log.warning("metrics cannot be written: %s", error)


def save_every(seconds: float) -> None:
    """`save` again and again, in a thread that ends with the process."""

    def run() -> None:
        while not pause.wait(seconds):
            save()

    pause = threading.Event()
    threading.Thread(target=run, name="metrics", daemon=True).start()


def wipe(directory: Path) -> None:
    """Forget what all processes counted; one that goes on counting loses nothing."""
    try:
        for path in directory.glob("*"):  # and what was being written when a process was killed
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("metrics of the processes before cannot be removed: %s", error)


def collected(directory: Path) -> Iterator[Metric]:
    """What all processes counted, as metrics with the label ``daemon``; several processes of one kind are one."""
    totals: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = defaultdict(lambda: defaultdict(float))
    for path in sorted(directory.glob(f"*{_ENDING}")):
        daemon = (DAEMON, path.name.removesuffix(_ENDING).partition(".")[0])
        for (family, name, labels), value in _read(path).items():
            totals[family][name, (daemon, *labels)] += value
    for instrument in _instruments:
        for family_now in instrument.describe():
            metric = Metric(family_now.name, family_now.documentation, family_now.type)
            for (name, labels), value in totals[family_now.name].items():
                metric.add_sample(name, dict(labels), value)
            yield metric


def _read(path: Path) -> Mapping[_Key, float]:
    """What a process wrote; nothing if that cannot be read."""
    try:
        rows = json.loads(path.read_bytes())
        return {(family, name, tuple((k, v) for k, v in labels)): float(value) for family, name, labels, value in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        log.warning("metrics in %s cannot be read and are left out: %s", path, error)
        return {}
