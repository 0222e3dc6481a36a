"""The session directory and the control files of a job, over HTTP."""

from __future__ import annotations

import re
import shutil

from act.simulation import Request, Response
from act_arc.simulator.answers import Shape
from act_arc.simulator.documents import diagnose
from act_arc.simulator.engine import Engine
from act_arc.simulator.job import SimJob

_PANDA_ID = re.compile(rb"""PandaID["']?\s*[=:]\s*["']?(\d+)""")
_BINARY = {"content-type": "application/octet-stream"}


class SessionFiles:
    """GET, HEAD, PUT and DELETE below jobs/<id>/session, GET of jobs/<id>/diagnose/<name>."""

    def __init__(self, engine: Engine, shape: Shape) -> None:
        self._engine, self._shape = engine, shape

    def diagnose(self, job: SimJob, name: str, url: str) -> Response:
        """A control file."""
        names = ("failed", "local", "errors", "description", "diag", "comment", "status", "acl", "xml", "input",
                 "output", "input_status", "output_status", "statistics")  # fmt: skip
        if name not in names:
            return Response(404, reason="Diagnostic item not found")
        content = diagnose(job, name, url)
        if content is None:
            return Response(404, reason="Not found")
        return Response(200, content, {"content-type": "text/plain"})

    def session(self, request: Request, job: SimJob, name: str) -> Response:
        """A file or a listing of the session directory."""
        name = name.strip("/")
        path = job.path(name)
        if path is None:
            return Response(404, reason="Wrong path")
        if request.method == "PUT":
            return self._put(request, job, name)
        if request.method == "DELETE":
            if not path.is_file():
                return Response(500, reason="Failed to delete")
            path.unlink()
            return Response(202)
        if request.method not in ("GET", "HEAD"):
            return Response(501, reason="Not Implemented")
        if path.is_file():
            return _part(request, path.read_bytes()) if "range" in request.headers else Response(200, path, _BINARY)
        content = self._engine.output(job, name)
        if content is not None:
            return _part(request, content)
        if name and not path.is_dir():
            return Response(404, reason="Not found")
        return self._listing(job, name, as_json="json" in request.headers.get("accept", ""))

    def _listing(self, job: SimJob, name: str, *, as_json: bool) -> Response:
        """Links are left out (seen)."""
        path = job.session / name
        entries = [p for p in sorted(path.iterdir()) if not p.is_symlink()] if path.is_dir() else []
        files = [p.name for p in entries if p.is_file()]
        if not name:
            outputs = [n for n, _ in job.description.outputs if self._engine.output(job, n) is not None]
            files += [n for n in outputs if n not in files]
        folders = [p.name for p in entries if p.is_dir()]
        if as_json:
            return self._shape({"file": [_bytewise(n) for n in files], "dir": [_bytewise(n) for n in folders]})
        rows = [f"<tr><td>{kind}</td><td>{n}</td></tr>" for kind, ns in (("file", files), ("dir", folders)) for n in ns]
        table = f'<HTML><HEAD>list</HEAD><BODY><table border="1">{"".join(rows)}</table></BODY></HTML>'
        return Response(200, table.encode(errors="surrogateescape"))

    def _put(self, request: Request, job: SimJob, name: str) -> Response:
        path = job.session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        request.stream.seek(0)
        with path.open("wb") as f:
            shutil.copyfileobj(request.stream, f)
        if name == "pandaJobData.out" and (found := _PANDA_ID.search(path.read_bytes())):
            job.panda_id = found[1].decode()
        self._engine.uploaded(job, name)
        return Response(200)


def _bytewise(name: str) -> str:
    """A name as A-REX writes it in JSON: each byte as if it were a character (seen)."""
    return name.encode(errors="surrogateescape").decode("latin-1")


def _part(request: Request, content: bytes) -> Response:
    """The range of a file that was asked for, or all of it."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not asked:
        return Response(200, content, _BINARY)
    start, end = int(asked[1]), int(asked[2] or len(content) - 1)
    part = content[start : end + 1]
    where = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
    return Response(206, part, {"Content-Range": where, **_BINARY}, "Partial content")
