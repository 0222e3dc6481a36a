"""A proxy that is handed over acts for its owner, as far and as long as it lets, until a better one comes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509

from act.client.identity import Forbidden, Gate
from act.client.tables_people import usercredentials, users
from act.config import CoreConfig
from act.db import credentials
from act.db.engine import Database
from act.keys import unseal
from act.x509 import read_proxy
from tests.integration.handing_over import bearer, count, hand_over, stored
from tests.people import ATLAS, HOUR, PROD, People, cert_info

pytestmark = pytest.mark.usefixtures("quick_keys")


def test_a_proxy_that_is_handed_over_can_act_for_its_owner(
    gate: Gate, people: People, database: Database, gate_config: CoreConfig
) -> None:
    proxy = people.proxy("alice", PROD, ATLAS)
    token, caller = hand_over(gate, proxy)
    assert (caller.subject, caller.issuer) == ("/O=Grid/O=aCT/CN=alice", "/O=Grid/O=aCT/CN=aCT test CA")
    assert caller.groups == {"atlas", "production", "staff"}
    assert gate.caller(bearer(token)) == caller
    (row,) = stored(database)
    assert (row.id, row.fqans, row.identity) == (caller.proxy_id, "/atlas/Role=production\n/atlas", caller.subject)
    pem = unseal(row.pem, gate_config.proxies.key_file)
    assert read_proxy(pem).identity == caller.subject
    assert x509.load_pem_x509_certificates(pem)[1:] == list(proxy.certificates)
    assert row.expires == pytest.approx(time.time() + 12 * 3600, abs=60)
    assert b"PRIVATE" not in row.pem


def test_the_request_is_for_a_proxy_of_the_owners(gate: Gate, people: People) -> None:
    proxy = people.proxy("alice", ATLAS)
    request = x509.load_pem_x509_csr(gate.offer(proxy.cert, proxy.chain).request.encode())
    assert request.subject == proxy.certificates[0].subject
    (info,) = request.extensions
    assert info.value == cert_info()
    assert request.is_signature_valid


def test_all_certificates_may_come_in_one_text(gate: Gate, people: People) -> None:
    proxy = people.proxy("alice", ATLAS)
    everything = f"{proxy.cert}\n{proxy.chain}"
    offer = gate.offer(everything, "")
    token, _ = gate.accept(offer.token, f"{proxy.sign(offer.request)}\n{everything}", "")
    assert gate.caller(bearer(token)).subject.endswith("alice")


def test_a_session_ends_with_its_credential_or_sooner(
    people: People, gate_config: CoreConfig, database: Database
) -> None:
    short = Gate(
        gate_config.model_copy(update={"web": gate_config.web.model_copy(update={"session_h": 0.5})}), database
    )
    proxy = people.proxy("alice", ATLAS, lifetime=2 * HOUR)
    _, caller = hand_over(short, proxy)
    assert caller.expires == pytest.approx(time.time() + 1800, abs=60)
    _, caller = hand_over(Gate(gate_config, database), proxy)
    assert caller.expires == proxy.certificates[0].not_valid_after_utc.timestamp()


def test_groups_are_what_the_configuration_says_now(
    people: People, gate_config: CoreConfig, database: Database
) -> None:
    token, _ = hand_over(Gate(gate_config, database), people.proxy("bob", ATLAS))
    none = gate_config.users.model_copy(update={"group": gate_config.users.group[1:]})
    with pytest.raises(Forbidden, match="You are /O=Grid/O=aCT/CN=bob with /atlas, and in no group"):
        Gate(gate_config.model_copy(update={"users": none}), database).caller(bearer(token))


def test_each_first_attribute_has_a_credential_of_its_own(gate: Gate, people: People, database: Database) -> None:
    callers = [hand_over(gate, people.proxy("alice", *fqans))[1] for fqans in ((), (ATLAS,), (PROD, ATLAS), (ATLAS,))]
    assert len({c.user_id for c in callers}) == 1
    assert callers[1].proxy_id == callers[3].proxy_id
    assert len({c.proxy_id for c in callers}) == len(stored(database)) == count(database, usercredentials) == 3
    assert {r.role.rpartition("-")[0] for r in stored(database)} == {f"user-{callers[0].user_id}"}
    assert max(r.generation for r in stored(database)) == 2


def test_people_do_not_share_a_thing(gate: Gate, people: People, database: Database) -> None:
    alice, bob = (hand_over(gate, people.proxy(cn, ATLAS))[1] for cn in ("alice", "bob"))
    assert alice.user_id != bob.user_id
    assert alice.proxy_id != bob.proxy_id
    assert count(database, users) == 2


def test_a_shorter_proxy_does_not_end_what_a_longer_one_does(gate: Gate, people: People, database: Database) -> None:
    hand_over(gate, people.proxy("alice", PROD, ATLAS))
    (before,) = stored(database)
    token, caller = hand_over(gate, people.proxy("alice", PROD, lifetime=2 * HOUR))
    assert [r.pem for r in stored(database)] == [before.pem]
    assert caller.expires == pytest.approx(time.time() + 7200, abs=60)
    assert gate.caller(bearer(token)).proxy_id == before.id


@pytest.mark.parametrize("why", ["a little shorter", "can do more", "the old one is broken"])
def test_else_the_newest_proxy_wins(gate: Gate, people: People, database: Database, why: str) -> None:
    hand_over(gate, people.proxy("alice", PROD))
    if why == "the old one is broken":
        (row,) = stored(database)
        database.run("test", lambda c: credentials.set_error(c, row.role, "refused"))
    fqans = (PROD, ATLAS) if why == "can do more" else (PROD,)
    lifetime = 11.5 * HOUR if why == "a little shorter" else 2 * HOUR
    hand_over(gate, people.proxy("alice", *fqans, lifetime=lifetime))
    (row,) = stored(database)
    assert row.expires == pytest.approx(time.time() + lifetime.total_seconds(), abs=60)
    assert row.error is None


def test_names_are_text_whatever_they_say(gate: Gate, people: People, database: Database) -> None:
    for cn in ("Robert'); DROP TABLE users;--", "<script>alert(1)</script>", "Zoë 雪 \U0001f600", "%_\\"[:2]):
        token, caller = hand_over(gate, people.proxy(cn, ATLAS))
        assert gate.caller(bearer(token)) == caller
        assert caller.subject.startswith("/O=Grid/O=aCT/CN=")
        assert caller.subject.isascii()
    assert count(database, users) == 4


def test_openssl_accepts_what_is_stored(
    gate: Gate, people: People, database: Database, gate_config: CoreConfig, tmp_path: Path
) -> None:
    hand_over(gate, people.proxy("alice", PROD).make())
    (tmp_path / "proxy.pem").write_bytes(unseal(stored(database)[0].pem, gate_config.proxies.key_file))
    command = f"openssl verify -allow_proxy_certs -CApath {people.ca_dir} -untrusted proxy.pem proxy.pem"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "proxy.pem: OK", done.stderr
