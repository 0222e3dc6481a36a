"""A simulated PanDA, and a client for each of its interfaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from panda_kit import connected

from act.simulation import TestCA
from act_atlas.panda import PandaClient, PandaServer
from act_atlas.simulator import PandaSimulator


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def sim(ca: TestCA) -> Iterator[PandaSimulator]:
    with PandaSimulator(ca, adder_s=5) as simulator:
        yield simulator


@pytest.fixture(params=["v1", "legacy"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(sim: PandaSimulator, ca: TestCA, protocol: str) -> PandaServer:
    return PandaServer(sim.url, ca.ca_dir, protocol, connect_s=2, read_s=5, total_s=10)


@pytest.fixture
def client(server: PandaServer) -> Iterator[PandaClient]:
    with connected(server) as c:
        yield c
