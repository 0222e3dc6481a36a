"""A tower at work is scraped over HTTP: every metric that is documented is there, and Prometheus takes the answer."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from act import exposition
from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.trial import Tower
from tests.acceptance.trial import Trial
from tests.needs import need

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
LISTENING = re.compile(r"listening at (http://127\.0\.0\.1:\d+)")
DOCUMENTED = re.compile(r"\bact_[a-z_]+")
# Of a tower in which nothing goes wrong, nothing is ordered, and no CE takes tokens.
NOTHING = {"act_db_retries", "act_moves_skipped", "act_port_call_errors", "act_errors", "act_order", "act_alarm",
           "act_token_expires_timestamp_seconds"}  # fmt: skip


@pytest.fixture
def tower(trial: Trial) -> Iterator[Tower]:
    """A tower that has brought three jobs to their end, while another one runs."""
    trial.world.start_panda("--adder", "1")
    ce = trial.world.start_ce("ce1")
    tower = trial.set_up({"Q": [ce]}, more="<web><bind>127.0.0.1:0</bind><processes>1</processes></web>")
    short = trial.order(Kind("short", "Q", "finished", DONE, {"seconds": 1}), 3)
    long = trial.order(Kind("long", "Q", "finished", DONE, {"seconds": 3600}))
    tower.start()
    trial.wait("over, or running", lambda p: all_are(p, short, "finished") and all_are(p, long, "running"), PATIENCE_S)
    yield tower
    assert tower.stop() == 0


def all_are(picture: Picture, jobs: Sequence[int], status: str) -> bool:
    """At PanDA."""
    return all(picture.jobs[i].panda["status"] == status for i in jobs)


@pytest.fixture
def url(trial: Trial, tower: Tower) -> Iterator[str]:
    """Of the web server."""
    log = trial.world.directory / "web.log"
    with log.open("wb") as stream:
        process = tower.spawn("web", log=stream)
    try:
        end = time.monotonic() + PATIENCE_S
        while not (found := LISTENING.search(log.read_text())):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)


def scrape(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, exposition.CONTENT_TYPE)
    return answer.text


def values(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Metric -> labels -> value; histograms by their counts."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        samples = found.setdefault(family.name, {})
        for s in family.samples:
            if s.name in (family.name, f"{family.name}_total", f"{family.name}_count"):
                assert frozenset(s.labels.items()) not in samples, f"{s.name}{s.labels} is told twice"
                samples[frozenset(s.labels.items())] = s.value
    return found


def of(found: dict[frozenset[tuple[str, str]], float], **labels: str) -> float:
    """The sum over all that have these labels."""
    return sum(value for key, value in found.items() if labels.items() <= dict(key).items())


def moved(found: dict[str, dict[frozenset[tuple[str, str]], float]]) -> tuple[float, float]:
    """How many attempts were submitted, and brought home."""
    moves = found["act_moves"]
    return of(moves, kind="cejob", target="submitted"), of(moves, kind="cejob", target="done", daemon="fetcher-arc")


def test_a_scrape_of_a_working_tower_has_every_documented_metric(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:  # what processes count may be ten seconds old
        text = scrape(url)
        found = values(text)
        if moved(found) == (4, 3) and found.keys() == {n for n, v in found.items() if v} | NOTHING:
            break
        missing = {name for name, samples in found.items() if not samples} - NOTHING
        assert time.monotonic() < end, f"nothing is told of {missing}; submitted and done: {moved(found)}"
        time.sleep(1)
    documented = set(DOCUMENTED.findall((Path(__file__).parents[2] / "docs/metrics.md").read_text()))
    assert {name for name in documented if name.removesuffix("_total") not in found} == set()
    assert_true(found)
    assert_taken_by_prometheus(text)


def assert_true(found: dict[str, dict[frozenset[tuple[str, str]], float]]) -> None:
    """The numbers are those of these jobs."""
    assert of(found["act_moves"], kind="pandajob", daemon="pandastatus") >= 1
    assert (
        of(found["act_attempts"], state="running")
        == of(found["act_jobs"], app="atlas", queue="Q", state="running")
        == 1
    )
    assert of(found["act_ce_calls"], call="create", outcome="ok") >= 1
    assert of(found["act_ce_calls"]) == of(found["act_ce_call_seconds"])
    assert of(found["act_port_call_seconds"], port="panda", call="update_bulk") >= 1
    assert of(found["act_web_request_seconds"], daemon="web", interface="metrics", status="2xx") >= 1
    assert found["act_database_up"] == found["act_master_up"] == {frozenset(): 1}
    assert all(found["act_daemon_up"].values())


def assert_taken_by_prometheus(text: str) -> None:
    need(None if shutil.which("promtool") else "promtool is not installed (Debian: prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
