"""Configuration: short files load, mistakes are all told with file and line, the templates show every element."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_origin

import pytest
from click.testing import CliRunner
from lxml import etree
from pydantic import ValidationError

from act.cli.actctl import main
from act.config import (
    CE,
    CORE_FILE,
    CORE_VARIABLE,
    CEs,
    CoreConfig,
    Database,
    Option,
    SubmitPoint,
    load_core,
    template,
)
from act.errors import ConfigError
from act.xmlconfig import Section, load_xml
from act_atlas.config import ATLAS_FILE, ATLAS_VARIABLE, AtlasConfig, load_atlas


def write(directory: Path, text: str) -> Path:
    path = directory / CORE_FILE
    path.write_text(text)
    return path


def mistakes(path: Path, model: type[Section] = CoreConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_xml(path, model)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def fields(model: type[Section], seen: str = "") -> set[str]:
    """Paths of all elements that a model knows."""
    found = set()
    for name, field in model.model_fields.items():
        path = f"{seen}/{name}"
        found.add(path)
        annotation = field.annotation
        item = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
        if isinstance(item, type) and issubclass(item, Section):
            found |= fields(item, path)
    return found


def elements(root: etree._Element, seen: str = "") -> set[str]:
    """Paths of all elements and attributes in a file."""
    found = {f"{seen}/{name!s}" for name in root.attrib}
    for child in root.iterchildren("*"):
        path = f"{seen}/{child.tag}"
        found |= {path} | elements(child, path)
    return found


TEMPLATES = [(CORE_FILE, CoreConfig), (ATLAS_FILE, AtlasConfig)]


@pytest.mark.parametrize(("name", "model"), TEMPLATES)
def test_the_template_loads_as_it_is(tmp_path: Path, name: str, model: type[Section]) -> None:
    load_xml(write(tmp_path, template(name)), model)


@pytest.mark.parametrize(("name", "model"), TEMPLATES)
def test_the_template_shows_every_element_and_its_examples_load(
    tmp_path: Path, name: str, model: type[Section]
) -> None:
    text = template(name).replace("<!--EXAMPLE", "").replace("    -->", "")
    path = write(tmp_path, text)
    load_xml(path, model)
    assert fields(model) - elements(etree.parse(path).getroot()) == set()


def test_the_templates_values_are_the_defaults(tmp_path: Path) -> None:
    shown = load_core(write(tmp_path, template(CORE_FILE)))
    assert shown == load_core(write(tmp_path, "<config/>"))


def test_a_file_with_only_the_elements_of_conversion_loads(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """<config>
        <executable><wrapperurl>https://sw/w.sh</wrapperurl><ptarurldev>https://sw/dev.tgz</ptarurldev></executable>
        <monitor><apfmon>http://apf/api</apfmon></monitor>
        <panda><schedulerid>aCT-1</schedulerid><server>https://panda.example.org:25443</server></panda>
        <joblog><urlprefix>https://tower/jobs</urlprefix></joblog></config>""",
    )
    config = load_atlas(path)
    assert (config.panda.schedulerid, config.executable.wrapperurl) == ("aCT-1", "https://sw/w.sh")
    assert config.joblog.dir == tmp_path / "var/joblog"


def test_relative_paths_start_at_the_files_directory(tmp_path: Path) -> None:
    config = load_core(
        write(
            tmp_path,
            "<config><paths><store_dir>kept</store_dir><run_dir>/run/act</run_dir></paths>"
            "<database><url>sqlite:///act.db</url></database></config>",
        )
    )
    assert config.paths.store_dir == tmp_path / "kept"
    assert config.paths.run_dir == Path("/run/act")
    assert config.paths.state_dir == tmp_path / "var/state"
    assert config.database.url == f"sqlite:///{tmp_path}/act.db"


def test_fractions_of_seconds_attributes_and_lists_are_read(tmp_path: Path) -> None:
    config = load_core(
        write(
            tmp_path,
            """<config><leases lease_s="0.5" margin_s="0.1"/><daemons>
        <daemon name="getjob" disabled="true"/><daemon name="submitter-arc"><processes>2</processes></daemon></daemons>
        <errors><rerun>one</rerun><rerun>two</rerun></errors></config>""",
        )
    )
    assert config.leases.lease_s == 0.5
    assert [(d.name, d.processes, d.disabled) for d in config.daemons.daemon] == [
        ("getjob", 1, True), ("submitter-arc", 2, False)]  # fmt: skip
    assert config.errors.rerun == ("one", "two")


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """<config>
<databse/>
<timeouts connect_s="soon"><read_ss>1</read_ss></timeouts>
<daemons><daemon processes="0"/></daemons>
<polling>text<status_s>1</status_s>
<status_s>2</status_s></polling>
<logging><level>LOUD</level></logging>
<leases lease_s="1" margin_s="2"/>
<ca_dir><x/></ca_dir>
<breaker><open_s>-1</open_s></breaker>
</config>""",
    )
    found = mistakes(path)
    assert [line.split(": ")[:2] for line in found] == [
        ["2", "element databse"],
        ["3", "element timeouts/connect_s"],
        ["3", "element timeouts/read_ss"],
        ["4", "element daemons/daemon[1]/name"],
        ["4", "element daemons/daemon[1]/processes"],
        ["5", "element polling"],
        ["6", "element polling/status_s"],
        ["7", "element logging/level"],
        ["8", "element leases"],
        ["9", "element ca_dir"],
        ["9", "element ca_dir"],
        ["10", "element breaker/open_s"],
    ]
    assert "did you mean 'database'? allowed here: database, paths," in found[0]
    assert "not 'soon'" in found[1]
    assert "'DEBUG', 'INFO', 'WARNING' or 'ERROR'" in found[7]


@pytest.mark.parametrize("text", ["<config>\n<paths>\n</config>", "", "not XML", "<config>\n&undefined;</config>"])
def test_a_file_that_is_not_xml_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    assert all("not well-formed" in line for line in mistakes(write(tmp_path, text)))


def test_xml_cannot_pull_in_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    path = write(
        tmp_path,
        f"""<!DOCTYPE config [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>
        <config><ca_dir>&x;</ca_dir></config>""",
    )
    assert not any("SECRET" in line for line in mistakes(path))


@pytest.mark.parametrize(("xml", "told"), [
    ("<database><url>act.db</url></database>", "not a database URL"),
    ("<database><url>postgresql://act@db/act</url></database>", "SQLite and MariaDB, not on postgresql"),
    ("<daemons><threads>four</threads></daemons>", "should be a valid integer, not 'four'"),
    ("<proxies><proxy role='p'><source_cert/></proxy></proxies>", "is empty"),
    ("<proxies><proxy role='p' source_cert='a' lifetime_h='24'/></proxies>", "less than lifetime_h"),
    ("<proxies><proxy role='p'/></proxies>", "needs either source_cert or directory"),
    ("<proxies><proxy role='p' source_cert='a' directory='b'/></proxies>", "needs either source_cert or directory"),
    ("<proxies><proxy role='p' directory='b' source_key='a'/></proxies>", "source_key goes with source_cert"),
    ("<proxies><proxy role='../p' directory='b'/></proxies>", "should match pattern"),
    ("<proxies><proxy role='p' directory='a'/><proxy role='p' directory='b'/></proxies>", "more than once: p"),
    ("<proxies><proxy role='p' directory='a' fqan='/atlas'/></proxies>", "must begin with the VO in voms"),
    ("<proxies><proxy role='p' directory='a' voms='atlas' fqan='/atlas2/Role=p'/></proxies>", "/atlas/..."),
    ("<ces><ce url='u'><token/></ce></ces>", "needs one of file, issuer, token_endpoint"),
    ("<ces><ce url='u'><token file='a' issuer='https://i'/></ce></ces>", "needs one of file, issuer, token_endpoint"),
    ("<ces><ce url='u'><token issuer='https://i' client_id='c'/></ce></ces>", "needs client_id and client_secret_file"),
    ("<ces><ce url='u'><token issuer='http://i'/></ce></ces>", "should match pattern"),
    ("<daemons><daemon name='a'/><daemon name='a'/></daemons>", "more than once: a"),
    ("<timeouts><read_s>inf</read_s></timeouts>", "finite"),
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(tmp_path: Path, xml: str, told: str) -> None:
    (line,) = mistakes(write(tmp_path, f"<config>{xml}</config>"))
    assert told in line


@pytest.mark.parametrize(("xml", "told"), [
    ("<panda><server>pandaserver.cern.ch</server></panda>", "not an http(s) URL"),
    ("<panda><server>https://host:port</server></panda>", "Port"),
    ("<panda><first_heartbeat_s>3600</first_heartbeat_s></panda>", "less than or equal to 1700"),
    ("<panda getjob_min_s='9' getjob_max_s='1'/>", "must not be more"),
    ("<queues><queue name='Q'><type>pull</type></queue></queues>", "'production', 'analysis' or 'unified'"),
    ("<queues><queue name='Q'/><queue name='Q'/></queues>", "more than once: Q"),
])  # fmt: skip
def test_values_of_panda_that_make_no_sense_are_refused(tmp_path: Path, xml: str, told: str) -> None:
    (line,) = mistakes(write(tmp_path, f"<config>{xml}</config>"), AtlasConfig)
    assert told in line


@pytest.mark.parametrize(("core", "atlas", "told"), [
    ("", "<storages><total_s>570</total_s></storages>",
     ["storages/total_s in aCTConfigATLAS.xml is 570 s", "leases/lease_s", "570 s, in aCTConfigARC.xml", "raise"]),
    ("<leases><lease_s>100</lease_s></leases>", "", ["timeouts/call_s is 120 s", "70 s"]),
    ("<timeouts><transfer_s>900</transfer_s></timeouts>", "", ["timeouts/transfer_s is 900 s", "570 s"]),
])  # fmt: skip
def test_a_call_that_takes_longer_than_a_claim_lasts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str, atlas: str, told: list[str]
) -> None:
    files = {CORE_VARIABLE: (CORE_FILE, core), ATLAS_VARIABLE: (ATLAS_FILE, atlas)}
    for variable, (name, text) in files.items():
        (tmp_path / name).write_text(f"<config>{text}</config>")
        monkeypatch.setenv(variable, str(tmp_path / name))
    result = CliRunner().invoke(main, ["config", "check"])
    assert (result.exit_code, [words for words in told if words not in result.output]) == (78, [])


def test_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        CoreConfig().paths.store_dir = Path("/elsewhere")  # type: ignore[misc]


def test_the_password_comes_from_its_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("se:cret\n")
    config = load_core(
        write(
            tmp_path,
            "<config><database><url>mysql+mysqldb://act@db/act</url>"
            "<password_file>pw</password_file></database></config>",
        )
    )
    assert config.database.connect_url() == "mysql+mysqldb://act:se%3Acret@db/act"
    assert "cret" not in repr(Database(url="mysql+mysqldb://act:secret@db/act"))


def test_an_unreadable_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        Database(url="sqlite://", password_file=tmp_path / "nowhere").connect_url()


def test_config_check_names_the_files_that_it_read_and_a_password_that_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, atlas = write(tmp_path, "<config/>"), tmp_path / ATLAS_FILE
    atlas.write_text("<config/>")
    monkeypatch.setenv(CORE_VARIABLE, str(core))
    monkeypatch.setenv(ATLAS_VARIABLE, str(atlas))
    assert CliRunner().invoke(main, ["config", "check"]).output == f"{core}: good\n{atlas}: good\n"
    write(tmp_path, "<config><database><password_file>nowhere</password_file></database></config>")
    result = CliRunner().invoke(main, ["config", "check"])
    assert (result.exit_code, "nowhere: No such file" in result.output) == (78, True)


def test_the_file_named_by_the_environment_wins_over_the_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "venv"
    (venv / "etc/act").mkdir(parents=True)
    write(venv / "etc/act", "<config><daemons threads='2'/></config>")
    monkeypatch.delenv(CORE_VARIABLE, raising=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(venv))
    assert load_core().daemons.threads == 2
    monkeypatch.setenv(CORE_VARIABLE, str(write(tmp_path, "<config><daemons threads='3'/></config>")))
    assert load_core().daemons.threads == 3


def test_a_missing_file_tells_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORE_VARIABLE, str(tmp_path / "none.xml"))
    with pytest.raises(ConfigError, match=r"none\.xml .*actctl init"):
        load_core()
    monkeypatch.delenv(CORE_VARIABLE)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="actctl init"):
        load_core()


def test_jobs_go_through_all_submit_points_of_the_ce_type_unless_the_ce_is_spoken_to_directly() -> None:
    points = tuple(SubmitPoint(name=n, flavour=f) for n, f in (("s1", "condor"), ("s2", "condor"), ("x", "other")))
    ces = CEs(submit_point=points, ce=(CE(url="near:9619", direct=True),))
    assert ces.ways("condor", "far:9619") == ("s1", "s2")
    assert ces.ways("condor", "near:9619") == ("",)
    assert ces.ways("arc", "https://ce/arex") == ("",)


def test_options_of_a_ce_come_before_those_of_the_submit_point() -> None:
    options = tuple(Option(name=n, value="point's") for n in ("a", "b"))
    point = SubmitPoint(name="s1", flavour="condor", option=options)
    ces = CEs(submit_point=(point,), ce=(CE(url="far:9619", option=(Option(name="b", value="CE's"),)),))
    assert ces.options("far:9619", "s1") == {"a": "point's", "b": "CE's"}
    assert ces.options("far:9619", "") == {"b": "CE's"}
