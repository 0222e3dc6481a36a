"""JobSpec -> xRSL, such that A-REX takes every text of it literally or the job is refused here.

Seen with A-REX 6.17 and 7.0.0, where xRSL comes over REST without a client that rewrites it:
- A bare number of walltime or cputime means seconds (clients send minutes): so the unit is written.
- One text that does not parse makes the CE refuse the whole bulk. A line feed in a text is dropped in silence.
- Arguments go through a shell inside double quotes: ``$`` and backquotes would be expanded there. They come from
  environment variables of the job instead, as the result of an expansion is not expanded again.
- An input whose source is a size is uploaded by the client: the job waits until it is complete at that size, also if
  that is 0. An output with "/" at its end is a directory that is kept with all in it, "/" the whole session directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any

from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, Submission

# The input that keeps a job inert if it has no other that the tower uploads.
ARM_FILE, ARM_CONTENT = ".act-arm", b"1"
_NAME_CHARACTERS = 100

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSAFE_IN_EXECUTABLE = re.compile(r"[\"'`$\\]")
_SOURCE = re.compile(r"(?P<host>[a-z][a-z0-9+.-]*://[^/;]*)(?P<rest>[/;].*|)", re.IGNORECASE)
_DOLLAR, _BACKQUOTE = "ACT_DOLLAR", "ACT_BACKQUOTE"
_LITERAL = str.maketrans({"$": f"${{{_DOLLAR}}}", "`": f"${{{_BACKQUOTE}}}"})


@dataclass(frozen=True, slots=True)
class Upload:
    """What the tower uploads under ``name``: ``content``, or a file of its store. size: in bytes."""

    name: str
    size: int
    content: bytes = b""
    stored: str = ""


def render(job: Submission, delegation: str = "") -> str:
    """The request for one job, named ``<name>.<token>``. Raises BadJobSpec.

    delegation: its id where it must be told here (REST 1.0).
    """
    spec = job.spec
    _check(spec)
    parts = [
        _attribute("executable", spec.executable),
        _attribute("arguments", *(a.translate(_LITERAL) for a in spec.arguments)),
        _pairs("environment", (*spec.environment, *_escapes(spec.arguments))),
        _attribute("jobname", f"{spec.name[:_NAME_CHARACTERS]}.{job.token}"),
        _attribute("queue", job.queue or None),
        _attribute("count", spec.cores),
        _attribute("countpernode", _count_per_node(spec)),
        _attribute("walltime", f"{_minutes(spec.walltime_s)} minutes"),
        _attribute("cputime", f"{_minutes(spec.cputime_s)} minutes" if spec.cputime_s is not None else None),
        _attribute("memory", _memory_per_core(spec)),
        _attribute("disk", spec.disk_mb),
        _attribute("priority", spec.priority),
        *(_attribute("runtimeenvironment", e) for e in spec.runtime_environments),
        _pairs("inputfiles", _inputs(spec)),
        _attribute("executables", *(f.name for f in spec.inputs if f.executable)),
        _pairs("outputfiles", _outputs(spec)),
        _attribute("stdin", spec.stdin),
        _attribute("stdout", spec.stdout),
        _attribute("stderr", spec.stderr) if spec.stderr is not None else _attribute("join", "yes"),
        _attribute("gmlog", spec.log_dir or None),
        _attribute("rerun", spec.reruns or None),
        *(_attribute(name, value) for name, value in spec.extra.items()),
        _attribute("delegationid", delegation or None),
    ]
    return "&" + "".join(parts)


def bulk(descriptions: list[str]) -> str:
    """Many requests as one text."""
    return descriptions[0] if len(descriptions) == 1 else "+" + "".join(f"({d})" for d in descriptions)


def uploads(spec: JobSpec) -> list[Upload]:
    """What the tower uploads to let the job run, never nothing. Raises BadJobSpec."""
    found = [_upload(f) for f in spec.inputs if _is_uploaded(f)]
    return found or [Upload(ARM_FILE, len(ARM_CONTENT), ARM_CONTENT)]


def summary(spec: JobSpec) -> dict[str, Any]:
    """What the request says of the job, as plain values for comparison; times in minutes, memory in MB."""
    streams = (spec.stdout, spec.stderr)
    return {
        "count": spec.cores,
        "countpernode": _count_per_node(spec),
        "walltime_min": _minutes(spec.walltime_s),
        "cputime_min": None if spec.cputime_s is None else _minutes(spec.cputime_s),
        "memory_mb_per_core": _memory_per_core(spec),
        "priority": spec.priority,
        "runtimeenvironment": list(spec.runtime_environments),
        "arguments": list(spec.arguments),
        "stdout": spec.stdout,
        "join": "yes" if spec.stderr is None else "no",
        "gmlog": spec.log_dir,
        "rerun": str(spec.reruns),
        "environment": dict(spec.environment),
        "inputnames": [f.name for f in spec.inputs],
        "inputsources": {f.name: _source(f) for f in spec.inputs if not _is_uploaded(f)},
        "outputs": [f.name for f in spec.outputs if f.name not in streams],
    }


def _check(spec: JobSpec) -> None:
    """What quoting cannot mend."""
    if not spec.executable or _UNSAFE_IN_EXECUTABLE.search(spec.executable):
        raise BadJobSpec(f"executable {spec.executable!r}: empty, or with quotes, backslash, backquote or dollar")
    for name, _ in spec.environment:
        if not _IDENTIFIER.fullmatch(name):
            raise BadJobSpec(f"environment variable {name!r}: not a name")
    for name in spec.extra:
        if not _IDENTIFIER.fullmatch(name):
            raise BadJobSpec(f"xRSL attribute {name!r}: not a name")
    inputs = [f.name for f in spec.inputs]
    for name in (*inputs, *(f.name for f in spec.outputs), spec.stdout, *([spec.stdin] if spec.stdin else [])):
        if not name or ".." in name.split("/"):
            raise BadJobSpec(f"file name {name!r}: empty, or leads out of the job's directory")
    for name in inputs:
        if name.startswith("/") or name.endswith("/"):
            raise BadJobSpec(f"input file {name!r}: its name is one in the job's directory, without / at either end")
    if len(set(inputs)) != len(inputs):
        raise BadJobSpec("two input files have the same name")


def _minutes(seconds: int) -> int:
    return ceil(seconds / 60)


def _memory_per_core(spec: JobSpec) -> int:
    return ceil(spec.memory_mb_total / spec.cores)


def _count_per_node(spec: JobSpec) -> int | None:
    return spec.cores if spec.single_node and spec.cores > 1 else None


def _is_uploaded(file: InputFile) -> bool:
    return file.content is not None or bool(file.stored)


def _upload(file: InputFile) -> Upload:
    if file.content is None:
        return Upload(file.name, file.size, stored=file.stored)
    content = _bytes(file.content)
    return Upload(file.name, len(content), content)


def _escapes(arguments: Iterable[str]) -> list[tuple[str, str]]:
    """The environment variables that `_LITERAL` refers to, if it does."""
    text = "".join(arguments)
    return [(name, char) for name, char in ((_DOLLAR, "$"), (_BACKQUOTE, "`")) if char in text]


def _inputs(spec: JobSpec) -> list[tuple[str, str]]:
    waited_for = [(upload.name, str(upload.size)) for upload in uploads(spec)]
    return waited_for + [(f.name, _source(f)) for f in spec.inputs if not _is_uploaded(f)]


def _outputs(spec: JobSpec) -> list[tuple[str, str]]:
    """The outputs, and the job's streams, which A-REX deletes if they are not named here."""
    named = {f.name for f in spec.outputs}
    streams = [s for s in (spec.stdout, spec.stderr) if s and s not in named]
    return [(f.name, f.destination) for f in spec.outputs] + [(s, "") for s in streams]


def _source(file: InputFile) -> str:
    """The URL with the options where ARC wants them: after the host."""
    match = _SOURCE.fullmatch(file.source)
    if match is None:
        raise BadJobSpec(f"input file {file.name!r}: {file.source!r} is not a URL the CE could read")
    return match["host"] + "".join(f";{key}={value}" for key, value in file.options) + match["rest"]


def _attribute(name: str, *values: str | int | None) -> str:
    """``(name="value" "value")``; nothing without a value."""
    texts = [_quoted(str(v)) for v in values if v is not None]
    return f"({name}={' '.join(texts)})" if texts else ""


def _pairs(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """``(name=("a" "b")("c" "d"))``; nothing without a pair."""
    texts = [f"({_quoted(a)} {_quoted(b)})" for a, b in pairs]
    return f"({name}={''.join(texts)})" if texts else ""


def _quoted(text: str) -> str:
    _bytes(text)
    if found := _CONTROL.search(text):
        raise BadJobSpec(f"{text[:200]!r}: xRSL cannot hold the character {found[0]!r}")
    return '"' + text.replace('"', '""') + '"'


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise BadJobSpec(f"{text[:200]!r}: not a text that can be sent: {e.reason}") from e
