"""Jobs straight from a command line, without a description written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from act.cli.user.descriptions import GROUP, NewJob, Upload, local_path, uploads
from act.errors import BadJobSpec
from act.interfaces import Description, plugin
from act.model import InputFile, JobSpec, OutputFile

LANGUAGE = "json"
INDEX = "ACT_ARRAY_INDEX"
_PLACE = "{}"
# Absolute paths below these are programs of the CE, also if this computer has one there.
_SYSTEM = ("/bin/", "/sbin/", "/usr/", "/lib", "/opt/", "/cvmfs/")


@dataclass(frozen=True, slots=True)
class Wish:
    """What `actcli run` is told. memory_mb: of all cores together; inputs: ``[NAME=]FILE|URL``; outputs:
    ``NAME[=URL]``; environment: ``NAME=VALUE``."""

    command: tuple[str, ...]
    cores: int = 1
    memory_mb: int = 2000
    walltime_s: int = 3600
    disk_mb: int | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    name: str = ""


def jobs(wish: Wish, indices: Sequence[int | None]) -> list[NewJob]:
    """One job for each index; None: no array. Raises ValueError for a bad option, BadJobSpec for missing files."""
    language: Description = plugin(GROUP, LANGUAGE)
    executable, arguments, program = _program(wish.command)
    inputs = [*program, *map(_input, wish.inputs)]
    if twice := {i.name for i in inputs if sum(o.name == i.name for o in inputs) > 1}:
        raise ValueError(f"two inputs are called {sorted(twice)[0]}: give one another name with NAME=FILE")
    found: dict[str, Path | str] = {}
    files = uploads(inputs, Path.cwd(), found)
    if missing := [why for why in found.values() if isinstance(why, str)]:
        raise BadJobSpec("nothing is submitted:\n" + "\n".join(missing))
    spec = JobSpec(
        name=wish.name or Path(wish.command[0]).name, executable=executable, cores=wish.cores,
        memory_mb_total=wish.memory_mb, walltime_s=wish.walltime_s, disk_mb=wish.disk_mb,
        runtime_environments=wish.runtimes, inputs=tuple(map(_told, inputs)), outputs=tuple(map(_output, wish.outputs)),
        stdout="stdout.txt", stderr="stderr.txt",
    )  # fmt: skip
    settings = tuple(map(_setting, wish.environment))
    return [_job(language, spec, arguments, settings, index, files) for index in indices]


def _job(language: Description, spec: JobSpec, arguments: Sequence[str], settings: Sequence[tuple[str, str]],
         index: int | None, files: tuple[Upload, ...]) -> NewJob:  # fmt: skip
    """One job of an array, or the only one."""
    name = spec.name
    if index is not None:
        name = f"{spec.name}-{index}"
        arguments = [argument.replace(_PLACE, str(index)) for argument in arguments]
        settings = [*settings, (INDEX, str(index))]
    one = replace(spec, name=name, arguments=tuple(arguments), environment=tuple(settings))
    return NewJob(language.write(one), LANGUAGE, name, files)


def _program(command: Sequence[str]) -> tuple[str, list[str], list[InputFile]]:
    """Executable, arguments, and the file that goes along, if the command is one that is here."""
    first, rest = command[0], list(command[1:])
    path = Path(first).expanduser()
    if first.startswith(_SYSTEM):
        return first, rest, []
    if path.is_file():
        return path.name, rest, [InputFile(path.name, source=str(path), executable=True)]
    if "/" not in first:
        return "/usr/bin/env", [first, *rest], []  # found by the PATH of the CE
    if path.is_absolute():
        return first, rest, []
    raise ValueError(f"there is no file {first} here to run")


def _input(text: str) -> InputFile:
    """[NAME=]FILE|URL. Raises ValueError."""
    name, named, source = text.partition("=")
    if not named or "://" in name or Path(text).exists():
        name, source = "", text
    name = name or source.rstrip("/").rpartition("/")[2]
    if not name or not source:
        raise ValueError(f"the input '{text}' is no FILE or URL, with NAME= before it or not")
    return InputFile(name, source=source)


def _told(one: InputFile) -> InputFile:
    """As the tower is told of it: an empty source stands for what is uploaded."""
    return one if local_path(one.source) is None else replace(one, source="")


def _output(text: str) -> OutputFile:
    name, _, destination = text.partition("=")
    return OutputFile(name, destination)


def _setting(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given or not name:
        raise ValueError(f"'{text}' is no setting of the environment: give NAME=VALUE")
    return name, value
