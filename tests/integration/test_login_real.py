"""Logging in with an issuer that is none of ours (oidc-provider), by the agent that people use (oidc-agent)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa

from act.cli.user.main import main
from act.client.identity import Gate, issuers
from act.config import load_core
from act.db import credentials
from act.simulation import TestCA
from act_arc.simulator import ArcSimulator
from tests.integration.renewal import PRODUCTION, Renewal
from tests.integration.web_scene import Scene, scene_in
from tests.integration.web_server import ANY_PORT, WebServer
from tests.needs import need
from tests.services.oidc import OTHER, PEOPLE, TOWER, OidcIssuer, Person
from tests.services.oidc_agent import OidcAgent
from tests.signals import hear_ctrl_c

ALICE, BOB, CAROL = PEOPLE
SECRET = "of a machine: 50 % + /"
LOGIN = ("login", "--oidc-agent", "wlcg", "--audience", TOWER)
PATIENCE_S = 60
PHYSICS = '<group name="physics"><token_group>/physics</token_group><role>robot</role></group>'
TRUSTED = f'<issuer url="{{url}}" audience="{TOWER}"/>'


@pytest.fixture(scope="module")
def issuer(ca: TestCA) -> Iterator[OidcIssuer]:
    need(OidcIssuer.missing())
    with OidcIssuer(ca, {"tool": "of a tool", "portal": "of a portal"}, {"act": SECRET}) as issuer:
        yield issuer


class World:
    """A tower that trusts the issuer and lets its physicists in, its web server, and a home of alice's."""

    def __init__(self, stack: ExitStack, directory: Path, template: Path, ca: TestCA, issuer: OidcIssuer) -> None:
        cert, key = ca.host()
        web = f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>1</processes>"
        self.scene: Scene = stack.enter_context(scene_in(directory, template, ca, web=web))
        trusted = f"</group>{PHYSICS}{TRUSTED.format(url=issuer.url)}"
        self.scene.file.write_text(self.scene.file.read_text().replace("</group>", trusted))
        end = time.time() + 3600
        self.scene.db.run("test", lambda c: credentials.store(c, "robot", "robot", b"", end))
        server = stack.enter_context(WebServer(self.scene.file, ca.ca_cert))
        self.home = directory / "home"
        self.home.mkdir()
        self.session = self.home / "data" / "act" / "token"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_RUNTIME_DIR": str(self.home), "ACTCLI_SERVER": server.url, "ACTCLI_CA": str(ca.ca_dir),
        }  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command of alice's, in a process of its own."""
        command = [sys.executable, "-m", "act.cli.user", *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c,
        )  # fmt: skip

    def actcli(self, *arguments: str, expect: int = 0, **environment: str) -> str:
        """What a command of alice's tells, in this process: its output, and why it ended so."""
        done = CliRunner().invoke(main, arguments, env=self.environment | environment)
        assert done.exit_code == expect, f"{done.output}\n{done.exception!r}"
        return done.output

    def kept(self) -> dict[str, Any]:
        """The claims of the token that alice's session is."""
        ((_, kept),) = json.loads(self.session.read_text()).items()
        claims: dict[str, Any] = jwt.decode(kept["token"], options={"verify_signature": False})
        return claims


def child_of(pid: int) -> int:
    """The process that it started, once it has."""
    end = time.monotonic() + PATIENCE_S
    while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(children[0])


def is_running(pid: int) -> bool:
    """Not of what has ended and waits for its parent to notice."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA, issuer: OidcIssuer
) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("world"), sqlite_template, ca, issuer)


@pytest.fixture(scope="module")
def agent(issuer: OidcIssuer, world: World) -> Iterator[OidcAgent]:
    """With accounts of alice and of carol."""
    need(OidcAgent.missing())
    with OidcAgent(issuer, "tool") as agent, ThreadPoolExecutor() as pool:
        accounts = {"wlcg": ALICE, "carols": CAROL}
        assert [*pool.map(lambda a: agent.add(a, Person(issuer, accounts[a]).approve), accounts)] == ["", ""]
        world.environment |= agent.environment
        yield agent


@pytest.fixture
def database_url(new_database: Callable[[str], str]) -> str:
    """Of towers that get tokens: which kind it is on makes no difference to an issuer."""
    return new_database("sqlite")


@pytest.fixture
def gate(world: World, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Of the tower, in this process; it asks for keys whenever one is missing."""
    monkeypatch.setattr(issuers, "RETRY_S", 0)
    return Gate(load_core(world.scene.file), world.scene.db)


# --- by oidc-agent ---------------------------------------------------------------------------------------------------


def test_somebody_who_approved_of_it_in_a_browser_can_work(world: World, agent: OidcAgent) -> None:
    with world.start(*LOGIN) as login:
        told, complaint = login.communicate(timeout=PATIENCE_S)
    assert (login.returncode, complaint) == (0, "")
    assert ALICE in told and "the token from oidc-agent lasts" in told
    assert world.session.stat().st_mode & 0o777 == 0o600
    assert "Groups:     physics\n" in world.actcli("info")
    assert world.actcli("run", "-q", "--", "/bin/true").split()[0].isdigit()
    assert "tosubmit" in world.actcli("stat")
    assert ALICE in world.actcli("login", "--status")


def test_a_person_is_not_asked_again_and_a_new_login_lasts_as_long_as_the_issuer_grants(
    world: World, agent: OidcAgent
) -> None:
    world.actcli(*LOGIN)
    first = world.kept()
    time.sleep(1.1)
    world.actcli(*LOGIN)
    assert world.kept()["exp"] > first["exp"]
    assert world.kept()["jti"] != first["jti"]


def test_who_has_a_token_for_everybody_is_told_whose_to_ask_for(world: World, agent: OidcAgent) -> None:
    world.session.unlink(missing_ok=True)
    told = world.actcli("login", "--oidc-agent", "wlcg", expect=3)
    assert f"ask its issuer for one with the audience {TOWER}" in told
    assert f"audience {TOWER}" in world.actcli(*LOGIN[:-1], OTHER, expect=3)
    assert "--audience goes with --oidc-agent" in world.actcli("login", "--audience", TOWER, expect=2)
    assert not world.session.exists()


def test_no_session_is_begun_for_whom_the_person_denies_or_forgets(
    world: World, agent: OidcAgent, issuer: OidcIssuer
) -> None:
    world.session.unlink(missing_ok=True)
    told: dict[str, str] = {}
    shown = threading.Event()

    def look_away(url: str, code: str) -> None:
        issuer.administer(code_s=600)
        shown.set()

    def forget() -> None:
        told["forgotten"] = agent.add("forgotten", look_away)

    issuer.administer(code_s=1)
    asking = threading.Thread(target=forget)
    asking.start()
    assert shown.wait(PATIENCE_S)
    told["denied"] = agent.add("denied", Person(issuer, ALICE).deny)
    asking.join(PATIENCE_S)
    assert "access_denied" in told["denied"] and "expired_token" in told["forgotten"], told
    for account in told:
        said = world.actcli("login", "--oidc-agent", account, expect=3)
        assert f"oidc-agent gives no token for {account}: " in said and "is the account loaded?" in said
    assert not world.session.exists()


def test_ctrl_c_ends_a_login_that_waits_for_the_issuer(world: World, agent: OidcAgent, issuer: OidcIssuer) -> None:
    world.session.unlink(missing_ok=True)
    issuer.freeze()
    try:
        with world.start(*LOGIN) as waiting:
            helper = child_of(waiting.pid)
            time.sleep(0.2)  # it has asked
            waiting.send_signal(signal.SIGINT)
            told = waiting.communicate(timeout=PATIENCE_S)
    finally:
        issuer.thaw()
    assert (waiting.returncode, *told) == (130, "", "actcli: interrupted\n")
    assert not world.session.exists()
    assert not is_running(helper)


def test_the_owner_of_another_group_is_told_so_and_no_session_is_kept(world: World, issuer: OidcIssuer) -> None:
    world.session.unlink(missing_ok=True)
    token = issuer.token_of("tool", BOB, TOWER)["access_token"]
    told = world.actcli("login", expect=1, BEARER_TOKEN=token)
    assert f"You are {BOB} with /astronomy, and in no group that may use this tower" in told
    assert not world.session.exists()


def test_consent_that_is_taken_back_ends_the_agents_tokens(world: World, agent: OidcAgent, issuer: OidcIssuer) -> None:
    login = ("login", "--oidc-agent", "carols", "--audience", TOWER)
    world.actcli(*login)
    issuer.administer(revoke=CAROL)
    told = world.actcli(*login, expect=3)
    assert "oidc-agent gives no token for carols: " in told and "oidc-gen carols --reauthenticate" in told
    assert CAROL in world.actcli("login", "--status")  # by the token that it had


def test_leaving_forgets_a_token_and_tells_that_it_still_is_one(world: World, issuer: OidcIssuer) -> None:
    token = issuer.token_of("portal", ALICE, TOWER)["access_token"]
    world.actcli("login", BEARER_TOKEN=token)
    assert "the server keeps the token valid until it expires" in world.actcli("logout")
    assert "no session" in world.actcli("stat", expect=3)


# --- tokens that are shown to the tower ------------------------------------------------------------------------------


def test_a_token_file_that_is_renewed_is_followed(world: World, issuer: OidcIssuer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    issuer.administer(lifetime_s=-100)
    file.write_text(issuer.token_of("tool", ALICE, TOWER)["access_token"])
    issuer.administer(lifetime_s=600)
    told = world.actcli("info", expect=3, ACTCLI_TOKEN_FILE=str(file))
    assert f"Auth token is expired: get a new one from its issuer (the token in {file})" in told
    file.write_text(issuer.token_of("tool", ALICE, TOWER)["access_token"])
    assert ALICE in world.actcli("info", ACTCLI_TOKEN_FILE=str(file))


def test_any_program_that_a_person_trusts_may_bring_their_token(world: World, issuer: OidcIssuer) -> None:
    assert ALICE in world.actcli("info", ACTCLI_TOKEN=issuer.token_of("portal", ALICE, TOWER)["access_token"])


def test_what_a_machine_gets_for_itself_is_nobodys_token(world: World, issuer: OidcIssuer) -> None:
    token = issuer.token("act", grant_type="client_credentials", scope="wlcg.groups", audience=TOWER)["access_token"]
    assert "You are act with no attributes of a VO" in world.actcli("info", expect=1, ACTCLI_TOKEN=token)


def test_a_token_that_tells_a_program_who_the_person_is_is_none_to_come_with(world: World, issuer: OidcIssuer) -> None:
    id_token = issuer.token_of("tool", ALICE, TOWER)["id_token"]
    assert f"with the audience {TOWER}" in world.actcli("info", expect=3, ACTCLI_TOKEN=id_token)


def test_nobody_else_can_sign_for_the_issuer(world: World, issuer: OidcIssuer) -> None:
    good = issuer.token_of("tool", ALICE, TOWER)["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    stranger = rsa.generate_private_key(65537, 2048)
    forged = jwt.encode(claims, stranger, algorithm="RS256", headers=jwt.get_unverified_header(good))
    assert f"Invalid token signature: it is not by {issuer.url}" in world.actcli("info", expect=3, ACTCLI_TOKEN=forged)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_keys_that_the_issuer_changes_are_followed(gate: Gate, issuer: OidcIssuer, algorithm: str) -> None:
    def token() -> str:
        return f"Bearer {issuer.token_of('tool', ALICE, TOWER)['access_token']}"

    before = token()
    assert gate.caller(before).subject == ALICE
    issuer.administer(rotate=True, alg=algorithm)
    assert gate.caller(token()).subject == ALICE
    assert gate.caller(before).subject == ALICE  # its key is still published


# --- tokens that the tower gets for itself ---------------------------------------------------------------------------


def source(issuer: OidcIssuer, url: str, scope: str) -> str:
    """Elements for a CE that takes tokens."""
    return f"""<ces><ce url="{url}"><token><issuer>{issuer.url}</issuer><client_id>act</client_id><scope>{scope}</scope>
        <client_secret_file>secret</client_secret_file><audience>{url}</audience></token></ce></ces>"""


def test_the_tower_speaks_to_a_ce_with_a_token_that_it_got_for_itself(
    renewal: Callable[..., Renewal], issuer: OidcIssuer, ca: TestCA, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with ArcSimulator(tmp_path / "ce", ca, token_keys=issuer.keys()) as sim:
        scope = "compute.read compute.create compute.modify compute.cancel"
        tower = renewal(PRODUCTION, source(issuer, sim.url, scope))
        issuer.administer(alg="ES256")  # what the simulated CE knows
        assert [tower.once(), tower.once()] == [2, 0]
        issuer.administer(alg="RS256")
        assert tower.token(sim.url).identity == f"act of {issuer.url}"
        tower.context.ce(tower.lane(sim.url)).probe()


def test_a_machine_that_the_issuer_does_not_know_gets_no_token(
    renewal: Callable[..., Renewal], issuer: OidcIssuer, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of somebody else")
    url = "https://ce.example.org/arex"
    tower = renewal("", source(issuer, url, "compute.read"))
    assert tower.once() == 0
    assert "401" in tower.token(url).error and "invalid_client" in tower.token(url).error
