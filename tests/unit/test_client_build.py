"""Which CE queues a job goes to, and what a description and uploaded files mean as a job."""

from __future__ import annotations

import pytest

from act.client.build import Described, Uploaded, build, describe
from act.client.ces import chosen, of_one_flavour
from act.config import UserCE, Users
from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile

LUND = UserCE(name="lund", url="https://ce1.example.org:443/arex", queue="grid", flavour="arc")
BERN = UserCE(name="bern", url="https://ce2.example.org/arex", queue="long", flavour="arc")
POOL = UserCE(name="pool", url="ce3.example.org:9619", flavour="condor")
ALL = (LUND, BERN, POOL)


@pytest.mark.parametrize(
    "wanted, found",
    [
        ([], ["lund", "bern", "pool"]),
        (["default"], ["lund", "bern", "pool"]),
        (["bern", "lund", "bern"], ["bern", "lund"]),
        (["https://ce1.example.org/grid"], ["lund"]),
        (["https://ce1.example.org:443/grid/"], ["lund"]),
        (["CE1.example.org/arex/grid"], ["lund"]),
        (["https://ce3.example.org:9619"], ["pool"]),
    ],
)
def test_ces_are_known_by_name_and_location(wanted: list[str], found: list[str]) -> None:
    assert [ce.name for ce in chosen(ALL, wanted)] == found


@pytest.mark.parametrize("wanted", ["Lund", "https://ce1.example.org/long", "https://ce1.example.org:x/grid", "", "\0"])
def test_who_names_an_unknown_ce_is_told_those_there_are(wanted: str) -> None:
    with pytest.raises(BadJobSpec, match=r"lund \(https://ce1.example.org:443/grid\)"):
        chosen(ALL, [wanted])


def test_who_may_use_no_ce_is_told_whom_to_ask() -> None:
    with pytest.raises(BadJobSpec, match="ask those who run this tower"):
        chosen((), [])


def test_a_job_goes_to_one_type_of_ce() -> None:
    assert of_one_flavour((POOL, LUND, BERN), "", only=False) == (POOL,)
    assert of_one_flavour((POOL, LUND, BERN), "arc", only=False) == (LUND, BERN)
    assert of_one_flavour((POOL,), "arc", only=False) == (POOL,)
    with pytest.raises(BadJobSpec, match="of pool none is"):
        of_one_flavour((POOL,), "arc", only=True)


def made(files: dict[str, Uploaded] | None = None, **more: object) -> JobSpec:
    spec = JobSpec(name="job", executable="/bin/true", **more)  # type: ignore[arg-type]
    return build(Described(spec, ""), ALL, files or {}).spec


def test_paths_stand_for_uploaded_files_by_the_name_in_the_job() -> None:
    (file,) = made({"in/a.txt": Uploaded("inputs/0/1/x", 5)}, inputs=(InputFile("in/a.txt", "/home/me/b"),)).inputs
    assert (file.name, file.stored, file.size, file.source) == ("in/a.txt", "inputs/0/1/x", 5, "")


@pytest.mark.parametrize("scheme", ["https", "HTTP", "root", "davs", "s3", "gsiftp", "srm", "rucio"])
def test_urls_are_left_to_the_ce(scheme: str) -> None:
    wanted = InputFile("f", f"{scheme}://h/f")
    assert made(inputs=(wanted,)).inputs == (wanted,)


def test_what_is_left_at_the_ce_is_brought_back() -> None:
    outputs = (OutputFile("a"), OutputFile("logs/"), OutputFile("b", "https://se/b"), OutputFile("@list"))
    spec = made(outputs=outputs, stdout="out", stderr="err", fetch=("diagnose=errors",))
    assert spec.fetch == ("diagnose=errors", "a", "logs/", "out", "err")
    assert spec.keep


def test_everything_there_is_may_be_wanted() -> None:
    assert "/" in made(outputs=(OutputFile("/"),)).fetch


def test_a_name_is_cut() -> None:
    described = describe('{"executable": "x", "name": "' + "n" * 300 + '"}', "json", Users())
    assert build(described, ALL, {}).spec.name == "n" * 100


def test_one_name_is_one_file() -> None:
    with pytest.raises(BadJobSpec, match="more than once"):
        describe('{"executable": "x", "inputs": [{"name": "f"}, {"name": "f"}]}', "json", Users())
