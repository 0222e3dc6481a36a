"""The far side of a benchmark in one process: PanDA and two ARC CEs whose jobs only pretend to run.

Prints one line of JSON that says where they are, and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from act.simulation import TestCA
from act_arc.simulator.server import ArcSimulator
from act_atlas.simulator import CRIC_PATH, WRAPPER_PATH, CacheServer, PandaSimulator, PretendPilot


def main() -> None:
    """Serve with the given options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--ces", type=int, default=2)
    parser.add_argument("--run-s", type=float, default=5.0)
    parser.add_argument("--slots", type=int, help="jobs that run at a time at each CE (default: no limit)")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    ca = TestCA(options.dir / "ca")
    with ExitStack() as stack:
        panda = stack.enter_context(PandaSimulator(ca))
        cache = stack.enter_context(CacheServer(panda.board, 0))
        pilot = PretendPilot(panda.board)
        ces = [
            stack.enter_context(
                ArcSimulator(
                    options.dir / f"ce{n}",
                    ca,
                    run="pretend",
                    run_s=options.run_s,
                    slots=options.slots,
                    on_start=pilot.on_start,
                    on_end=pilot.on_end,
                    on_output=pilot.output,
                )
            )
            for n in range(options.ces)
        ]
        places = {
            "url": panda.url,
            "cache": cache.url,
            "wrapper": cache.url + WRAPPER_PATH,
            "cric": panda.url + CRIC_PATH,
            "ces": [ce.url for ce in ces],
        }
        sys.stdout.write(json.dumps(places) + "\n")
        sys.stdout.flush()
        signal.sigwait((signal.SIGTERM, signal.SIGINT))


if __name__ == "__main__":
    main()
