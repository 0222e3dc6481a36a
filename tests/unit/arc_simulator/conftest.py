"""Simulated ARC CEs and users of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from arc_sim_kit import Client, Make

from act.simulation import TestCA
from act.x509 import make_proxy
from act_arc.simulator import ArcSimulator


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def proxies(ca: TestCA) -> dict[str, Path]:
    found = {}
    for name in ("alice", "bob"):
        cert, key = ca.user(name)
        found[name] = ca.directory / f"{name}-proxy.pem"
        found[name].write_bytes(make_proxy(cert.read_bytes(), key.read_bytes(), 3600))
    return found


@pytest.fixture
def make(ca: TestCA, proxies: dict[str, Path], tmp_path: Path) -> Iterator[Make]:
    """A factory of (simulator, alice's client); simulators pretend unless told otherwise."""
    sims: list[ArcSimulator] = []
    clients: list[Client] = []

    def factory(
        version: Literal["1.0", "1.1"] = "1.1", user: str | None = "alice", **options: Any
    ) -> tuple[ArcSimulator, Client]:
        options = {"run": "pretend", "run_s": 0.0, **options}
        sims.append(ArcSimulator(tmp_path / str(len(sims)), ca, rest_version=version, **options).start())
        clients.append(Client(sims[-1], ca, proxies[user] if user else None, version))
        return sims[-1], clients[-1]

    yield factory
    for client in clients:
        client.connection.close()
    for sim in sims:
        sim.close()
