"""Fixtures that several modules of unit tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conversion_cases import config_text

from act_atlas.config import AtlasConfig, load_atlas
from tests.people import People


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aCTConfigATLAS.xml of the conversion cases."""
    path = tmp_path_factory.mktemp("etc") / "aCTConfigATLAS.xml"
    path.write_text(config_text())
    return path


@pytest.fixture(scope="module")
def config(config_file: Path) -> AtlasConfig:
    """The same, loaded."""
    return load_atlas(config_file)


@pytest.fixture
def own(tmp_path: Path, people: People) -> People:
    """The same people, with a CA directory to change."""
    other = object.__new__(People)
    other.__dict__ |= people.__dict__
    other.ca_dir = tmp_path / "certificates"
    shutil.copytree(people.ca_dir, other.ca_dir)
    return other
