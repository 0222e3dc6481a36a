"""A tower as if it had been run for days: 20 CEs, 30 queues, any number of jobs, put into a database at once."""

from tests.seeded.tower import SeededTower, Size

__all__ = ["SeededTower", "Size"]
