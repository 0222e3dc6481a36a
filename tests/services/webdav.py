"""A small WebDAV server that can be told to misbehave as storage elements do."""

from __future__ import annotations

import base64
import hashlib
import zlib

from act.simulation import Request, Response, SimServer, TestCA

PROPERTIES = """<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>{path}</d:href><d:propstat>
<d:prop><d:resourcetype>{kind}</d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
</d:multistatus>"""


class WebDAV(SimServer):
    """Holds ``files`` (path -> content; a path that ends with / is a directory) in memory.

    deleted: paths of all DELETEs that were obeyed. redirect: where clients are sent, followed by the path ("": not).
    digests: whether it has checksums. repr_digest: whether it speaks only RFC 9530.
    """

    def __init__(self, ca: TestCA, *, port: int = 0) -> None:
        super().__init__(ca, port=port)
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.tokens: set[str] = set()
        self.redirect = ""
        self.digests = True
        self.repr_digest = False

    def route(self, request: Request) -> str:
        """Files are many; what counts is the method."""
        return ""

    def handle(self, request: Request) -> Response:
        """HEAD, PROPFIND and DELETE."""
        self.tokens.add(request.headers.get("authorization", ""))
        if self.redirect:
            return Response(307, headers={"Location": self.redirect + request.path})
        directory = f"{request.path}/" in self.files
        if not directory and request.path not in self.files:
            return Response(404)
        if request.method == "PROPFIND":
            kind = "<d:collection/>" if directory else ""
            return Response(207, PROPERTIES.format(path=request.path, kind=kind).encode())
        if request.method == "DELETE":
            self.deleted.append(request.path)
            for path in [p for p in self.files if p == request.path or p.startswith(f"{request.path}/")]:
                del self.files[path]
            return Response(204)
        content = self.files.get(request.path, b"")
        return Response(200, headers={"Content-Length": str(len(content)), **self._digest(request, content)})

    def _digest(self, request: Request, content: bytes) -> dict[str, str]:
        adler32 = zlib.adler32(content)
        if not self.digests:
            return {}
        if self.repr_digest:
            return {"Repr-Digest": f"adler=:{base64.b64encode(adler32.to_bytes(4, 'big')).decode()}:"}
        if request.headers.get("want-digest", "").startswith("md5"):
            md5 = hashlib.md5(content, usedforsecurity=False).digest()
            return {"Digest": f"md5={base64.b64encode(md5).decode()}"}
        return {"Digest": f"adler32={adler32:x}"}
