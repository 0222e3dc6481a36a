"""A TCP relay in front of a CE that can lose, hold back and slow down what passes, without touching the CE."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType


class Relay:
    """Listens on a free port of 127.0.0.1 and passes all on to (host, port), as ``mode`` says.

    pass: all of it; freeze: nothing, connections stay open; drip: answers byte by byte; swallow: requests only, and
    the connection ends when the answer comes. `cut` ends all connections that are open.
    """

    def __init__(self, host: str, port: int) -> None:
        self.mode = "pass"
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut(self) -> None:
        """End all open connections."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            client = self._listener.accept()[0]
            server = socket.create_connection(self._target)
            self._pairs.append((client, server))
            thread = threading.Thread(target=self._pump, args=(client, server))
            self._threads.append(thread)
            thread.start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError):
            while not self._ended.is_set():
                if self.mode == "freeze":
                    self._ended.wait(0.02)
                    continue
                for source in select.select([client, server], [], [], 0.02)[0]:
                    drip = self.mode == "drip" and source is server
                    if self.mode == "swallow" and source is server:
                        return
                    if not (data := source.recv(1 if drip else 65536)):
                        return
                    if drip:
                        self._ended.wait(0.05)
                    (client if source is server else server).sendall(data)
