"""Fixtures of the contract suite for compute elements."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from ce_sites import KINDS, Site, kinds

from act.errors import CERefused
from act.interfaces import ComputeElement


@pytest.fixture(
    scope="module",
    params=kinds(),
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A CE of each kind."""
    with ExitStack() as stack:
        yield KINDS[request.param].make(stack)


@pytest.fixture(scope="module")
def ce(site: Site) -> Iterator[ComputeElement]:
    """The CE as its user sees it."""
    with site.ce() as ce:
        yield ce


@pytest.fixture(scope="module")
def delegation(site: Site, ce: ComputeElement) -> Iterator[str]:
    """A delegation of the user for all jobs of the module; it and they are removed in the end."""
    delegation = ce.delegate()
    yield delegation
    ce.kill(site.made)
    end = time.monotonic() + site.within_s
    while True:
        ce.clean(site.made)
        try:
            ce.undelegate(delegation)
            break
        except CERefused:
            assert time.monotonic() < end
            time.sleep(0.5)
