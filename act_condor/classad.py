"""JobSpec -> HTCondor's submit language, such that every text arrives literally or the job is refused here.

A bulk is one set of `commands` and an `item` for each job. Seen with the bindings 25.14 and a schedd 23.9:
- Macros are expanded again and again, ``$(x)`` in the value of an item too, and a schedd expands ``$$(x)`` once more
  when it matches. Arguments and environment are therefore written straight into their attributes, where an empty pair
  of quotes after a dollar (`_words`) says the same and is no macro.
- A command with an empty value is as if it were not there, and the job then takes over what the first one of its bulk
  said. So every command has a value for every job, and what may be empty is written as an attribute.
- In a text of an attribute only ``\\"`` is an escape; a backslash elsewhere, or at the end, is one.
- An executable that is a URL is not run. `LAUNCHER` is; it gives the job's files their names and becomes the job.
- On the way to a CE of ARC a tab in an argument ends HTCondor's grid manager, again and again, and the CE's shell
  expands dollars and backquotes: there the launcher has arguments and environment in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

from act.errors import BadJobSpec
from act.model import JobSpec, OutputFile, Submission
from act_condor import holds
from act_condor.launcher import ALL, LAUNCHER, arriving, check_path, is_safe, outputs, script

MB_KIB = 1024
_LABEL_CHARACTERS = 100

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUEUE = re.compile(r"[\w.@+:/-]*")
_PLAIN_VALUE = re.compile(r"[+-]?\d+(\.\d+)?|true|false", re.IGNORECASE)
_TO_QUOTE = re.compile(r"[\s']+|\$(?=[^\s'])")
_OF_ITEM = re.compile(r"\$\((act_\w+)\)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bulk goes.

    route: ``grid`` from a schedd here to a CE, ``pool`` of that schedd itself, or ``direct`` to the CE's own schedd.
    grid_resource: how the first of these names the CE. proxy_file: "" without one. policy: commands that say what
    becomes of held jobs.
    """

    ce_url: str
    route: holds.Route = "grid"
    grid_resource: str = ""
    proxy_file: str = ""
    delegation: str = ""
    policy: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_arc(self) -> bool:
        """Whether the CE behind HTCondor is one of ARC."""
        return self.grid_resource.startswith("arc ")


class Shape(NamedTuple):
    """What jobs must have in common to go in one bulk."""

    queue: str
    runtime_environments: tuple[str, ...]
    extra: tuple[tuple[str, str], ...]
    brings_all: bool = False


# Where `describe` does not know better.
SOMEWHERE = Place(
    "CE", grid_resource="condor SCHEDD COLLECTOR", proxy_file="PROXY", delegation="DELEGATION",
    policy=holds.commands(holds.HELD, "grid"),
)  # fmt: skip


def shape(job: Submission) -> Shape:
    """Jobs of one shape may be items of one bulk."""
    spec = job.spec
    return Shape(job.queue, spec.runtime_environments, tuple(sorted(spec.extra.items())), _brings_all(spec))


def commands(place: Place, bulk: Shape) -> dict[str, str]:
    """What the jobs of a bulk have in common; ``$(act_...)`` stands for values of their items."""
    return {
        **_universe(place),
        "executable": f"$(act_iwd)/{LAUNCHER}",
        "initialdir": "$(act_iwd)",
        "output": "$(act_out)",
        "error": "$(act_err)",
        "log": "$(act_log)",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "notification": "never",
        "leave_in_queue": "ActClean =!= true",
        "request_cpus": "$(act_cores)",
        "request_memory": "$(act_memory)",
        "request_disk": "$(act_disk)",
        "priority": "$(act_priority)",
        "description": "$(act_name)",
        "My.Arguments": '"$(act_arguments)"',
        "My.Environment": '"$(act_environment)"',
        "My.TransferInput": '"$(act_inputs)"',
        **({} if bulk.brings_all else {"My.TransferOutput": '"$(act_outputs)"'}),
        "My.PreserveRelativePaths": "true",  # of outputs in directories
        "My.ActToken": '"$(act_token)"',
        "My.ActCE": _quoted(place.ce_url),
        "My.ActDelegation": _quoted(place.delegation),
        "My.xcount": "$(act_cores)",
        "My.maxMemory": "$(act_memory)",
        "My.MaxRuntime": "$(act_runtime)",
        "My.maxWallTime": "$(act_walltime)",
        **_queue(place, bulk.queue),
        **({"arc_rte": ",".join(bulk.runtime_environments)} if bulk.runtime_environments else {}),
        **({"x509userproxy": place.proxy_file} if place.proxy_file else {}),
        **place.policy,
        **{f"My.{name}": _value(value) for name, value in bulk.extra if place.route == "pool" or not _streams(name)},
    }


def item(job: Submission, place: Place, iwd: Path) -> dict[str, str]:
    """What is a job's own; iwd: where its `sandbox` is. The same keys for all jobs. Raises BadJobSpec."""
    spec = job.spec
    _check(job, place)
    return {
        "act_token": _plain(job.token),
        "act_iwd": _plain(str(iwd)),
        "act_arguments": "" if place.is_arc else _text(_words(spec.arguments)),
        "act_environment": "" if place.is_arc else _text(_words(_settings(spec))),
        "act_inputs": ",".join(f.source or arriving(f) for f in spec.inputs),
        "act_outputs": ",".join(outputs(spec)),
        "act_out": spec.stdout,
        "act_err": spec.stderr or "/dev/null",
        "act_log": user_log(spec),
        "act_cores": str(spec.cores),
        "act_memory": str(spec.memory_mb_total),
        "act_disk": "DiskUsage" if spec.disk_mb is None else str(spec.disk_mb * MB_KIB),
        "act_runtime": str(spec.walltime_s),
        "act_walltime": str(ceil(spec.walltime_s / 60)),
        "act_priority": str(spec.priority or 0),
        "act_name": re.sub(r"[^\w.:@+-]", "_", spec.name[:_LABEL_CHARACTERS]) or "job",
    }


def sandbox(spec: JobSpec, place: Place) -> dict[str, bytes]:
    """The files that must be in the job's directory when it is submitted, by name; without those of the store."""
    files = {arriving(f): _bytes(f.content) for f in spec.inputs if f.content is not None}
    return {LAUNCHER: _bytes(script(spec, tells=place.is_arc)), **files}


def user_log(spec: JobSpec) -> str:
    """The file in which HTCondor tells the story of a job."""
    return f"{spec.stdout.removesuffix('.out')}.log"


def describe(job: Submission, place: Place = SOMEWHERE, iwd: Path = Path("IWD")) -> str:
    """The request of one job as HTCondor's tools would take it, and the launcher as a comment. Raises BadJobSpec."""
    if place is SOMEWHERE and job.spec.runtime_environments:
        place = replace(place, grid_resource="arc CE")
    own = item(job, place, iwd)
    lines = [
        f"{name} = {_OF_ITEM.sub(lambda found: own[found[1]], value)}"
        for name, value in commands(place, shape(job)).items()
    ]
    launcher = [f"# {line}" for line in script(job.spec, tells=place.is_arc).splitlines()]
    return "\n".join([*lines, "queue", f"# {LAUNCHER}:", *launcher, ""])


def summary(spec: JobSpec) -> dict[str, str]:
    """What the request says of the job, under the names that people know; times in s and min, memory in MB."""
    return {
        "Universe": "9",
        "+xcount": str(spec.cores),
        "+MaxRuntime": str(spec.walltime_s),
        "+maxWallTime": str(ceil(spec.walltime_s / 60)),
        "+maxMemory": str(spec.memory_mb_total),
        "Cmd": next((f.source for f in spec.inputs if f.name == spec.executable and f.source), spec.executable),
        "Arguments": _words(spec.arguments),
        **({} if spec.priority is None else {"JobPrio": str(spec.priority)}),
        "Environment2": _doubled(_words(_settings(spec))),
        **({} if spec.disk_mb is None else {"RequestDisk": str(spec.disk_mb * MB_KIB)}),
        "TransferInputFiles": ",".join(f.name for f in spec.inputs if not f.source),
        "Output": spec.stdout,
        "Error": spec.stderr or "",
        "UserLog": user_log(spec),
        **{f"+{name}": _value(value) for name, value in spec.extra.items()},
    }


def _universe(place: Place) -> dict[str, str]:
    """The universe, and that the job waits: a submission that is spooled waits by itself."""
    if place.route == "grid":
        return {"universe": "grid", "grid_resource": place.grid_resource, "hold": "true"}
    if place.route == "pool":
        return {"universe": "vanilla", "hold": "true", "allowed_execute_duration": "$(act_runtime)"}
    return {"universe": "vanilla"}


def _queue(place: Place, queue: str) -> dict[str, str]:
    """The queue behind the CE, under the name of HTCondor-CEs and under that of today; "default" is the CE's choice."""
    is_told = queue not in ("", "default") and place.route != "pool"
    return {"My.queue": _quoted(queue), "batch_queue": queue} if is_told else {}


def _settings(spec: JobSpec) -> list[str]:
    return [f"{name}={value}" for name, value in spec.environment]


def _check(job: Submission, place: Place) -> None:
    """What quoting cannot mend."""
    spec = job.spec
    if not spec.executable or spec.executable.startswith("-") or _CONTROL.search(spec.executable):
        raise BadJobSpec(f"executable {spec.executable!r}: not the name of a program")
    if not _QUEUE.fullmatch(job.queue):
        raise BadJobSpec(f"queue {job.queue!r}: not a name that HTCondor could pass on")
    for name in (*(name for name, _ in spec.environment), *spec.extra):
        if not _IDENTIFIER.fullmatch(name):
            raise BadJobSpec(f"environment variable or attribute {name!r}: not a name")
    for text in (*(value for _, value in spec.environment), *(f.content for f in spec.inputs if f.content)):
        _bytes(text)
    for name, value in spec.extra.items():
        if "$(" in _text(value):
            raise BadJobSpec(f"attribute {name}: {value!r} has a macro in it")
    if spec.runtime_environments and not place.is_arc:
        raise BadJobSpec(f"runtime environment {spec.runtime_environments[0]}: only CEs of ARC have any")
    for output in spec.outputs:
        _check_output(output, place)
    if _brings_all(spec) and outputs(spec):
        raise BadJobSpec(f"outputs '/' and {outputs(spec)[0]!r}: HTCondor brings all new files, without those in "
                         "directories, or else what is named")  # fmt: skip
    _check_names(spec)


def _check_output(output: OutputFile, place: Place) -> None:
    if output.destination or output.name.startswith("@"):
        raise BadJobSpec(f"output {output.name!r}: HTCondor brings files back, it does not store them elsewhere")
    if output.name == ALL:
        return
    for part in output.name.removesuffix("/").split("/"):
        if not is_safe(part):
            raise BadJobSpec(f"output {output.name!r}: not a name that HTCondor could bring back")
    if place.is_arc and "/" in output.name:
        raise BadJobSpec(f"output {output.name!r}: HTCondor brings no directories back from a CE of ARC")


def _brings_all(spec: JobSpec) -> bool:
    return any(output.name == ALL for output in spec.outputs)


def _check_names(spec: JobSpec) -> None:
    """In one directory no two files may have one name: neither as they arrive nor as they are called then."""
    streams = [spec.stdout, user_log(spec), *([spec.stderr] if spec.stderr is not None else [])]
    for name in (*streams, *(arriving(f) for f in spec.inputs)):
        if not is_safe(name):
            raise BadJobSpec(f"file name {name!r}: HTCondor takes plain names only, without a directory")
    for name in (*(f.name for f in spec.inputs), *([spec.stdin] if spec.stdin else [])):
        check_path(name)
    names = [LAUNCHER, *streams, *(name for f in spec.inputs for name in {arriving(f), f.name})]
    folders = {f.name[:at] for f in spec.inputs for at, sign in enumerate(f.name) if sign == "/"}
    if twice := {n for n in names if names.count(n) > 1 or n in folders}:
        raise BadJobSpec(f"two files of the job would have the name {min(twice)}")


def _words(words: Iterable[str]) -> str:
    """Arguments, or settings of an environment, in the raw form of HTCondor's new syntax, and without macros."""

    def mend(found: re.Match[str]) -> str:
        return "$''" if found[0] == "$" else "'" + found[0].replace("'", "''") + "'"

    return " ".join(_TO_QUOTE.sub(mend, word) or "''" for word in words)


def _doubled(raw: str) -> str:
    """The raw form as a submit file has it."""
    return '"' + raw.replace('"', '""') + '"'


def _streams(attribute: str) -> bool:
    """Whether it makes HTCondor show standard output or error while the job runs: in the pool of the schedd here only,
    elsewhere they get lost by it."""
    return attribute.lower() in ("streamout", "streamerr")


def _value(text: str) -> str:
    """A value of a free attribute: numbers and truth values as they are, all else as text."""
    return text if _PLAIN_VALUE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    return f'"{_text(text)}"'


def _text(text: str) -> str:
    """The inside of a text of an attribute."""
    if found := _CONTROL.search(text):
        raise BadJobSpec(f"{text[:200]!r}: a request to HTCondor cannot hold the character {found[0]!r}")
    _bytes(text)
    return text.replace('"', '\\"')


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise BadJobSpec(f"{text[:200]!r}: not a text that can be sent: {e.reason}") from e


def _plain(text: str) -> str:
    """A text of our own making, for a command."""
    if not text.isprintable() or any(sign in text for sign in '$"\\') or text != text.strip():
        raise BadJobSpec(f"{text!r}: not a text that HTCondor would take as it is")
    return text
