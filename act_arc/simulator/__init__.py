"""A simulated ARC CE: see `ArcSimulator`; ``python -m act_arc.simulator`` runs one alone."""

from __future__ import annotations

from act_arc.simulator.job import SimJob
from act_arc.simulator.server import ArcSimulator

__all__ = ["ArcSimulator", "SimJob"]
