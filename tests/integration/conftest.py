"""Towers in one process, with fake CEs, and with a simulated PanDA; whatever a test leaves must be explained.

And how people come in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from act.client.identity import Gate
from act.config import CoreConfig
from act.db.engine import Database
from act.simulation import TestCA
from act_atlas.simulator import PandaSimulator
from tests.integration.beats import ARC_DAEMONS, PANDA_DAEMONS, beat
from tests.integration.client_tower import ClientTower, MakeClientTower
from tests.integration.nordugrid import CE_FAULT, NORDUGRID, Storage
from tests.integration.panda_tower import PandaTower
from tests.integration.renewal import Renewal
from tests.integration.token_issuer import CountingIssuer
from tests.people import People, spare_key, users_config
from tests.tower import Tower, make_tower
from tests.truth import assert_all_explained

MakeTower = Callable[..., Tower]


@pytest.fixture
def new_tower(tmp_path: Path, sqlite_template: Path) -> Iterator[MakeTower]:
    """Towers with so many sites and further configuration."""
    made: list[Tower] = []

    def make(sites: int = 1, extra: str = "") -> Tower:
        directory = tmp_path / f"tower{len(made)}"
        directory.mkdir()
        made.append(make_tower(directory, sqlite_template, sites, extra))
        return made[-1]

    yield make
    for tower in made:
        assert_all_explained(tower.environment)
        tower.close()


@pytest.fixture
def tower(new_tower: MakeTower) -> Tower:
    """A tower with one CE."""
    return new_tower()


@pytest.fixture(scope="session")
def panda_ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """The CA of the simulated PanDA and of the tower."""
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def panda_tower(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PandaTower]:
    """A tower with a PanDA, a proxy, and facts of its queue."""
    with ready(tmp_path, sqlite_template, panda_ca, monkeypatch) as tower:
        yield tower


@contextmanager
def ready(
    directory: Path, template: Path, ca: TestCA, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Iterator[PandaTower]:
    """A tower and its PanDA; what it leaves must be explained. settings: as of `PandaTower`."""
    with PandaSimulator(ca, adder_s=1) as panda:
        tower = PandaTower(directory, template, ca, panda, **settings)
        for variable, value in tower.environment.items():
            monkeypatch.setenv(variable, value)
        tower.once("proxy", "cric")
        yield tower
        assert_all_explained(tower.environment)
        tower.close()


@pytest.fixture
def running(panda_tower: PandaTower) -> PandaTower:
    """A tower all of whose daemons run."""
    beat(panda_tower, *PANDA_DAEMONS, *ARC_DAEMONS)
    return panda_tower


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """The CA of everybody in tests of credentials."""
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def renewal(tmp_path: Path, database_url: str, ca: TestCA) -> Iterator[Callable[..., Renewal]]:
    """Makes a proxy daemon: renewal(elements of proxies, further elements)."""
    made: list[Renewal] = []

    def make(*arguments: str) -> Renewal:
        made.append(Renewal(tmp_path, database_url, ca, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.context.close()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Of the tower in NorduGrid mode."""
    return Storage(tmp_path / "storage")


@pytest.fixture
def nordugrid_tower(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch, storage: Storage
) -> Iterator[PandaTower]:
    """A tower whose only queue is in NorduGrid mode."""
    settings = (
        f"<storages><removable>file://{storage.root}/</removable><retry_s>30</retry_s></storages>"
        f"<errors><max_attempts>2</max_attempts><resubmit>{CE_FAULT}</resubmit></errors>"
    )
    with ready(tmp_path, sqlite_template, panda_ca, monkeypatch, atlas=settings, facts=NORDUGRID) as tower:
        yield tower


@pytest.fixture
def new_client_tower(tmp_path: Path, database_url: str) -> Iterator[MakeClientTower]:
    """Makes a tower for people's jobs; what it leaves must be explained, and counted right against quotas."""
    made: list[ClientTower] = []

    def make(**settings: Any) -> ClientTower:
        made.append(ClientTower(tmp_path / "people", database_url, **settings))
        return made[-1]

    yield make
    for tower in made:
        tower.assert_counted()
        tower.assert_explained()
        tower.close()


@pytest.fixture
def client_tower(new_client_tower: MakeClientTower) -> ClientTower:
    """One with generous quotas."""
    return new_client_tower()


@pytest.fixture
def gate_config(people: People, tmp_path: Path) -> CoreConfig:
    """Of a tower that people hand their proxies over to."""
    return users_config(people, tmp_path)


@pytest.fixture
def gate(gate_config: CoreConfig, database: Database) -> Gate:
    """Theirs."""
    return Gate(gate_config, database)


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of hand-overs take long to make: some that are there are used in turns."""
    numbers = itertools.cycle((2, 3, 4))
    quick = {"generate_private_key": lambda **_: spare_key(next(numbers))}
    monkeypatch.setattr("act.x509.rsa", SimpleNamespace(**vars(rsa) | quick))


@pytest.fixture
def issuer(ca: TestCA, people: People) -> Iterator[CountingIssuer]:
    """An issuer of tokens, which can be reached as its CA is trusted."""
    for path in ca.ca_dir.iterdir():
        (people.ca_dir / path.name).write_bytes(path.read_bytes())
    with CountingIssuer(ca, {}) as issuer:
        issuer.keys.issuer = issuer.url
        yield issuer
