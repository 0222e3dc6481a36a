"""The web server: gunicorn with our settings, our worker and our log."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.systemd import sd_notify

from act.config import CoreConfig, Web
from act.errors import ConfigError
from act.web.worker import Worker

log = logging.getLogger(__name__)
KEEPALIVE_S = 75  # more than browsers' 60 and clients that think between two commands; idle connections cost no thread
STOP_S = 30  # that requests under way have after SIGTERM
LOST_S = 60  # after which a process whose loop does not turn is replaced


class Log(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages among our own. Requests are logged by the app."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)

    def access(self, *_: Any) -> None:
        return

    def reopen_files(self) -> None:
        return


class _Parent(Arbiter):  # type: ignore[misc]
    """gunicorn's parent process. That it is ready it tells systemd itself; we add every second that it lives."""

    def murder_workers(self) -> None:
        super().murder_workers()
        sd_notify("WATCHDOG=1", self.log)


class Server(BaseApplication):  # type: ignore[misc]
    """Serves an app in processes and threads until SIGTERM.

    SIGHUP reads the configuration and the certificate anew and replaces the processes; what is wrong changes nothing.
    read: the configuration; make_app: called in each process after the fork, gives a WSGI app. tls, header_s, stall_s:
    for `act.web.worker`. Raises ConfigError.
    """

    def __init__(self, read: Callable[[], CoreConfig], make_app: Callable[[CoreConfig], object]) -> None:
        self._read, self._make_app = read, make_app
        self._take(read())
        super().__init__()

    def _take(self, config: CoreConfig) -> None:
        tls = tls_context(config.web)
        self._config, self._web, self.tls = config, config.web, tls
        self.header_s, self.stall_s = config.web.header_s, config.web.stall_s

    def run(self) -> None:
        _Parent(self).run()

    def reload(self) -> None:
        """In the parent, at SIGHUP."""
        try:
            self._take(self._read())
        except ConfigError as error:
            log.error("everything stays as it is: %s", error)
        super().reload()

    def load_config(self) -> None:
        settings = {
            "bind": self._web.bind,
            "workers": self._web.processes,
            "threads": self._web.threads,
            "worker_class": Worker,
            "logger_class": Log,
            "preload_app": False,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": STOP_S,
            "timeout": LOST_S,
            "limit_request_line": 8190,
            "limit_request_fields": 64,
            "control_socket_disable": True,
            "forwarder_headers": "",  # paths are what the client asked for, whoever is before us
            "when_ready": _tell,
        }
        if self._web.certificate is not None:
            settings |= {"certfile": str(self._web.certificate), "keyfile": str(self._web.key)}
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        """The app of this process."""
        return self._make_app(self._config)


def tls_context(web: Web) -> ssl.SSLContext | None:
    """What connections are secured with; None without a certificate. Raises ConfigError."""
    if web.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(web.certificate, web.key)
    except (OSError, ValueError) as error:
        raise ConfigError(f"web: certificate {web.certificate} and key {web.key} cannot be used: {error}") from error
    return context


def _tell(arbiter: Any) -> None:
    for listener in arbiter.LISTENERS:
        log.info("listening at %s", listener)
