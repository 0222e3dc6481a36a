"""gunicorn's threaded worker, made patient without being held up: a slow client costs a socket, no thread.

gunicorn gives a connection to a thread as soon as its first byte is there, and the thread then waits for the rest of
the head for ever. Here the loop takes the TLS handshake and the head in, as they come; a thread begins with a whole
head. Of a body it waits for each byte at most ``stall_s``, and takes no less than a slow pace over all.
"""

from __future__ import annotations

import selectors
import ssl
import time
from functools import partial
from typing import Any

from gunicorn import http, util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

HEAD_BYTES = 64 << 10  # of the request line and all headers
SLOWEST = 8 << 10  # bytes per second of a body, once the first ``stall_s`` are used up
LEFTOVER_BYTES = 16 << 20  # of a body that nobody wanted; read so that its sender comes to read the answer
LEFTOVER_S = 10.0


class _Source:
    """The socket as gunicorn's parser sees it: only bodies are read from it, with the patience that is left."""

    def __init__(self, sock: Any, stall_s: float) -> None:
        self.sock = sock
        self._stall_s = stall_s
        self._left: float | None = None  # seconds; None: in a head

    def begin_body(self) -> None:
        self._left = self._stall_s

    def end_body(self) -> None:
        self._left = None

    def recv(self, size: int) -> bytes:
        """Raises TimeoutError when the client is too slow."""
        if self._left is None:  # the head was whole when the parser got it: what is missing is not coming
            return b""
        self.sock.settimeout(max(self._left, 0.001))
        begun = time.monotonic()
        try:
            data: bytes = self.sock.recv(size)
        finally:
            self.sock.settimeout(self._stall_s)
        earned = len(data) / SLOWEST - (time.monotonic() - begun)
        self._left = min(self._left + earned, self._stall_s)
        return data

    def gettimeout(self) -> float:
        """For gunicorn, which bounds the reading of what is left of a body."""
        return self._stall_s

    def settimeout(self, timeout: float) -> None:
        """For gunicorn, see `gettimeout`."""
        self._left = min(self._left or 0.0, timeout)


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection whose requests' heads are gathered without waiting.

    gathering: a head is expected, since a moment of the monotonic clock. wants: what the socket must be ready for then,
    in the words of `selectors`.
    """

    def __init__(
        self, cfg: Any, sock: Any, client: Any, server: Any, tls: ssl.SSLContext | None, stall_s: float
    ) -> None:
        super().__init__(cfg, sock, client, server)
        self.sock: Any = sock
        self.parser: Any = None
        self.gathering, self.since = False, 0.0
        self.wants = selectors.EVENT_READ
        self.initialized = True  # nothing is left to be done for a thread
        self._tls, self._stall_s = tls, stall_s
        self._head = bytearray()
        self._source: _Source | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has come yet."""
        return not self._head

    def begin_head(self) -> None:
        """Expect a head."""
        self.gathering, self.since = True, time.monotonic()
        self.sock.setblocking(False)
        if self._source is not None:
            self._source.end_body()
            self._head += self.parser.unreader.take_buffered()  # read behind the body of the request before

    def gather(self) -> bool:
        """Take in what is there; True when the head is whole. Raises OSError, EOFError."""
        try:
            if self._tls is not None:
                self._shake_hands(self._tls)
            while b"\r\n\r\n" not in self._head:
                if len(self._head) > HEAD_BYTES:
                    raise EOFError("the head of the request is too long")
                data = self.sock.recv(HEAD_BYTES)
                if not data:
                    raise EOFError("the client went away")
                self._head += data
        except (ssl.SSLWantReadError, BlockingIOError):
            self.wants = selectors.EVENT_READ
            return False
        except ssl.SSLWantWriteError:
            self.wants = selectors.EVENT_WRITE
            return False
        self._hand_over()
        return True

    def _shake_hands(self, tls: ssl.SSLContext) -> None:
        if not isinstance(self.sock, ssl.SSLSocket):
            self.sock = tls.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock.do_handshake()
        self._tls = None

    def _hand_over(self) -> None:
        if self._source is None:
            self._source = _Source(self.sock, self._stall_s)
            self.parser = http.get_parser(self.cfg, self._source, self.client)
        self.parser.unreader.unread(bytes(self._head))
        self._head.clear()
        self.gathering = False

    def begin_body(self) -> None:
        """The head has been parsed: from now on reading may wait, and writing too."""
        assert self._source is not None
        self._source.begin_body()
        self.sock.settimeout(self._stall_s)

    def close(self, graceful: bool = False) -> None:
        """Close; gracefully it waits for the client a moment, so that it reads the answer."""
        if not self._closed:
            self._closed = True
            (util.close_graceful if graceful else util.close)(self.sock)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves with the ``tls``, ``header_s`` and ``stall_s`` of its application, see `act.web.server`."""

    wsgi: Any

    def load_wsgi(self) -> None:
        """The app; once this process is to stop, its answers end their connections: clients know before they ask on.

        gunicorn tells that only in answers to requests that come after the signal.
        """
        super().load_wsgi()
        app = self.wsgi

        def serve(environ: Any, start_response: Any) -> Any:
            def begin(*arguments: Any) -> Any:
                if not self.alive:
                    start_response.__self__.force_close()
                return start_response(*arguments)

            return app(environ, begin)

        self.wsgi = serve

    def accept(self, listener: Any) -> None:
        """A new connection waits in the loop, not in a thread."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        server = listener.getsockname()
        self.enqueue_req(Connection(self.cfg, sock, address, server, self.app.tls, self.app.stall_s))

    def enqueue_req(self, conn: Connection) -> None:
        """Give the connection to a thread if the head is whole, else wait for it in the loop."""
        if not conn.gathering:
            conn.begin_head()
        try:
            whole = conn.gather()
        except (OSError, EOFError) as error:
            self.log.debug("connection of %s ended: %s", conn.client, error)
            self._drop(conn)
            return
        if whole:
            super().enqueue_req(conn)
        else:
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, conn.wants, partial(self.on_pending_socket_readable, conn))

    def murder_pending(self) -> None:
        """Close connections whose head did not come in time.

        Browsers open some in advance: once this process is to stop, these wait no longer than those that were kept.
        """
        now, header_s = time.monotonic(), self.app.header_s
        idle_s = header_s if self.alive else min(header_s, STOP_KEEPALIVE_LINGER)
        for conn in [c for c in self.pending_conns if c.since + (idle_s if c.idle else header_s) <= now]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Connection) -> Any:
        """One request, in a thread; that also waits for the client at the end of a connection, not the loop."""
        kept = super().handle(conn)
        if not kept:
            conn.close(graceful=True)
        return kept

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """The head has been parsed."""
        conn.begin_body()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Read what is left of the body, so that its sender comes to read the answer."""
        deadline = time.monotonic() + LEFTOVER_S
        return keepalive and bool(conn.parser.finish_body(deadline=deadline, max_bytes=LEFTOVER_BYTES))
