"""Who gives an order: what commands of operators share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any

import click

why_option = click.option("--why", required=True, help="The reason, for those who come after you.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only tell what would change.")


def operator() -> str:
    """Who does it, for the events: ``operator-<login name>``; of the person where it is root in their name."""
    login = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"operator-{login}"[:100]


def ends_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--for`` and ``--until`` of orders."""
    command = click.option("--until", metavar="TIME", help="It ends then, as 2026-11-23T10:00 (UTC).")(command)
    return click.option("--for", "span", metavar="SPAN", help="It ends after so long, as 30min, 2h, 1d.")(command)
