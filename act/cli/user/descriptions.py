"""Job descriptions of users, read before anything is sent: one text per job, and the local files that go with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from act.errors import ActError, BadJobSpec, ConfigError
from act.interfaces import plugin

if TYPE_CHECKING:
    from act.model import InputFile

GROUP = "act.description"
LARGEST_DESCRIPTION = 20_000_000


@dataclass(frozen=True, slots=True)
class Upload:
    """An input that the client brings. name: as the job sees it; size in bytes."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit: its description in a language, and the inputs that go with it. label: for people."""

    description: str
    language: str
    label: str
    uploads: tuple[Upload, ...] = ()


def languages() -> list[str]:
    """The languages of descriptions that are installed."""
    return sorted(e.name for e in entry_points(group=GROUP))


def read(files: Sequence[str], language: str = "") -> list[NewJob]:
    """The jobs of all files; "-" is the standard input. Raises BadJobSpec with all that is wrong with them."""
    jobs: list[NewJob] = []
    wrong: list[str] = []
    for file in files:
        try:
            text = _text(file)
            jobs += jobs_of(text, language or _language(file, text), file, _folder(file))
        except BadJobSpec as error:
            wrong += [line if line.startswith(f"{file}:") else f"{file}: {line}" for line in str(error).splitlines()]
    if wrong:
        raise BadJobSpec("\n".join(wrong))
    return jobs


def jobs_of(text: str, language: str, label: str, folder: Path) -> list[NewJob]:
    """The jobs of one text; local inputs start at ``folder``. Raises BadJobSpec, ConfigError."""
    parser = plugin(GROUP, language)
    specs = parser(text)
    if not specs:
        raise BadJobSpec("there is no job in it")
    found: dict[str, Path | str] = {}
    jobs = []
    for number, spec in enumerate(specs, 1):
        one = text if len(specs) == 1 else parser.write(spec)
        name = label if len(specs) == 1 else f"{label}#{number}"
        jobs.append(NewJob(one, language, name, uploads(spec.inputs, folder, found)))
    if missing := [why for why in found.values() if isinstance(why, str)]:
        raise BadJobSpec("\n".join(missing))
    return jobs


def uploads(inputs: Sequence[InputFile], folder: Path, known: dict[str, Any]) -> tuple[Upload, ...]:
    """Those inputs that the client brings. known: source -> path or what is wrong with it, added to here."""
    found = []
    for one in inputs:
        source = local_path(one.source or one.name)
        if one.content is not None or source is None:
            continue
        if source not in known:
            known[source] = _checked(folder / Path(source).expanduser())
        if isinstance(path := known[source], Path):
            found.append(Upload(one.name, path, path.stat().st_size))
    return tuple(found)


def local_path(source: str) -> str | None:
    """The path on this computer that a source means; None for what is elsewhere."""
    scheme, found, rest = source.partition("://")
    if not found:
        return source.removeprefix("file:")
    if scheme.lower() != "file":
        return None
    return f"/{rest.partition('/')[2]}"


def _checked(path: Path) -> Path | str:
    try:
        if not path.is_file():
            return f"the input file {path} is {'a directory' if path.is_dir() else 'not there'}"
        with path.open("rb"):
            return path
    except OSError as error:
        return f"the input file {path} cannot be read: {error.strerror or error}"


def _text(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read()
        path = Path(file)
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise BadJobSpec(f"with {path.stat().st_size} bytes this is no job description")
        return path.read_text()
    except OSError as error:
        raise BadJobSpec(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise BadJobSpec("is no text, so no job description") from error


def _folder(file: str) -> Path:
    return Path.cwd() if file == "-" else Path(file).resolve().parent


def _language(file: str, text: str) -> str:
    """By the end of the file's name (also short: .sub for submit), or else the one in which the text makes sense."""
    known = languages()
    suffix = Path(file).suffix.lower().lstrip(".")
    if fitting := [name for name in known if len(suffix) > 2 and name.startswith(suffix)]:
        return fitting[0]
    readable = [name for name in known if _makes_sense(text, name)]
    if len(readable) == 1:
        return readable[0]
    raise BadJobSpec(f"in which language is it? Say --lang {' or '.join(readable or known)}")


def _makes_sense(text: str, language: str) -> bool:
    try:
        return bool(plugin(GROUP, language)(text))
    except ConfigError:
        raise
    except ActError:
        return False


def check_language(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """click callback for --lang."""
    if value and value not in (known := languages()):
        raise click.BadParameter(f"'{value}' is not among {', '.join(known) or '(none is installed)'}")
    return value
