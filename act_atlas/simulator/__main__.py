"""Run the simulated PanDA alone: prints one line of JSON that says where it is, and serves until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from act.simulation import TestCA
from act_atlas.simulator import CRIC_PATH, PILOT_PATH, WRAPPER_PATH, Access, CacheServer, PandaSimulator


def main(argv: Sequence[str] | None = None) -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m act_atlas.simulator", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the test CA is, or is made")
    parser.add_argument("--port", type=int, default=0, help="of HTTPS; 0: a free one")
    parser.add_argument("--cache-port", type=int, default=0, help="of plain HTTP; 0: a free one")
    parser.add_argument("--clock-rate", type=float, default=1.0, help="simulated seconds in one")
    parser.add_argument("--adder", type=float, default=3.0, help="seconds from final report to final state")
    parser.add_argument("--cric", type=Path, help="file with the queues, as CRIC tells them")
    parser.add_argument("--client-ca-dir", type=Path, help="more CAs whose client certificates are taken")
    parser.add_argument("--production-dn", action="append", default=[], help="ask for roles; part of a DN that has one")
    options = parser.parse_args(argv)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    ca = TestCA(options.dir)
    simulator = PandaSimulator(
        ca, port=options.port, clock_rate=options.clock_rate, adder_s=options.adder,
        access=Access(bool(options.production_dn), tuple(options.production_dn)), client_ca_dir=options.client_ca_dir,
    )  # fmt: skip
    if options.cric:
        simulator.board.cric = json.loads(options.cric.read_text())
    with simulator, CacheServer(simulator.board, options.cache_port) as cache:
        places = {
            "url": simulator.url,
            "cache": cache.url,
            "wrapper": cache.url + WRAPPER_PATH,
            "pilot": cache.url + PILOT_PATH,
            "cric": simulator.url + CRIC_PATH,
            "ca_dir": str(ca.ca_dir),
            "pid": os.getpid(),
        }
        sys.stdout.write(json.dumps(places) + "\n")
        sys.stdout.flush()
        signal.sigwait((signal.SIGTERM, signal.SIGINT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
