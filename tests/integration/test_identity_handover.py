"""The hand-over of a proxy: only its owner ends it, nothing changes before that, and all that is wrong is refused."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import func, select, update

from act import faults
from act.client.identity import BadCredential, Forbidden, Gate, Offer, TooManyHandovers, Unauthorised
from act.client.identity import handover as module
from act.client.tables_people import handovers, sessions, usercredentials, users
from act.config import CoreConfig
from act.db import credentials
from act.db.engine import AnyRow, Database
from act.db.schema import proxies
from act.errors import DatabaseBusy
from act.keys import unseal
from act.x509 import make_request, read_proxy
from tests.grid.pki import make_ca, make_certificate, now
from tests.kit import together
from tests.people import (
    ATLAS,
    HOUR,
    LIMITED,
    PROD,
    People,
    Proxy,
    carrier,
    cert_info,
    spare_key,
    users_config,
)  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of hand-overs take long to make: some that are there are used in turns."""
    numbers = itertools.cycle((2, 3, 4))
    quick = {"generate_private_key": lambda **_: spare_key(next(numbers))}
    monkeypatch.setattr("act.x509.rsa", SimpleNamespace(**vars(rsa) | quick))


@pytest.fixture
def config(people: People, tmp_path: Path) -> CoreConfig:
    return users_config(people, tmp_path)


@pytest.fixture
def gate(config: CoreConfig, database: Database) -> Gate:
    return Gate(config, database)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def hand_over(gate: Gate, proxy: Proxy, **how: Any) -> tuple[str, Any]:
    offer = gate.offer(proxy.cert, proxy.chain)
    return gate.accept(offer.token, proxy.sign(offer.request, **how), f"{proxy.cert}\n{proxy.chain}\n")


def stored(database: Database) -> list[AnyRow]:
    return list(database.read("test", lambda c: c.execute(select(proxies)).all()))


def count(database: Database, table: Any) -> int:
    return int(database.read("test", lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


def test_a_proxy_that_is_handed_over_can_act_for_its_owner(
    gate: Gate, people: People, database: Database, config: CoreConfig
) -> None:
    proxy = people.proxy("alice", PROD, ATLAS)
    token, caller = hand_over(gate, proxy)
    assert (caller.subject, caller.issuer) == ("/O=Grid/O=aCT/CN=alice", "/O=Grid/O=aCT/CN=aCT test CA")
    assert caller.groups == {"atlas", "production", "staff"}
    assert gate.caller(bearer(token)) == caller
    (row,) = stored(database)
    assert (row.id, row.fqans, row.identity) == (caller.proxy_id, "/atlas/Role=production\n/atlas", caller.subject)
    pem = unseal(row.pem, config.proxies.key_file)
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


def test_a_session_ends_with_its_credential_or_sooner(people: People, config: CoreConfig, database: Database) -> None:
    short = Gate(config.model_copy(update={"web": config.web.model_copy(update={"session_h": 0.5})}), database)
    proxy = people.proxy("alice", ATLAS, lifetime=2 * HOUR)
    _, caller = hand_over(short, proxy)
    assert caller.expires == pytest.approx(time.time() + 1800, abs=60)
    _, caller = hand_over(Gate(config, database), proxy)
    assert caller.expires == proxy.certificates[0].not_valid_after_utc.timestamp()


def test_groups_are_what_the_configuration_says_now(people: People, config: CoreConfig, database: Database) -> None:
    token, _ = hand_over(Gate(config, database), people.proxy("bob", ATLAS))
    none = config.users.model_copy(update={"group": config.users.group[1:]})
    with pytest.raises(Forbidden, match="You are /O=Grid/O=aCT/CN=bob with /atlas, and in no group"):
        Gate(config.model_copy(update={"users": none}), database).caller(bearer(token))


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


# --- who may not -------------------------------------------------------------------------------------------------


def test_a_stranger_with_the_public_part_of_a_proxy_can_do_nothing_with_it(
    gate: Gate, people: People, database: Database
) -> None:
    proxy = people.proxy("alice", ATLAS)
    token, caller = hand_over(gate, proxy)
    before = stored(database)
    stolen = gate.offer(proxy.cert, proxy.chain)
    with pytest.raises(Unauthorised, match="ends a hand-over and is good for nothing else"):
        gate.caller(bearer(stolen.token))
    mallory = replace(proxy, key=people.user("mallory").key)
    with pytest.raises(BadCredential, match="is not signed by"):
        gate.accept(stolen.token, mallory.sign(stolen.request), proxy.chain)
    own = people.proxy("mallory", ATLAS)
    with pytest.raises(BadCredential, match=r"it was signed by .*/CN=mallory"):
        gate.accept(stolen.token, own.sign(stolen.request), f"{own.cert}{own.chain}")
    gate.abandon(stolen.token)
    assert stored(database) == before
    assert gate.caller(bearer(token)) == caller
    assert count(database, users) == 1


def test_begun_hand_overs_do_not_keep_the_owner_out(gate: Gate, people: People, database: Database) -> None:
    proxy = people.proxy("alice", ATLAS)
    tokens = [gate.offer(proxy.cert, proxy.chain).token for _ in range(module.PER_PERSON + 5)]
    assert count(database, handovers) == module.PER_PERSON
    with pytest.raises(Unauthorised, match="made room for newer ones"):
        gate.accept(tokens[0], proxy.sign(gate.offer(proxy.cert, proxy.chain).request), proxy.chain)
    assert hand_over(gate, proxy)


def test_only_so_many_hand_overs_are_under_way(
    gate: Gate, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOTAL", 3)
    for n in range(3):
        proxy = people.proxy(f"person{n}", ATLAS)
        gate.offer(proxy.cert, proxy.chain)
    alice = people.proxy("alice", ATLAS)
    with pytest.raises(TooManyHandovers, match="try again in some minutes"):
        gate.offer(alice.cert, alice.chain)
    assert count(database, handovers) == 3


def test_few_wait_for_their_keys(gate: Gate, people: People, config: CoreConfig, database: Database) -> None:
    """Who begins hand-overs all the time must not take all threads of the server."""
    proxy = people.proxy("alice", ATLAS)
    single = Gate(config.model_copy(update={"web": config.web.model_copy(update={"threads": 1})}), database)
    refused = []

    def begin() -> None:
        try:
            single.offer(proxy.cert, proxy.chain)
        except TooManyHandovers as error:
            refused.append(str(error))

    def slow(subject: x509.Name) -> tuple[bytes, bytes]:
        begin()  # while this key is made
        return make_request(subject)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_request", slow)
        assert single.offer(proxy.cert, proxy.chain)
    assert refused == ["very many people hand over proxies just now: try again in some seconds"]
    assert single.offer(proxy.cert, proxy.chain)


def test_who_is_in_no_group_leaves_no_trace(gate: Gate, people: People, database: Database) -> None:
    bob = people.proxy("bob")
    with pytest.raises(
        Forbidden, match=r"CN=bob with no attributes of a VO, and in no group .*make a proxy with attrib"
    ):
        gate.offer(bob.cert, bob.chain)
    assert count(database, handovers) == count(database, users) == 0


def test_who_has_attributes_that_are_not_believed_hears_why(gate: Gate, people: People) -> None:
    bob = people.user("bob").make(extensions=[(carrier(people.attributes("alice", PROD)), False)])
    with pytest.raises(Forbidden, match="Not believed: attributes of VO 'atlas': they were made for another cert"):
        gate.offer(bob.cert, bob.chain)


def test_attributes_that_are_not_believed_give_nothing(gate: Gate, people: People, database: Database) -> None:
    alice = people.user("alice").make(extensions=[(carrier(people.attributes("bob", PROD)), False)])
    _, caller = hand_over(gate, alice)
    assert caller.groups == {"staff"}
    assert [r.fqans for r in stored(database)] == [""]


def hopeless(people: People) -> Proxy:
    ca = make_ca()
    certificate, key = make_certificate(*ca, "alice")
    return Proxy((certificate,), key).make()


BAD_OFFERS: dict[str, tuple[Callable[[People], tuple[str, str]], str]] = {
    "nothing": (lambda p: ("", ""), "Missing issuer certificate"),
    "no chain": (lambda p: (p.proxy("alice").cert, ""), "Missing certificate chain"),
    "no PEM": (lambda p: ("hello", "world"), "Missing issuer certificate: what came cannot be used, .*PEM"),
    "a key": (lambda p: (p.proxy("alice").pem.decode(), "x"), "holds a private key: never send that"),
    "a text without end": (lambda p: ("x" * 200_000, "x"), "longer than"),
    "a thousand certificates": (lambda p: (p.proxy("alice").cert, p.proxy("alice").chain * 1000), "longer than"),
    "many short ones": (lambda p: ("-----BEGIN CERTIFICATE-----\n" * 1000, "x"), "more than 20 certificates"),
    "characters that are no PEM": (lambda p: ("Zoë\0\u202e", "x"), "PEM"),
    "no proxy": (lambda p: (p.user("alice").cert, p.user("bob").cert), "not a valid proxy: .* is no proxy; make one"),
    "expired": (
        lambda p: parts(p.proxy("alice", start=-2 * HOUR, lifetime=-HOUR)), "Given certificate is expired: .*ran out",
    ),
    "nearly expired": (
        lambda p: parts(p.proxy("alice", lifetime=HOUR / 12)), "is expired, or nearly so: .* 5 min left, and 10",
    ),
    "limited": (lambda p: parts(p.proxy("alice", info=cert_info(LIMITED))), "not a valid proxy: .*limited"),
    "without room": (
        lambda p: parts(p.proxy("alice", info=cert_info(path_length=1))), "too few proxies be made below it",
    ),
    "of an unknown CA": (lambda p: parts(hopeless(p)), "Issuer cert is not a valid proxy: .*cannot be verified"),
    "of no CA": (lambda p: (p.proxy("alice").make().cert, p.proxy("bob").chain), "comes next in the chain"),
}  # fmt: skip


def parts(proxy: Proxy) -> tuple[str, str]:
    return proxy.cert, proxy.chain


@pytest.mark.parametrize("what", BAD_OFFERS)
def test_a_bad_offer_is_refused_with_what_to_do(gate: Gate, people: People, database: Database, what: str) -> None:
    make, told = BAD_OFFERS[what]
    with pytest.raises(BadCredential, match=f"(?s){told}"):
        gate.offer(*make(people))
    assert count(database, handovers) == 0


def test_a_proxy_counts_no_longer_than_its_attributes(
    gate: Gate, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.grid.proxies.LIFETIME", 2 * HOUR)
    _, caller = hand_over(gate, people.proxy("alice", ATLAS))
    assert caller.expires == pytest.approx(time.time() + 7200, abs=60)
    assert stored(database)[0].expires == caller.expires
    monkeypatch.setattr("tests.grid.proxies.LIFETIME", HOUR / 12)
    short = people.proxy("alice", ATLAS)
    with pytest.raises(BadCredential, match="it, or its attributes, have 5 min left"):
        gate.offer(short.cert, short.chain)


def test_a_revoked_person_is_refused_even_half_way(gate: Gate, people: People, database: Database) -> None:
    proxy = people.proxy("alice", ATLAS)
    offer = gate.offer(proxy.cert, proxy.chain)
    signed = proxy.sign(offer.request)
    path = people.revoke(people.user("alice").certificates[0].serial_number)
    try:
        with pytest.raises(BadCredential, match="has been revoked"):
            gate.accept(offer.token, signed, proxy.chain)
        with pytest.raises(BadCredential, match="has been revoked"):
            gate.offer(proxy.cert, proxy.chain)
    finally:
        path.unlink()
    assert stored(database) == []


# --- the second stage --------------------------------------------------------------------------------------------


@pytest.fixture
def begun(gate: Gate, people: People) -> tuple[Proxy, Offer]:
    proxy = people.proxy("alice", ATLAS)
    return proxy, gate.offer(proxy.cert, proxy.chain)


BAD_ENDS: dict[str, tuple[Callable[[People, Proxy, str], str], str]] = {
    "nothing": (lambda p, proxy, r: "", "No signed certificate: send the request of this hand-over"),
    "no PEM": (lambda p, proxy, r: "hello", "No signed certificate: what came cannot be used"),
    "the proxy itself": (lambda p, proxy, r: proxy.cert, "it was signed by /O=Grid/O=aCT/CN=alice, but"),
    "another key": (lambda p, proxy, r: proxy.make(key=spare_key(99)).cert, "not for the key of this hand-over"),
    "another proxy's signature": (
        lambda p, proxy, r: p.proxy("alice", ATLAS, cn="999").sign(r),
        r"signed by .*alice/CN=999, but .*alice/CN=12345 was announced\. act-client signs with /tmp/x509up_u",
    ),
    "limited": (lambda p, proxy, r: proxy.sign(r, info=cert_info(LIMITED)), "cert is not a valid proxy: .*limited"),
    "without room": (lambda p, proxy, r: proxy.sign(r, info=cert_info(path_length=0)), "too few proxies"),
    "nearly over": (lambda p, proxy, r: proxy.sign(r, end=now() + HOUR / 20), "nearly so: .* [23] min left"),
    "the request": (lambda p, proxy, r: r, "No signed certificate: what came cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ENDS)
def test_a_bad_end_changes_nothing_and_can_be_repaired(
    gate: Gate, people: People, database: Database, begun: tuple[Proxy, Offer], what: str
) -> None:
    proxy, offer = begun
    make, told = BAD_ENDS[what]
    with pytest.raises(BadCredential, match=f"(?s){told}"):
        gate.accept(offer.token, make(people, proxy, offer.request), proxy.cert + proxy.chain)
    assert stored(database) == []
    assert count(database, sessions) == 0
    assert gate.accept(offer.token, proxy.sign(offer.request), proxy.cert + proxy.chain)


def test_the_chain_that_was_announced_counts(
    gate: Gate, people: People, database: Database, config: CoreConfig, begun: tuple[Proxy, Offer]
) -> None:
    proxy, offer = begun
    other = people.proxy("bob", ATLAS)
    gate.accept(offer.token, proxy.sign(offer.request) + other.cert, other.cert + other.chain)
    pem = unseal(stored(database)[0].pem, config.proxies.key_file)
    assert x509.load_pem_x509_certificates(pem)[1:] == list(proxy.certificates)


def test_a_request_that_is_sent_again_has_the_same_answer(
    gate: Gate, database: Database, begun: tuple[Proxy, Offer]
) -> None:
    proxy, offer = begun
    signed, chain = proxy.sign(offer.request), proxy.cert + proxy.chain
    first = gate.accept(offer.token, signed, chain)
    assert gate.accept(offer.token, signed, chain) == first
    assert (len(stored(database)), count(database, sessions)) == (1, 1)
    assert stored(database)[0].generation == 1
    with pytest.raises(BadCredential, match="has ended with another certificate"):
        gate.accept(offer.token, proxy.sign(offer.request, end=now() + HOUR), chain)


def test_requests_at_the_same_time_have_the_same_answer(
    gate: Gate, database: Database, begun: tuple[Proxy, Offer]
) -> None:
    proxy, offer = begun
    signed, chain = proxy.sign(offer.request), proxy.cert + proxy.chain
    answers = together(*[lambda: gate.accept(offer.token, signed, chain)] * 4)
    assert len({token for token, _ in answers}) == 1
    assert (len(stored(database)), count(database, sessions)) == (1, 1)


def test_a_commit_without_an_answer_is_looked_up(
    gate: Gate, database: Database, begun: tuple[Proxy, Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, offer = begun
    monkeypatch.setenv("ACT_FAULT", "tx.accept:after:fail")
    token, caller = gate.accept(offer.token, proxy.sign(offer.request), "")
    assert gate.caller(bearer(token)) == caller
    assert count(database, sessions) == 1


def test_a_database_that_fails_leaves_all_as_it_was(
    gate: Gate, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(gate, people.proxy("alice", ATLAS))
    before = stored(database)
    proxy = people.proxy("alice", ATLAS)
    offer = gate.offer(proxy.cert, proxy.chain)
    monkeypatch.setenv("ACT_FAULT", "tx.accept:before:fail")
    assert faults.hit
    with pytest.raises(DatabaseBusy):
        gate.accept(offer.token, proxy.sign(offer.request), "")
    assert stored(database) == before


def test_an_abandoned_hand_over_is_over(gate: Gate, database: Database, begun: tuple[Proxy, Offer]) -> None:
    proxy, offer = begun
    gate.abandon(offer.token)
    gate.abandon(offer.token)
    with pytest.raises(Unauthorised, match="its hand-over is over"):
        gate.accept(offer.token, proxy.sign(offer.request), proxy.chain)
    assert count(database, handovers) == 0


def test_abandoning_late_ends_the_session(gate: Gate, database: Database, begun: tuple[Proxy, Offer]) -> None:
    """act-client does so when it cannot save the token; the credential stays, as jobs may need it."""
    proxy, offer = begun
    token, _ = gate.accept(offer.token, proxy.sign(offer.request), proxy.chain)
    gate.abandon(offer.token)
    with pytest.raises(Unauthorised, match="does not exist in database or is expired"):
        gate.caller(bearer(token))
    assert len(stored(database)) == 1


def test_a_hand_over_ends_in_time(gate: Gate, database: Database, begun: tuple[Proxy, Offer]) -> None:
    proxy, offer = begun
    assert offer.expires == pytest.approx(time.time() + 600, abs=30)
    database.run("test", lambda c: c.execute(update(handovers).values(expires=time.time() - 1)))
    with pytest.raises(Unauthorised, match="Auth token is expired"):
        gate.accept(offer.token, proxy.sign(offer.request), proxy.chain)


def test_what_has_run_out_is_swept(gate: Gate, people: People, database: Database) -> None:
    token, _ = hand_over(gate, people.proxy("alice", ATLAS))
    assert database.run("test", gate.sweep) == 0
    database.run("test", lambda c: c.execute(update(handovers).values(expires=1.0)))
    assert database.run("test", gate.sweep) == 1
    assert gate.caller(bearer(token))
    database.run("test", lambda c: c.execute(update(sessions).values(expires=1.0)))
    assert database.run("test", gate.sweep) == 1
    with pytest.raises(Unauthorised):
        gate.caller(bearer(token))


def test_names_are_text_whatever_they_say(gate: Gate, people: People, database: Database) -> None:
    for cn in ("Robert'); DROP TABLE users;--", "<script>alert(1)</script>", "Zoë 雪 \U0001f600", "%_\\"[:2]):
        token, caller = hand_over(gate, people.proxy(cn, ATLAS))
        assert gate.caller(bearer(token)) == caller
        assert caller.subject.startswith("/O=Grid/O=aCT/CN=")
        assert caller.subject.isascii()
    assert count(database, users) == 4


def test_openssl_accepts_what_is_stored(
    gate: Gate, people: People, database: Database, config: CoreConfig, tmp_path: Path
) -> None:
    hand_over(gate, people.proxy("alice", PROD).make())
    (tmp_path / "proxy.pem").write_bytes(unseal(stored(database)[0].pem, config.proxies.key_file))
    command = f"openssl verify -allow_proxy_certs -CApath {people.ca_dir} -untrusted proxy.pem proxy.pem"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "proxy.pem: OK", done.stderr
