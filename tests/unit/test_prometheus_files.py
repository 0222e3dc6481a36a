"""The alerts, the dashboard and the documentation speak of metrics that there are, and each alert does its work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from act import exposition, metrics
from tests.needs import need

ROOT = Path(__file__).parents[2]
RULES = ROOT / "etc/prometheus/act.rules.yml"
RULE_TESTS = Path(__file__).parent / "data/act.rules.test.yml"
DASHBOARD = ROOT / "etc/grafana/act.json"
METRIC = re.compile(r"\bact_[a-z_]+")
LABELS = re.compile(r"(?:(?<=\{)|(?<=,)) *(\w+) *[=!]~?=? *\"")
PARTS = ("_bucket", "_count", "_sum")


def told() -> dict[str, frozenset[str]]:
    """All metrics, with their labels and those that Prometheus adds."""
    counts = {
        family.name + ("_total" if family.type == "counter" else ""): {metrics.DAEMON, *instrument._labelnames}
        for instrument in metrics._instruments
        for family in instrument.describe()
    }
    gauges = {name: set(labels) for name, (_, labels) in exposition.GAUGES.items()}
    return {name: frozenset(labels | {"instance", "job", "le"}) for name, labels in (gauges | counts).items()}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def rule_tests() -> list[dict[str, Any]]:
    return [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]


def queries() -> Iterator[str]:
    """All that is asked in the alerts and on the dashboard."""
    yield from (rule["expr"] for rule in rules())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def family(name: str) -> str:
    """The metric that a series belongs to."""
    known = told()
    return next((name.removesuffix(p) for p in PARTS if name.endswith(p) and name.removesuffix(p) in known), name)


def promtool(*arguments: str, cwd: Path = ROOT) -> str:
    need(None if shutil.which("promtool") else "promtool is not installed (Debian: prometheus)")
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = {family(name) for query in queries() for name in METRIC.findall(query)}
    assert asked - told().keys() == set()


def test_they_choose_by_labels_that_those_metrics_have() -> None:
    wrong = []
    for query in queries():
        for name, chosen in re.findall(r"\b(act_[a-z_]+)\{([^}]*)\}", query):
            wrong += [
                f"{name} has no {label}" for label in LABELS.findall(f"{{{chosen}") if label not in told()[family(name)]
            ]
    assert wrong == []


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    documented = {
        name for line in text.splitlines() if line.startswith("| `act_") for name in METRIC.findall(line.split("|")[1])
    }
    assert documented == told().keys()


def test_documented_labels_are_those_that_metrics_have() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for line in text.splitlines():
        if line.startswith("| `act_"):
            _, names, labels, *_ = line.split("|")
            for name in METRIC.findall(names):
                own = told()[name] - {"instance", "job", "le"}
                assert {label.strip() for label in labels.split(",")} - {""} in (own, own - {metrics.DAEMON}), name


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "todo"}


def test_every_alert_is_tried_when_it_must_be_told_and_when_not() -> None:
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in rule_tests() if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in rule_tests() if not case.get("exp_alerts")} == names


def test_promtool_finds_nothing_wrong_with_the_files() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def test_each_alert_is_told_when_it_must_be_and_only_then(tmp_path: Path) -> None:
    tried = yaml.safe_load(RULES.read_text())
    for rule in tried["groups"][0]["rules"]:
        del rule["annotations"]["todo"]  # what is filled in is in the summary
    (tmp_path / RULES.name).write_text(yaml.safe_dump(tried))
    shutil.copy(RULE_TESTS, tmp_path)
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS.name, cwd=tmp_path)


def test_panels_do_not_overlap() -> None:
    panels = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    for one, other in combinations(panels, 2):
        beside = one["x"] >= other["x"] + other["w"] or other["x"] >= one["x"] + one["w"]
        above = one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]
        assert beside or above, (one, other)
