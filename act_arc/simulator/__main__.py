"""Run a simulated ARC CE until SIGTERM; tells where it is as one line of JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from act.simulation import TestCA
from act_arc.simulator.server import ArcSimulator


def main(arguments: list[str]) -> None:
    """Serve with the given options."""
    options = _parser().parse_args(arguments)
    ca = TestCA(options.ca or options.dir / "ca")
    end = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        end.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sim = ArcSimulator(
        options.dir, ca, rest_version=options.rest, run=options.run, queues=tuple(options.queues.split(",")),
        run_s=options.run_s, stage_s=options.stage_s, queue_s=options.queue_s, slots=options.slots,
        info_lag_s=options.info_lag_s, max_total=options.max_total, upload_timeout_s=options.upload_timeout_s,
        allowed_identities=options.allow, port=options.port, cert_expired=options.cert_expired,
    )  # fmt: skip
    with sim:
        told = {"url": sim.url, "ca_dir": str(ca.ca_dir), "port": sim.port}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        end.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m act_arc.simulator", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where its files go")
    parser.add_argument("--ca", type=Path, help="directory of the test CA (default: DIR/ca)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rest", choices=("1.0", "1.1"), default="1.1", help="1.0: as A-REX 6.17, 1.1: as A-REX 7")
    parser.add_argument("--run", choices=("really", "pretend"), default="really")
    parser.add_argument("--queues", default="default,long", help="comma-separated")
    for name, default in (("run-s", 1.0), ("stage-s", 0.0), ("queue-s", 0.0), ("info-lag-s", 0.0),
                          ("upload-timeout-s", 600.0)):  # fmt: skip
        parser.add_argument(f"--{name}", type=float, default=default, metavar="SECONDS")
    parser.add_argument("--slots", type=int, help="jobs running at a time")
    parser.add_argument("--max-total", type=int, help="jobs before new ones are refused")
    parser.add_argument("--allow", action="append", metavar="IDENTITY", help="may be repeated; default: everybody")
    parser.add_argument("--cert-expired", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
