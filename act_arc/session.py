"""A job's session directory: what the tower uploads to it, and the lists of what is in it.

Seen with A-REX 6.17 and 7.0.0: a directory asked for as JSON is ``{"file": [...], "dir": [...]}``, where 6.17 has a
text instead of a list of one, and nothing for an empty one. The bytes of a name are written as if they were
characters. Links are not listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import BinaryIO

from act.errors import BadJobSpec, CEBroken, OutputMissing, StorageUnavailable
from act.files import is_plain

MOST_FILES, DEEPEST = 10_000, 50
_CHUNK = 256 * 1024


def chunks(file: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    """A file of the store, which must have just that size: otherwise BadJobSpec. Raises StorageUnavailable."""
    left = size
    while chunk := _read(file, name):
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise BadJobSpec(f"input file {name!r} in the store has not the {size} bytes that the job was made with")


def _read(file: BinaryIO, name: str) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as e:
        raise StorageUnavailable(f"input file {name!r} cannot be read from the store: {e}") from e


def walk(listed: Callable[[str], tuple[list[str], list[str]] | None], folder: str) -> list[str] | None:
    """The names of all files in a folder and below, sorted; None if there is no such folder.

    listed: a folder's files and folders, None if it is none. Names that lead elsewhere or do not print are left out.
    Raises OutputMissing for more than anybody wants.
    """
    top = folder.strip("/")
    names: list[str] = []
    seen = 0
    ahead = [(top, 0)]
    while ahead:
        path, depth = ahead.pop()
        found = listed(path)
        if found is None:
            if path == top:
                return None
            continue  # gone meanwhile
        files, folders = ([f"{path}/{name}".lstrip("/") for name in some if is_plain(name)] for some in found)
        seen += len(files) + len(folders)
        if seen > MOST_FILES or depth > DEEPEST:
            raise OutputMissing(f"no list of {folder or '/'}: more than {MOST_FILES} files or {DEEPEST} levels")
        names += files
        ahead += [(name, depth + 1) for name in folders]
    return sorted(names)


def parse(body: bytes) -> tuple[list[str], list[str]]:
    """A list of a directory -> names of files and of directories."""
    try:
        told = json.loads(body) if body else {}
        return _names(told.get("file", [])), _names(told.get("dir", []))
    except (ValueError, AttributeError, TypeError) as e:
        raise CEBroken(f"the CE's list of a directory is not as agreed: {e}") from e


def _names(told: str | list[str]) -> list[str]:
    return [_decoded(name) for name in ([told] if isinstance(told, str) else told)]


def _decoded(name: str) -> str:
    """ "" for what is no text."""
    try:
        return name.encode("latin-1").decode()
    except UnicodeDecodeError:
        return ""
    except UnicodeEncodeError:
        return name
