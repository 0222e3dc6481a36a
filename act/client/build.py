"""What a description and the files that were uploaded for it mean as a job.

A path in a description stands for an uploaded file, or is an error: no file of the tower's own can be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from act.client import ces
from act.config import UserCE, Users
from act.db.results import LONGEST_NAME
from act.errors import BadJobSpec, ConfigError
from act.interfaces import CEFactory, Description, plugin
from act.model import InputFile, JobSpec, OutputFile, Submission
from act.storage import check_name

SCHEMES = ("https", "http", "root", "davs", "s3", "gsiftp", "srm", "rucio")
MAX_PARTS = 20  # of a file's name
LONGEST_JOB_NAME = 100
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL = "file"
_DIAGNOSE = "diagnose="  # begins the names of files of the CE about a job
_TOKEN_FOR_PEOPLE = "act.token"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file of the store. stored: its name there."""

    stored: str
    size: int


@dataclass(frozen=True, slots=True)
class Described:
    """What a description says, with paths where its files come from. flavour: of CEs that it is for, "" for any."""

    spec: JobSpec
    flavour: str


@dataclass(frozen=True, slots=True)
class Built:
    """A job that can be submitted. places: the CE queues that it may go to, all of one type."""

    spec: JobSpec
    places: tuple[UserCE, ...]


def describe(text: str, language: str, limits: Users) -> Described:
    """Read the description of one job. Raises BadJobSpec."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadJobSpec(f"the description is no text: {error.reason} at character {error.start}") from error
    if size > limits.max_description_kb * 1000:
        raise BadJobSpec(f"the description has more than {limits.max_description_kb} kB: put data into input files")
    try:
        reader: Description = plugin("act.description", language)
    except ConfigError as error:
        raise BadJobSpec(f"no language of job descriptions is called '{language[:50]!a}'") from error
    specs = reader(text)
    if len(specs) != 1:
        raise BadJobSpec(f"the description holds {len(specs)} jobs: submit one at a time, each with its own")
    return Described(_checked(specs[0]), reader.flavour)


def build(described: Described, allowed: Sequence[UserCE], files: Mapping[str, Uploaded]) -> Built:
    """The job for one of the allowed CE queues, with uploaded files by their names. Raises BadJobSpec."""
    spec = described.spec
    places = ces.of_one_flavour(allowed, described.flavour, only=bool(spec.extra))
    spec = replace(
        spec, name=spec.name[:LONGEST_JOB_NAME] or "job", inputs=tuple(_input(i, files) for i in spec.inputs),
        fetch=_fetched(spec), keep=True,
    )  # fmt: skip
    factory: CEFactory = plugin("act.ce", places[0].flavour)
    factory.describe(Submission(0, _TOKEN_FOR_PEOPLE, spec, places[0].queue))
    return Built(spec, places)


def uploads(spec: JobSpec) -> set[str]:
    """Names of the input files that must be uploaded."""
    return {i.name for i in spec.inputs if _is_local(i)}


def check_file_name(name: str) -> None:
    """Refuse what may not be the name of a file of a job. Raises BadJobSpec."""
    if len(name) > LONGEST_NAME or name.count("/") >= MAX_PARTS:
        raise BadJobSpec(f"{name[:60]!a}... is no file name: at most {LONGEST_NAME} characters, {MAX_PARTS} parts")
    check_name(name)


def _checked(spec: JobSpec) -> JobSpec:
    """Names are those of files below the job's directory, and URLs such as a CE may use with the user's credential."""
    names = [i.name for i in spec.inputs]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadJobSpec(f"input file {twice[0]} is given more than once")
    if any(i.stored or i.content is not None for i in spec.inputs):
        raise BadJobSpec("an input file is uploaded, or comes from a URL")
    outputs = [o.name.removeprefix("@") for o in spec.outputs]
    streams = [s for s in (spec.stdin, spec.stdout, spec.stderr) if s is not None]
    fetched = [f.removeprefix(_DIAGNOSE) for f in spec.fetch]
    for name in (*names, *streams, *(n.removesuffix("/") for n in (*outputs, *fetched) if n != "/")):
        check_file_name(name)
    for output in spec.outputs:
        if output.destination:
            _check_url(output.destination, f"output file {output.name} has the destination")
    return spec


def _check_url(url: str, what: str) -> None:
    found = _SCHEME.match(url)
    if found is None or found.group(1).lower() not in SCHEMES:
        raise BadJobSpec(f"{what} {url[:200]}: use a URL with one of {', '.join(s + '://' for s in SCHEMES)}")


def _is_local(file: InputFile) -> bool:
    scheme = _SCHEME.match(file.source)
    return scheme is None or scheme.group(1).lower() == _LOCAL


def _input(file: InputFile, files: Mapping[str, Uploaded]) -> InputFile:
    if not _is_local(file):
        _check_url(file.source, f"input file {file.name} has the source")
        return file
    there = files.get(file.name)
    if there is None:
        raise BadJobSpec(f"Input file {file.name} missing: upload it before the job is confirmed")
    return replace(file, source="", stored=there.stored, size=there.size)


def _fetched(spec: JobSpec) -> tuple[str, ...]:
    """What is brought back: what the description leaves at the CE, the job's streams, and what it asks for besides."""
    left = [o.name for o in spec.outputs if _is_left(o)]
    names = [*spec.fetch, *left, spec.stdout, *([spec.stderr] if spec.stderr else [])]
    return tuple(dict.fromkeys(names))


def _is_left(output: OutputFile) -> bool:
    return not output.destination and not output.name.startswith("@")
