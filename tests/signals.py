"""Signals to processes that tests start."""

from __future__ import annotations

import signal


def hear_ctrl_c() -> None:
    """For a child: a process that a shell started in the background ignores SIGINT, and so would all its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
