"""Towers in one process, with fake CEs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tower import Tower, make_tower

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
        tower.close()


@pytest.fixture
def tower(new_tower: MakeTower) -> Tower:
    """A tower with one CE."""
    return new_tower()
