"""Options of CEs and submit points that make no sense are told by `actctl config check`, before anything is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from act.cli.actctl import main
from act.config import template

EX_CONFIG = 78
ARC = "https://ce.example.org:443/arex"
CONDOR = "ce.example.org:9619"


def option(name: str, value: str) -> str:
    return f'<option name="{name}" value="{value}"/>'


def ce(url: str, *options: str, flavour: str = "") -> str:
    told = f"<flavour>{flavour}</flavour>" if flavour else ""
    return f'<ce url="{url}">{told}{"".join(options)}</ce>'


def point(name: str, *options: str, host: str = "") -> str:
    return f'<submit_point name="{name}"><flavour>condor</flavour><host>{host}</host>{"".join(options)}</submit_point>'


def check(directory: Path, *ces: str) -> Result:
    """What the command says of a configuration with these."""
    core, atlas = directory / "aCTConfigARC.xml", directory / "aCTConfigATLAS.xml"
    core.write_text(f"<config><ces>{''.join(ces)}</ces></config>")
    atlas.write_text(template(atlas.name))
    files = {"ACTCONFIGARC": str(core), "ACTCONFIGATLAS": str(atlas)}
    return CliRunner().invoke(main, ["config", "check"], env=files)


@pytest.mark.parametrize("good", [
    (ce(ARC, option("rest", "1.0"), flavour="arc"),),
    (ce(ARC, option("rest", "1.1")),),
    (ce(CONDOR, option("SEC_TOKEN_DIRECTORY", "/tokens"), option("schedd", "ce"), flavour="condor"),),
    (point("schedd", option("hold_fail", "26, 34")), ce(CONDOR, option("route", "pool"))),
    (point("schedd", option("owner", "nobody-of-here"), host="another-host"), ce(CONDOR, flavour="condor")),
])  # fmt: skip
def test_options_that_a_ce_type_knows_are_good(tmp_path: Path, good: tuple[str, ...]) -> None:
    result = check(tmp_path, *good)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("bad", "told"), [
    (ce(ARC, option("rest", "2.0"), flavour="arc"), f"option rest of the CE {ARC} is '2.0'; it may be 1.1 or 1.0"),
    (ce(ARC, option("rset", "1.0"), flavour="arc"), f"option rset of the CE {ARC} is unknown (known: rest)"),
    (ce(CONDOR, option("hold_fail", "memory"), flavour="condor"), "it lists hold codes"),
    (point("schedd", option("rote", "pool")), "option rote of the submit point schedd is unknown"),
    (point("schedd") + ce(CONDOR, option("route", "direct"), flavour="condor"),
     f"option route of the CE {CONDOR} behind schedd is 'direct'; it may be grid or pool"),
    (ce(CONDOR, option("rote", "pool")), f"option rote of the CE {CONDOR} is unknown"),
    (ce(CONDOR, flavour="slurm"), "no plugin 'slurm' in group act.ce"),
])  # fmt: skip
def test_an_option_that_makes_no_sense_is_told(tmp_path: Path, bad: str, told: str) -> None:
    result = check(tmp_path, bad)
    assert result.exit_code == EX_CONFIG, result.output
    assert told in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_user_that_is_not_there_is_told_on_the_host_of_the_submit_point(tmp_path: Path) -> None:
    owner = option("owner", "nobody-of-here")
    assert "there is no such user" in check(tmp_path, point("s", owner, host=os.uname().nodename)).stderr


def test_all_that_is_wrong_is_told_at_once_and_each_thing_once(tmp_path: Path) -> None:
    result = check(
        tmp_path, point("schedd", option("rote", "pool")), ce(CONDOR, flavour="condor"),
        ce("ce2.example.org:9619", flavour="condor"), ce(ARC, option("rest", "2.0"), flavour="arc"),
    )  # fmt: skip
    assert result.exit_code == EX_CONFIG
    assert (result.stderr.count("option rote"), result.stderr.count("option rest")) == (1, 1)
