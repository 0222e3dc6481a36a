"""Fixtures that several modules of unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversion_cases import config_text

from act_atlas.config import AtlasConfig, load_atlas


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
