"""A simulated PanDA server: both interfaces, all rules a tower can see, a clock that can run fast, nothing kept."""

from __future__ import annotations

from act_atlas.simulator.access import Access
from act_atlas.simulator.cache import CacheServer
from act_atlas.simulator.jobs import Order
from act_atlas.simulator.pretend import PretendPilot
from act_atlas.simulator.server import CRIC_PATH, PILOT_PATH, WRAPPER_PATH, PandaSimulator

__all__ = [
    "CRIC_PATH",
    "PILOT_PATH",
    "WRAPPER_PATH",
    "Access",
    "CacheServer",
    "Order",
    "PandaSimulator",
    "PretendPilot",
]
