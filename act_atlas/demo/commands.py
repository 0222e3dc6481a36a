"""actctl demo and actctl simulate."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from act_atlas.demo.mix import FEWEST
from act_atlas.demo.run import RealCEs, run
from act_atlas.trial import TrialCE, World

Folder = click.Path(file_okay=False, path_type=Path)
File = click.Path(dir_okay=False, exists=True, path_type=Path)
QUEUE = "SIMULATED"


@click.command()
@click.option("--jobs", type=click.IntRange(min=FEWEST), default=20, show_default=True, help="How many jobs.")
@click.option("--directory", type=Folder, default=Path(".demo"), show_default=True,
              help="Where everything goes; wiped at the start, kept at the end.")  # fmt: skip
@click.option("--limit", type=float, default=105.0, show_default=True, metavar="S", help="Give up after so long.")
@click.option("--stay", is_flag=True, help="Leave the tower running afterwards, for jobs of your own.")
@click.option("--ce-url", "urls", multiple=True, help="A real CE instead of the simulated ones; at least two.")
@click.option("--ce-flavour", "flavour", default="ARC-CE", show_default=True, help="Their type, as CRIC calls it.")
@click.option("--ce-queue", default="fork", show_default=True, help="Their queue.")
@click.option("--ces", "settings", type=File, help="What the tower's configuration says of them: a <ces> element.")
@click.option("--work-dir", type=Folder, help="A directory that submit points see too.")
@click.option("--ca-dir", type=click.Path(file_okay=False, exists=True, path_type=Path), help="CAs of the real CEs.")
@click.option("--cert", type=File, help="Certificate to go to the real CEs with.")
@click.option("--key", type=File, help="Its key.")
def demo(jobs: int, directory: Path, limit: float, stay: bool, urls: Sequence[str], flavour: str, ce_queue: str,
         settings: Path | None, work_dir: Path | None, ca_dir: Path | None, cert: Path | None,
         key: Path | None) -> None:  # fmt: skip
    """Show the main job: a local PanDA, two CEs that really run jobs, and the real tower between them."""
    real = None
    if urls:
        if len(urls) < 2 or ca_dir is None or cert is None or key is None:
            raise click.UsageError("real CEs are two or more --ce-url, with --ca-dir, --cert and --key")
        text = settings.read_text() if settings else ""
        real = RealCEs([TrialCE(flavour, url, ce_queue) for url in urls], ca_dir, (cert, key), text, work_dir)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(0 if run(directory, jobs, limit, real, stay=stay) else 1)
    except KeyboardInterrupt:
        click.echo("stopped; nothing is left running", err=True)
        sys.exit(130)


@click.command()
@click.option("--ces", type=click.IntRange(min=1), default=2, show_default=True, help="How many CEs.")
@click.option("--rest", type=click.Choice(["1.0", "1.1"]), default="1.1", show_default=True,
              help="REST interface of the CEs: 1.0 as ARC 6, 1.1 as ARC 7.")  # fmt: skip
@click.option("--pretend", is_flag=True, help="CEs only let time pass instead of running jobs.")
@click.option("--directory", type=Folder, default=Path(".simulated"), show_default=True, help="Where everything goes.")
def simulate(ces: int, rest: str, pretend: bool, directory: Path) -> None:
    """Run a simulated PanDA and simulated ARC CEs in the foreground, with a configuration to use them."""
    signal.signal(signal.SIGTERM, _interrupt)
    directory = directory.resolve()
    how = ("--rest", rest, "--run", "pretend" if pretend else "really")
    try:
        with World(directory) as world:
            world.start_panda()
            places = [world.start_ce(f"ce{n}", *how) for n in range(1, ces + 1)]
            world.configure({QUEUE: places}, panda="<getjob_max_s>5</getjob_max_s>")
            click.echo(_USE.format(panda=world.panda["url"], ces="\n".join(f"CE     {ce.url}" for ce in places),
                                   base=directory, ca=world.ca.ca_cert, queue=QUEUE))  # fmt: skip
            signal.pause()
    except KeyboardInterrupt:
        click.echo("stopped")


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends as Ctrl-C does: in order."""
    raise KeyboardInterrupt


_USE = """\
PanDA  {panda}
{ces}

In another terminal, the tower:
  export ACTCONFIGARC={base}/aCTConfigARC.xml ACTCONFIGATLAS={base}/aCTConfigATLAS.xml
  actctl init --directory {base}
  actctl run

and in a third one, jobs for it and what PanDA knows of them:
  curl --cacert {ca} -d '[{{"queue": "{queue}", "count": 5, "seconds": 10}}]' {panda}/_sim/jobs
  curl --cacert {ca} {panda}/_sim/summary

Ctrl-C ends all of it."""
