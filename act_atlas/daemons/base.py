"""What the daemons of this application share: configuration, facts of queues, the PanDA client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from act import faults
from act.config import CoreConfig
from act.daemons.base import Daemon
from act.daemons.context import Context
from act.errors import ConfigError, CredentialError, SourceUnreachable, StorageUnavailable
from act.storage import Store
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.cric import CricSource, http_getter
from act_atlas.panda import PandaClient, PandaServer, connect
from act_atlas.queueinfo import QueueInfo


class AtlasDaemon(Daemon):
    """A daemon with the second configuration file."""

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self.atlas = load_atlas()
        self.joblog = faults.port("joblog", Store(self.atlas.joblog.dir), StorageUnavailable)
        store = Path(context.config.paths.store_dir) / "cric"
        source = CricSource(self.atlas, store, http_getter(context.config.ca_dir))
        self.cric = faults.port("cric", source, SourceUnreachable)
        self._client: tuple[float, PandaClient] | None = None
        self._lock = threading.Lock()

    def queues(self) -> Mapping[str, QueueInfo]:
        """The queues of this tower. SourceUnreachable before the first answer from CRIC."""
        return self.cric.load().queues

    def panda(self) -> PandaClient:
        """The client, with today's proxy; may be shared by threads."""
        proxy = None if self.atlas.panda.token_file else self.context.proxy_for(self.atlas.panda.role)
        version = proxy.expires if proxy else 0.0
        with self._lock:
            if self._client is None or self._client[0] != version:
                server = panda_server(self.atlas, self.context.config, proxy.pem if proxy else b"")
                self._client = version, faults.port("panda", connect(server), SourceUnreachable)
            return self._client[1]

    def close(self) -> None:
        """Give back the connections to PanDA."""
        if self._client is not None:
            self._client[1].close()


def panda_server(atlas: AtlasConfig, core: CoreConfig, pem: bytes) -> PandaServer:
    """PanDA as configured. pem: the proxy, if there is no token. Raises CredentialError, ConfigError for the token."""
    panda, timeouts = atlas.panda, core.timeouts
    return PandaServer(
        url=panda.server,
        ca_dir=core.ca_dir,
        protocol=panda.protocol,
        proxy_pem=pem,
        token=_token(panda.token_file) if panda.token_file else "",
        origin=panda.origin,
        connect_s=timeouts.connect_s,
        read_s=min(timeouts.read_s, panda.timeout_s),
        total_s=panda.timeout_s,
    )


def _token(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise CredentialError(f"panda/token_file {path} cannot be read: {error.strerror}") from error
    if not token:
        raise ConfigError(f"panda/token_file {path} is empty")
    return token
