"""Facts of queues: what CRIC means, local settings above it, and the last good answer when it fails."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from act.errors import ConfigError, SourceUnreachable
from act.simulation.ca import TestCA
from act.simulation.messages import Request, Response
from act.simulation.server import SimServer
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.cric import CricSource, http_getter
from act_atlas.queueinfo import BadQueue, Endpoint, QueueInfo, all_queues, ce_url, collector_of, from_cric, from_facts

DATA = Path(__file__).parent / "data" / "cric-pandaqueues.json"
Facts = dict[str, Any]


@pytest.fixture
def facts() -> Facts:
    entry: Facts = json.loads(DATA.read_text())["ARC-TEST"]
    return entry


def atlas(tmp_path: Path, xml: str) -> AtlasConfig:
    path = tmp_path / "aCTConfigATLAS.xml"
    path.write_text(f"<config>{xml}</config>")
    return load_atlas(path)


def ce(**changes: Any) -> Facts:
    return {"ce_endpoint": "ce.example.org:443", "ce_flavour": "ARC-CE", "ce_state": "ACTIVE", "ce_queue_name": "long",
            "ce_jobmanager": "slurm"} | changes  # fmt: skip


def queue(entry: Facts, **changes: Any) -> QueueInfo:
    return from_cric("Q", entry | changes, [])


def test_a_realistic_entry_is_understood(facts: Facts) -> None:
    assert from_cric("ARC-TEST", facts, []) == QueueInfo(
        name="ARC-TEST", schedconfig="ARC-TEST", type="unified", status="online", pilot_version="3.7.0.36",
        python_version="3", params={}, corecount=8, maxrss_mb=16000, maxtime_s=345600, maxwalltime_min=5760,
        walltime_told=True, truepilot=True, push=True,
        endpoints=(Endpoint("arc", "https://localhost:8443/arex", "default", "slurm"),),
    )  # fmt: skip


@pytest.mark.parametrize(("given", "url"), [
    ("ce.example.org", "https://ce.example.org:443/arex"),
    ("ce.example.org:443/arex", "https://ce.example.org:443/arex"),
    ("https://ce.example.org:8443/arex/", "https://ce.example.org:8443/arex"),
    ("ce.example.org:443/arex/rest", "https://ce.example.org:443/arex"),
    ("https://ce.example.org/site/rest/1.1", "https://ce.example.org:443/site"),
    ("gsiftp://ce.example.org:2811/jobs", "https://ce.example.org:443/arex"),
    ("[::1]:8443", "https://[::1]:8443/arex"),
])  # fmt: skip
def test_every_form_of_an_arc_endpoint_becomes_one_url(given: str, url: str) -> None:
    assert ce_url(given) == url


@pytest.mark.parametrize("given", ["", "host:port", "https://", "ho st", "[::1"])
def test_an_endpoint_without_a_host_is_refused(given: str) -> None:
    with pytest.raises(BadQueue):
        ce_url(given)


@pytest.mark.parametrize(("given", "address"), [
    ("ce.example.org", "ce.example.org:9619"), ("ce.example.org:9620", "ce.example.org:9620"),
    ("https://ce.example.org/x", "ce.example.org:9619"), ("[::1]:9619", "[::1]:9619"),
])  # fmt: skip
def test_every_form_of_an_htcondor_endpoint_becomes_the_address_of_its_collector(given: str, address: str) -> None:
    assert collector_of(given) == address


@pytest.mark.parametrize("given", ["", "host:port", "https://", "ho st", "[::1"])
def test_an_htcondor_endpoint_without_a_host_is_refused(given: str) -> None:
    with pytest.raises(BadQueue):
        collector_of(given)


def test_a_queue_in_nordugrid_mode_has_no_candidates_of_types_that_move_no_data(facts: Facts) -> None:
    ces = [ce(ce_flavour="HTCONDOR-CE"), ce()]
    info = queue(facts, queues=ces, copytools={"mv": {}})
    assert (len(info.candidates("arc")), info.candidates("condor")) == (1, ())


def test_queues_named_default_are_dropped_if_there_are_others(facts: Facts) -> None:
    ces = [ce(ce_queue_name="default"), ce(ce_queue_name="long"), ce(ce_queue_name="short")]
    assert [e.queue for e in queue(facts, queues=ces).endpoints] == ["long", "short"]
    assert [e.queue for e in queue(facts, queues=ces[:1]).endpoints] == ["default"]


def test_only_active_ces_of_known_types_are_used(facts: Facts) -> None:
    ces = [ce(ce_state="DISABLED"), ce(ce_flavour="CREAM-CE"), ce(ce_flavour="HTCONDOR-CE", ce_endpoint="c.org"), ce()]
    info = queue(facts, queues=ces)
    assert info.candidates("arc") == (Endpoint("arc", "https://ce.example.org:443/arex", "long", "slurm"),)
    assert info.candidates("condor") == (Endpoint("condor", "c.org:9619", "long", "slurm"),)


def test_the_same_ce_queue_named_twice_is_one_candidate(facts: Facts) -> None:
    assert len(queue(facts, queues=[ce(), ce()]).endpoints) == 1


def test_a_bad_ce_does_not_cost_the_good_ones(facts: Facts) -> None:
    problems: list[str] = []
    info = from_cric("Q", facts | {"queues": [ce(ce_endpoint="host:port"), ce()]}, problems)
    assert len(info.endpoints) == 1
    assert "Q" in problems[0]
    assert "host:port" in problems[0]


@pytest.mark.parametrize(("changes", "minutes"), [
    ({"maxtime": 86400}, 1440),
    ({"maxtime": 0, "queues": [ce(ce_queue_maxwctime=600), ce(ce_queue_maxwctime="2880")]}, 2880),
    ({"maxtime": None, "queues": []}, 10080),
    ({"maxtime": 10**9}, 10080),
])  # fmt: skip
def test_walltime_is_the_queues_or_its_ces_and_a_week_at_most(facts: Facts, changes: Facts, minutes: int) -> None:
    assert queue(facts, **changes).maxwalltime_min == minutes


@pytest.mark.parametrize(("changes", "truepilot"), [
    ({"copytools": {"rucio": {}}, "acopytools": None}, True),
    ({"copytools": {"mv": {}}, "acopytools": {}}, False),
    ({"copytools": None, "acopytools": {"pr": ["rucio"], "write_lan": ["mv"]}}, False),
    ({"copytools": {"gfalmv": {}}, "acopytools": {"pr": ["mvx"]}}, True),
])  # fmt: skip
def test_the_mv_copytool_means_nordugrid_mode(facts: Facts, changes: Facts, truepilot: bool) -> None:
    assert queue(facts, **changes).truepilot is truepilot


def test_special_queues_count_as_production(facts: Facts) -> None:
    assert queue(facts, type="special").type == "production"


@pytest.mark.parametrize(("changes", "taken"), [
    ({}, True),
    ({"pilot_manager": "Harvester"}, False),
    ({"state": "DISABLED"}, False),
    ({"is_virtual": True}, False),
])  # fmt: skip
def test_queues_of_others_are_left_alone(facts: Facts, changes: Facts, taken: bool) -> None:
    queues, problems = all_queues({"Q": facts | changes}, AtlasConfig())
    assert (list(queues), problems) == (["Q"] if taken else [], [])


def test_a_queue_that_does_not_say_whether_it_is_virtual_is_not(facts: Facts) -> None:
    del facts["is_virtual"]
    assert list(all_queues({"Q": facts}, AtlasConfig())[0]) == ["Q"]


@pytest.mark.parametrize(("version", "taken"), [("3", True), ("3.7.0.36", True), ("3.7.0.3", False), ("2", False)])
def test_the_pilot_version_is_compared_part_by_part(tmp_path: Path, facts: Facts, version: str, taken: bool) -> None:
    config = atlas(tmp_path, f"<cric><pilot_version>{version}</pilot_version></cric>")
    assert bool(all_queues({"Q": facts}, config)[0]) is taken


@pytest.mark.parametrize("changes", [
    {"corecount": "many"}, {"maxtime": -1}, {"maxrss": [1]}, {"queues": "none"}, {"copytools": ["mv"]},
    {"type": "pull"}, {"params": "x"}, {"corecount": float("inf")},
])  # fmt: skip
def test_one_bad_queue_never_costs_another(facts: Facts, changes: Facts) -> None:
    queues, problems = all_queues({"BAD": facts | changes, "WORSE": None, "GOOD": facts}, AtlasConfig())
    assert list(queues) == ["GOOD"]
    assert [p.split(":")[0] for p in problems] == ["queue BAD", "queue WORSE"]


def test_local_settings_win(tmp_path: Path, facts: Facts) -> None:
    config = atlas(
        tmp_path,
        """<queues><queue name="Q" status="offline" truepilot="false" maxjobs="5">
        <endpoint url="other.org" queue="q"/></queue></queues>""",
    )
    info = all_queues({"Q": facts}, config)[0]["Q"]
    assert (info.status, info.truepilot, info.maxjobs, info.push) == ("offline", False, 5, True)
    assert info.endpoints == (Endpoint("arc", "https://other.org:443/arex", "q"),)


def test_a_queue_can_be_made_by_local_settings_alone(tmp_path: Path) -> None:
    config = atlas(tmp_path, """<queues><queue name="HERE"><endpoint url="localhost:1" queue="q"/></queue></queues>""")
    assert all_queues({}, config)[0]["HERE"].candidates("arc")[0].url == "https://localhost:1/arex"


def test_site_facts_with_endpoints_are_understood() -> None:
    info = from_facts("Q", {"truepilot": False, "push": True, "maxwalltime": 0, "params": {"a": 1},
                            "endpoints": [{"flavour": "arc", "url": "https://ce/arex", "queue": "q"}]})  # fmt: skip
    assert (info.maxwalltime_min, info.truepilot, info.params) == (10080, False, {"a": "1"})
    assert info.endpoints == (Endpoint("arc", "https://ce/arex", "q"),)


@pytest.mark.parametrize("facts", [
    {"truepilot": "yes"}, {"endpoints": ["ce/q"]}, {"endpoints": [{"host": "x"}]}, {"maxwalltime": "x"},
])  # fmt: skip
def test_site_facts_that_make_no_sense_are_refused(facts: Facts) -> None:
    with pytest.raises(BadQueue):
        from_facts("Q", facts)


class Cric(SimServer):
    """Serves the realistic example where CRIC has it."""

    def handle(self, request: Request) -> Response:
        if request.path == "/query/" and "json" in request.query:
            return Response(200, DATA.read_bytes())
        return Response(503, b"busy")


def test_facts_come_over_https_from_a_server_that_is_verified(tmp_path: Path) -> None:
    with Cric(TestCA(tmp_path / "ca")) as server:
        config = atlas(tmp_path, f"<cric><url>{server.url}/query/?json</url></cric>")
        source = CricSource(config, tmp_path, http_getter(tmp_path / "ca" / "certificates"))
        assert len(source.refresh().queues) == 2
        with pytest.raises(SourceUnreachable, match="503 busy"):
            http_getter(tmp_path / "ca" / "certificates")(f"{server.url}/other", 5)
        stranger = TestCA(tmp_path / "stranger").ca_dir
        with pytest.raises(SourceUnreachable, match=r"(?i)certificate"):
            http_getter(stranger)(f"{server.url}/query/?json", 5)
        with pytest.raises(ConfigError, match="nowhere"):
            http_getter(tmp_path / "nowhere")(f"{server.url}/query/?json", 5)


class FakeServer:
    """Answers with what it was given, or fails."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer

    def get(self, url: str, deadline_s: float) -> bytes:
        if self.answer is None:
            raise SourceUnreachable(f"{url} is down")
        return self.answer


def test_the_last_good_answer_is_kept_when_the_server_fails(tmp_path: Path) -> None:
    server = FakeServer(DATA.read_bytes())
    source = CricSource(AtlasConfig(), tmp_path, server.get)
    assert set(source.refresh().queues) == {"ARC-TEST", "ARC-TEST-2"}
    for answer in (None, b"<html>", b"[]", b"{}", b'{"error": "busy"}', b"{" * 100_000):
        server.answer = answer
        with pytest.raises(SourceUnreachable):
            source.refresh()
        assert set(source.load().queues) == {"ARC-TEST", "ARC-TEST-2"}


def test_another_process_sees_a_new_answer(tmp_path: Path, facts: Facts) -> None:
    server = FakeServer(DATA.read_bytes())
    writer, reader = (CricSource(AtlasConfig(), tmp_path, server.get) for _ in range(2))
    writer.refresh()
    first = reader.load()
    assert reader.load() is first
    server.answer = json.dumps({"NEW": copy.deepcopy(facts)}).encode()
    writer.refresh()
    assert list(reader.load().queues) == ["NEW"]


def test_without_any_answer_there_is_an_error_and_no_empty_table(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="no facts of queues yet"):
        CricSource(AtlasConfig(), tmp_path, FakeServer(None).get).load()


@pytest.mark.parametrize("form", ["{path}", "file://{path}"])
def test_facts_can_come_from_a_file(tmp_path: Path, form: str) -> None:
    config = atlas(tmp_path, f"<cric><url>{form.format(path=DATA)}</url></cric>")
    assert len(CricSource(config, tmp_path, FakeServer(None).get).refresh().queues) == 2


def test_without_a_source_the_local_queues_are_all(tmp_path: Path) -> None:
    config = atlas(tmp_path, "<cric><url/></cric><queues><queue name='Q'><endpoint url='ce.org'/></queue></queues>")
    source = CricSource(config, tmp_path, FakeServer(None).get)
    assert list(source.refresh().queues) == list(source.load().queues) == ["Q"]
