"""Files on their way out: with ranges and digests one by one, or all in a tar stream; read as they are sent."""

from __future__ import annotations

import base64
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO

from flask import Response, request
from werkzeug.http import dump_options_header
from werkzeug.wsgi import FileWrapper

from act.client.model import ResultFile
from act.errors import StorageUnavailable
from act.web.bodies import PIECE
from act.web.errors import BadRequest
from act.web.routes import BINARY

TAR = "application/x-tar"
Opened = AbstractContextManager[tuple[BinaryIO, ResultFile]]


def attachment(name: str) -> str:
    """The header by which a browser saves a file instead of showing it."""
    return dump_options_header("attachment", {"filename": name.rpartition("/")[2]})


def digest(sha256: str) -> str:
    """The header Repr-Digest (RFC 9530) of a hexadecimal digest."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def send_file(opened: Opened) -> Response:
    """A result, or the range of it that the request asks for."""
    with ExitStack() as stack:
        file, about = stack.enter_context(opened)
        response = Response(FileWrapper(file, PIECE), content_type=BINARY)
        response.content_length = about.size
        response.headers["Content-Disposition"] = attachment(about.name)
        response.headers["Repr-Digest"] = digest(about.sha256)
        response.set_etag(about.sha256)
        response.make_conditional(request, accept_ranges=True, complete_length=about.size)
        response.call_on_close(stack.pop_all().close)
    return response


def as_text(opened: AbstractContextManager[BinaryIO], name: str) -> Response:
    """A file of a job, whatever it holds, as text that a browser saves and never shows as a page."""
    response = send_from(opened, 0)
    response.content_type = "text/plain; charset=utf-8"
    response.headers["Content-Disposition"] = attachment(name)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def send_from(opened: AbstractContextManager[BinaryIO], offset: int) -> Response:
    """What a file holds by now from a byte on."""
    with ExitStack() as stack:
        file = stack.enter_context(opened)
        file.seek(offset)
        response = Response(FileWrapper(file, PIECE), content_type=BINARY)
        response.call_on_close(stack.pop_all().close)
    return response


def tar(files: Iterable[ResultFile], opened: Callable[[str], Opened]) -> Iterator[bytes]:
    """A tar archive of files in the POSIX format; only a piece of it is in memory at a time.

    Raises StorageUnavailable when a file is not what was announced: the archive then breaks off.
    """
    for file in files:
        header = tarfile.TarInfo(file.name)
        header.size, header.mode = file.size, 0o644
        yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        with opened(file.name) as (source, _):
            left = file.size
            while left and (piece := source.read(min(left, PIECE))):
                left -= len(piece)
                yield piece
        if left:
            raise StorageUnavailable(f"{file.name} is shorter than it should be")
        yield bytes(-file.size % tarfile.BLOCKSIZE)
    yield bytes(tarfile.RECORDSIZE)


def wanted_digest(header: str) -> str:
    """The hexadecimal SHA-256 that a header Repr-Digest names; "" if it names none. Raises BadRequest."""
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:,|$)", header)
    if found is None:
        return ""
    try:
        digest = base64.b64decode(found[1], validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise BadRequest("Repr-Digest: sha-256 takes the base64 of 32 bytes between colons")
    return digest.hex()
