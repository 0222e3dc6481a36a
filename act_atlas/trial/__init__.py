"""A world to try the tower in: a simulated PanDA, simulated or real CEs, and the real tower between them.

For the demo, whole-tower tests and benchmarks. Everything is a process of its own and ends with the `World`.
"""

from act_atlas.trial.tower import Tower
from act_atlas.trial.world import TrialCE, World

__all__ = ["Tower", "TrialCE", "World"]
