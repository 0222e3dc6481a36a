"""actctl doctor: what is wrong with the tower, and what to do."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import click

from act.cli import setup
from act.doctor.check import Check, Verdict
from act.doctor.examine import Bounds, examine

_COLOURS = {Verdict.GOOD: "green", Verdict.WARNING: "yellow", Verdict.BAD: "red", Verdict.UNCHECKED: "cyan"}
_WIDTH = max(map(len, Verdict))


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--timeout", type=click.FloatRange(min=1), default=Bounds.deadline_s, show_default=True, metavar="S",
              help="How long each look may take, in seconds.")  # fmt: skip
def doctor(form: str, timeout: float) -> None:
    """Look at all that the tower needs: configuration, database, disks, credentials, CEs, daemons, and so on.

    Changes nothing. Ends with 1 if something is bad, else with 0.
    """
    checks = examine(setup.check_config, Bounds(deadline_s=timeout))
    if form == "json":
        click.echo(json.dumps({"checks": [asdict(c) for c in checks]}, indent=2))
    else:
        _show(checks)
    sys.exit(any(c.verdict is Verdict.BAD for c in checks))


def _show(checks: Sequence[Check]) -> None:
    for check in checks:
        verdict = click.style(f"{check.verdict:{_WIDTH}}", fg=_COLOURS[check.verdict])
        click.echo(f"{verdict}  {check.what}: {' '.join(check.found.split())}")
        if check.todo:
            click.echo(f"{'':{_WIDTH}}  -> {check.todo}")
    numbers = Counter(c.verdict for c in checks)
    click.echo("\n" + ", ".join(f"{numbers[v]} {v}" for v in Verdict if numbers[v]))
