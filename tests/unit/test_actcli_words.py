"""What users write and read: times, sizes, ids, arrays, columns, settings."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from act.cli.user import config, errors, selection, show, units
from act.cli.user.main import main
from act.cli.user.selection import Selection, select
from act.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("1:30:00", 5400), ("1:30", 5400), ("2d", 172800), ("45 s", 45),
     ("1.5h", 5400), ("10min", 600), ("1w", 604800)],
)  # fmt: skip
def test_times_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("command", ["cat", "explain"])
def test_what_is_no_job_id_is_wrong_usage(command: str) -> None:
    result = CliRunner().invoke(main, ["--server", "https://localhost:1", command, "17-20"])
    assert (result.exit_code, "takes one number" in result.output) == (2, True)


@pytest.mark.parametrize("text", ["", "90", "h", "2 hours", "-1h", "1h x", "1:70", "1,5h"])
def test_a_time_that_may_mean_several_things_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "mb"), [("2000", 2000), ("2GB", 2000), ("1.5g", 1500), ("500MB", 500), ("500 M", 500), ("10kB", 1)]
)
def test_sizes_are_megabytes_unless_said_otherwise(text: str, mb: int) -> None:
    assert units.megabytes(text) == mb


@pytest.mark.parametrize("text", ["", "2 pounds", "-5", "1,5GB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        units.megabytes(text)


def test_spans_and_sizes_are_shown_in_two_words() -> None:
    assert [units.span(s) for s in (None, 0, 45, 720, 3600, 12000, 90000, 356400)] == [
        "", "0 s", "45 s", "12 min", "1 h", "3 h 20 min", "1 d 1 h", "4 d 3 h",
    ]  # fmt: skip
    assert [units.size(n) for n in (None, 0, 999, 3400, 120_000_000, 9_960_000, 1e12)] == [
        "", "0 B", "999 B", "3.4 kB", "120 MB", "10 MB", "1.0 TB",
    ]  # fmt: skip


def test_moments_have_a_date_only_if_it_is_not_today() -> None:
    noon = time.mktime((2026, 5, 20, 12, 0, 0, 0, 0, -1))
    assert units.moment(noon + 62, noon) == "12:01:02"
    assert units.moment(noon - 86400, noon) == "May 19 12:00"
    assert units.moment(noon - 366 * 86400, noon) == "2025-05-19 12:00"


def test_ids_and_ranges_may_be_written_in_any_way() -> None:
    assert select(["7", "5-9,20", "10"], "", []).ids == ((5, 10), (20, 20))
    assert selection.ids_as_text([3, 1, 2, 9]) == "1-3,9"


@pytest.mark.parametrize("word", ["x", "1-", "-5", "9-5", "1-2-3", "1.5", "1-900000"])
def test_a_word_that_is_no_id_is_refused(word: str) -> None:
    with pytest.raises(ValueError):
        select([word], "", [])


def test_requests_stay_short_whatever_is_asked_for() -> None:
    scattered = Selection(tuple((i, i) for i in range(1, 20_000, 2)), name="x")
    queries = list(scattered.queries())
    assert all(len(q["id"]) <= selection.LONGEST_QUERY and q["name"] == "x" for q in queries)
    assert ",".join(q["id"] for q in queries).split(",") == [str(i) for i in range(1, 20_000, 2)]
    long = Selection(((1, 12_000),))
    assert [q["id"] for q in long.queries()] == ["1-5000", "5001-10000", "10001-12000"]
    assert [len(b["ids"]) for b in long.bodies()] == [5000, 5000, 2000]


def test_all_is_said_in_words_and_alone() -> None:
    assert list(Selection().bodies()) == [{"all": True}]
    assert list(select([], "n", ["Done,lost"]).bodies()) == [{"name": "n", "states": ["done", "lost"]}]


def test_arrays_are_ranges_with_steps_in_the_order_given() -> None:
    assert selection.array("1-4") == [1, 2, 3, 4]
    assert selection.array("0-9:3,7,3") == [0, 3, 6, 9, 7]
    for text in ("", "a", "5-1", "1-5:0", "1-5:x"):
        with pytest.raises(ValueError):
            selection.array(text)


def test_columns_are_checked_by_name() -> None:
    assert show.columns(["id,STATE", "node"]) == ["id", "state", "node"]
    with pytest.raises(ValueError, match="there is no column colour; there are id, name"):
        show.columns(["id,colour"])


def test_a_table_is_cut_to_the_terminal_and_nowhere_else() -> None:
    job = {"id": 1, "name": "n" * 50, "state": "done", "error": "word " * 30}
    wide = show.jobs_table([job], ["id", "name", "state", "error"], None)
    assert wide[1].split()[:3] == ["1", "n" * 50, "done"]
    narrow = show.jobs_table([job], ["id", "name", "state", "error"], 60)
    assert all(show.cells(line) <= 60 for line in narrow)
    assert narrow[1].count("…") == 2
    assert narrow[1].index("done") == narrow[0].index("STATE")


def test_what_a_job_says_cannot_steer_the_terminal() -> None:
    job = {"id": 1, "name": "a\x1b[2Jb\nc\u202ed", "state": "done"}
    assert show.jobs_table([job], ["id", "name", "state"], None)[1] == " 1  a [2Jb c d  done"


def test_wide_characters_keep_columns_straight() -> None:
    jobs = [{"id": 1, "name": "日本", "state": "done"}, {"id": 2, "name": "ab", "state": "done"}]
    lines = show.jobs_table(jobs, ["id", "name", "state"], None)
    assert lines[1] == " 1  日本  done"
    assert lines[2] == " 2  ab    done"


def test_settings_come_from_options_then_environment_then_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('server = "https://file.example.org/"\nces = ["lund"]\ncolumns = ["id"]\nca = "/ca.pem"\n')
    environment = {"ACTCLI_CONFIG": str(file)}
    found = config.load(environment=environment)
    assert (found.server, found.ces, found.ca) == ("https://file.example.org", ("lund",), Path("/ca.pem"))
    environment["ACTCLI_SERVER"] = "https://env.example.org:8443"
    assert config.load(environment=environment).server == "https://env.example.org:8443"
    assert config.load("opt.example.org", environment=environment).server == "https://opt.example.org"


@pytest.mark.parametrize(
    ("text", "why"),
    [("server = 5", "server must be a text"), ("sever = 'x'", "no setting 'sever'"), ("server =", "cannot be read"),
     ("ces = 'lund'", "ces must be a list")],
)  # fmt: skip
def test_a_wrong_setting_is_told_with_its_file(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as told:
        config.load(environment={"ACTCLI_CONFIG": str(file)})
    assert str(file) in str(told.value)


def test_without_a_server_it_says_where_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--server"):
        config.load(environment={"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize("server", ["http://act.example.org", "ftp://x", "https://", "https://u:p@x", "https://x:y"])
def test_a_server_that_no_credential_should_go_to_is_refused(server: str) -> None:
    with pytest.raises(ConfigError):
        config.load(server, environment={"ACTCLI_CONFIG": "/nowhere"})


def test_a_session_is_private_and_for_its_server_only(tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    path = config.session_file(environment)
    config.keep_session("https://a.example.org", "token-a", 5.0, path)
    config.keep_session("https://b.example.org", "token-b", None, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert config.session("https://a.example.org", environment) == config.Session("token-a", 5.0, str(path))
    assert config.session("https://c.example.org", environment) is None
    config.keep_session("https://a.example.org", "", None, path)
    assert json.loads(path.read_text()) == {"https://b.example.org": {"token": "token-b"}}


def test_a_token_of_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    found = config.session("https://a", {"ACTCLI_TOKEN_FILE": str(file)})
    assert found is not None and found.token == "from-file"
    found = config.session("https://a", {"ACTCLI_TOKEN_FILE": str(file), "ACTCLI_TOKEN": "direct"})
    assert found is not None and found.token == "direct"


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert show.coloured(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not show.coloured(Terminal())
    with Path(os.devnull).open() as nowhere:
        assert not show.coloured(nowhere)


def test_the_guide_names_every_command_option_and_exit_code() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "users.md").read_text()
    missing = []
    for name, command in main.commands.items():
        if not re.search(rf"actcli {name}\b|`{name}`|: {name}\n", guide):
            missing.append(name)
        options = [o for p in command.params for o in p.opts if o.startswith("--")]
        missing += [f"{name} {o}" for o in options if o not in guide and o not in SELF_EXPLAINING]
    codes = (errors.OK, errors.SOME_FAILED, errors.USAGE, errors.NOT_AUTHENTICATED, errors.UNREACHABLE,
             errors.NOTHING_MATCHED, errors.INTERRUPTED)  # fmt: skip
    missing += [str(code) for code in codes if f"\n| {code} |" not in guide]
    assert missing == []


SELF_EXPLAINING = {"--help", "--id", "--stdout", "--stderr", "--follow", "--directory", "--connections", "--quiet"}
