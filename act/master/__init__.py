"""The master of one host: `Master(run_dir, specs).run()` keeps the daemons alive; see `act.master.loop`."""

from act.master.child import EXIT_CONFIG, DaemonSpec, Target
from act.master.hostlock import AlreadyRunning
from act.master.loop import Master, read_status
from act.master.slot import Times

__all__ = ["EXIT_CONFIG", "AlreadyRunning", "DaemonSpec", "Master", "Target", "Times", "read_status"]
