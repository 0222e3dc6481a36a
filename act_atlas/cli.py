"""Commands for operators that only make sense with PanDA."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from act.errors import BadJobSpec, ConfigError
from act.interfaces import plugin
from act.model import Submission
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.conversion import RULES, Conversion
from act_atlas.conversion import convert as convert_job
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import BadQueue, QueueInfo, from_cric, from_facts, with_override

TOKEN = "act.TOKEN"  # stands where the token of a submission will be
_SITE_FACTS = ("schedconfig", "truepilot", "maxwalltime", "endpoints")

File = click.Path(dir_okay=False, path_type=Path)


class _BadInput(click.ClickException):
    """A file that was given is no good."""

    exit_code = 2


class _BadConfig(click.ClickException):
    """The configuration is no good."""

    exit_code = 78


class _Time(click.ParamType[float]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """ISO 8601, UTC unless it says otherwise."""
        if isinstance(value, float):
            return value
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is not a time like 2026-11-22T00:00:00Z", param, ctx)


@click.command()
@click.option("--flavour", type=click.Choice(sorted(RULES)), required=True, help="CE type.")
@click.option("--queue", "queue_file", type=File, required=True, help="JSON: pandaqueues of CRIC, or site facts.")
@click.option("--name", required=True, help="Name of the queue.")
@click.option("--job", "job_file", type=File, required=True, help="PanDA job, urlencoded or JSON.")
@click.option("--metadata", "metadata_file", type=File, help="JSON that came along with the job.")
@click.option("--created", type=_Time(), help="When the job was taken (ISO 8601); default: now.")
@click.option("--rowid", type=click.IntRange(min=1), help="Number of the job in the tower.")
@click.option("--format", "form", type=click.Choice(["request", "json"]), default="request", show_default=True)
@click.option("--why", is_flag=True, help="Also tell the rule behind every value.")
def convert(flavour: str, queue_file: Path, name: str, job_file: Path, metadata_file: Path | None,
            created: float | None, rowid: int | None, form: str, why: bool) -> None:  # fmt: skip
    """Show the exact request that a CE would get for a PanDA job at a queue."""
    try:
        config = load_atlas()
        conversion = convert_job(
            PandaJob.parse(_read(job_file)),
            _queue(_json_object(queue_file), name, config),
            config,
            flavour=flavour,
            created=time.time() if created is None else created,
            rowid=rowid,
            metadata=_json_object(metadata_file) if metadata_file else {},
        )
        click.echo(_show(conversion, flavour, form, why))
    except BadJobSpec as exc:
        raise _BadInput(f"{job_file}: {exc}") from exc
    except BadQueue as exc:
        raise _BadInput(f"{queue_file}: {exc}") from exc
    except ConfigError as exc:
        raise _BadConfig(str(exc)) from exc


def _show(conversion: Conversion, flavour: str, form: str, why: bool) -> str:
    factory = plugin("act.ce", flavour)
    reasons = list(conversion.why()) if why else []
    if form == "request":
        endpoint = next(iter(conversion.candidates), None)
        submission = Submission(0, TOKEN, conversion.spec, endpoint.queue if endpoint else "")
        return "\n".join([factory.describe(submission), *reasons])
    summary = factory.summary(conversion.spec) | ({"why": reasons} if why else {})
    return json.dumps(summary, indent=1)


def _queue(document: dict[str, Any], name: str, config: AtlasConfig) -> QueueInfo:
    """The queue from a file of any of the forms: all queues by name or one alone, CRIC's facts or plain ones."""
    is_single = any(key in document for key in (*_SITE_FACTS, "queues", "panda_resource"))
    facts = document if is_single else document.get(name)
    if not isinstance(facts, dict):
        raise BadQueue(f"no queue '{name}' (there: {', '.join(sorted(document)[:10]) or 'none'})")
    problems: list[str] = []
    plain = any(key in facts for key in _SITE_FACTS)
    queue = from_facts(name, facts) if plain else from_cric(name, facts, problems)
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    return with_override(queue, config.queues.named(name))


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except OSError as exc:
        raise _BadInput(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _BadInput(f"{path}: is not text: {exc.reason} at byte {exc.start}") from exc


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError) as exc:
        raise _BadInput(f"{path}: not valid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise _BadInput(f"{path}: not a JSON object")
    return value
