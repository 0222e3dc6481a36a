"""The script that HTCondor runs for every job: it makes ready what HTCondor does not, and becomes the job.

HTCondor brings all inputs into one directory, under names of few characters. So they come under such names, and the
script gives them their own.
"""

from __future__ import annotations

import hashlib
import re
import shlex

from act.errors import BadJobSpec
from act.files import is_plain
from act.model import InputFile, JobSpec

LAUNCHER = "act-launch.sh"
ALL = "/"  # the output that stands for all there is
_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://[^\s,?#\"\\]+", re.IGNORECASE)
_FILE_NAME = re.compile(r"(?!\.{1,2}$)[\w.@+=:~%][\w.@+=:~%-]*")


def script(spec: JobSpec, *, tells: bool) -> str:
    """The script. tells: it knows arguments and environment itself. Raises BadJobSpec."""
    lines = ["#!/bin/sh"]
    if tells:
        lines += [f"export {name}={shlex.quote(value)}" for name, value in spec.environment]
        lines.append(f"set -- {shlex.join(spec.arguments)}")
    for file in spec.inputs:
        if arriving(file) != file.name:
            lines += [*_folder_of(file.name), f"mv -- {shlex.quote(arriving(file))} {shlex.quote(file.name)}"]
    lines += [f"chmod +x -- {shlex.quote(f.name)}" for f in spec.inputs if f.executable or f.name == spec.executable]
    lines += [line for f in spec.outputs for line in _made_sure(f.name) if f.name not in (spec.stdout, spec.stderr)]
    is_input = any(f.name == spec.executable for f in spec.inputs)
    streams = f" < {shlex.quote(spec.stdin)}" if spec.stdin else ""
    streams += " 2>&1" if spec.stderr is None else ""
    lines.append(f'exec {shlex.quote(f"./{spec.executable}" if is_input else spec.executable)} "$@"{streams}')
    return "\n".join(lines) + "\n"


def _made_sure(output: str) -> list[str]:
    """An output that is missing would put the job on hold."""
    if output == ALL:
        return []
    if output.endswith("/"):
        return [f"mkdir -p -- {shlex.quote(output)}"]
    return [*_folder_of(output), f": >> {shlex.quote(output)}"]


def _folder_of(name: str) -> list[str]:
    folder = name.rpartition("/")[0]
    return [f"mkdir -p -- {shlex.quote(folder)}"] if folder else []


def outputs(spec: JobSpec) -> list[str]:
    """What the job leaves besides its streams, directories by their names."""
    return [f.name.rstrip("/") for f in spec.outputs if f.name not in (ALL, spec.stdout, spec.stderr)]


def arriving(file: InputFile) -> str:
    """The name under which HTCondor brings an input. Raises BadJobSpec."""
    if not file.source and (file.content is not None or file.stored):
        return file.name if is_safe(file.name) else f"act-in-{hashlib.sha256(_bytes(file.name)).hexdigest()[:16]}"
    if not _URL.fullmatch(file.source) or "$(" in file.source:
        raise BadJobSpec(f"input file {file.name!r}: {file.source!r} is not a URL that HTCondor could read")
    return file.source.rpartition("/")[2]


def is_safe(name: str) -> bool:
    """Whether HTCondor takes a name as it is, wherever it stands."""
    return _FILE_NAME.fullmatch(name) is not None


def check_path(name: str) -> None:
    """Raises BadJobSpec if a file with that name is not inside the job's directory."""
    if not all(is_plain(part) for part in name.split("/")):
        raise BadJobSpec(
            f"file name {name!r}: it is relative to the job's directory, without '..' and control characters"
        )


def _bytes(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as e:
        raise BadJobSpec(f"file name {name!r}: not a text that can be sent: {e.reason}") from e
