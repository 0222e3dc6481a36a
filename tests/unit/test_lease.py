"""A lease ends for its holder before it ends for the others, and long calls begin only if they can end in time."""

from __future__ import annotations

import pytest

from act.config import Leases
from act.daemons.lease import Lease, must_cover
from act.errors import ConfigError, StaleClaim


def test_a_call_that_could_outlast_the_lease_is_not_covered() -> None:
    lease = Lease("validator", 600, 30)
    assert lease.covers(560)
    assert not lease.covers(571)
    lease.check()


def test_a_lease_that_has_ended_stops_every_effect() -> None:
    lease = Lease("validator", 0.0, 0.0)
    assert not lease.covers(0)
    with pytest.raises(StaleClaim):
        lease.check()


def test_what_is_configured_to_take_a_whole_lease_is_refused_and_less_is_not() -> None:
    leases = Leases(lease_s=100, margin_s=10)
    must_cover(leases, "section/call_s", 89.9)
    with pytest.raises(ConfigError, match=r"section/call_s is 90 s, .* 90 s, in aCTConfigARC\.xml"):
        must_cover(leases, "section/call_s", 90)
