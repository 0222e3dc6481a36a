"""The script that HTCondor runs for every job: it makes ready what HTCondor does not, and becomes the job."""

from __future__ import annotations

import re
import shlex

from act.errors import BadJobSpec
from act.model import InputFile, JobSpec

LAUNCHER = "act-launch.sh"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s,?#\"\\]+", re.IGNORECASE)


def script(spec: JobSpec, *, tells: bool) -> str:
    """The script. tells: it knows arguments and environment itself. Raises BadJobSpec."""
    lines = ["#!/bin/sh"]
    if tells:
        lines += [f"export {name}={shlex.quote(value)}" for name, value in spec.environment]
        lines.append(f"set -- {shlex.join(spec.arguments)}")
    for file in spec.inputs:
        if file.source and arriving(file) != file.name:
            lines.append(f"mv -- {shlex.quote(arriving(file))} {shlex.quote(file.name)}")
    lines += [f"chmod +x -- {shlex.quote(f.name)}" for f in spec.inputs if f.executable or f.name == spec.executable]
    lines += [f": >> {shlex.quote(name)} # one that is missing would put the job on hold" for name in outputs(spec)]
    is_input = any(f.name == spec.executable for f in spec.inputs)
    joined = " 2>&1" if spec.stderr is None else ""
    lines.append(f'exec {shlex.quote(f"./{spec.executable}" if is_input else spec.executable)} "$@"{joined}')
    return "\n".join(lines) + "\n"


def outputs(spec: JobSpec) -> list[str]:
    """What the job leaves besides its streams."""
    return [f.name for f in spec.outputs if f.name not in (spec.stdout, spec.stderr)]


def arriving(file: InputFile) -> str:
    """The name under which HTCondor brings an input. Raises BadJobSpec."""
    if file.content is not None:
        return file.name
    if not _URL.fullmatch(file.source) or "$(" in file.source:
        raise BadJobSpec(f"input file {file.name!r}: {file.source!r} is not a URL that HTCondor could read")
    return file.source.rpartition("/")[2]
