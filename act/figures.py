"""Figures of the tower at one moment: what is kept over time, drawn, and given to Prometheus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. scope and name: whose it is (`TOWER` has the name ""); key: what it counts, often a state."""

    scope: str
    name: str
    key: str
    value: float


TOWER, CE, QUEUE, USER = "tower", "ce", "queue", "user"
SLOTS = "slots"  # a key of queues beside the states of their jobs: the cores of those that run
