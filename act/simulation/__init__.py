"""What every simulator of a peer shares: a throw-away CA, an HTTPS server, and faults that can be steered from outside.

For tests, demonstrations and `actctl simulate`; nothing that talks to real peers imports it.
"""

from __future__ import annotations

from act.simulation.ca import TestCA
from act.simulation.faults import Faults
from act.simulation.messages import Request, Response
from act.simulation.server import SimServer

__all__ = ["Faults", "Request", "Response", "SimServer", "TestCA"]
