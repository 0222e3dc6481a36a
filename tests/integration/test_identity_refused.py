"""Who may not hand a proxy over, or not this one, is refused with what to do, and leaves no trace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509

from act.client.identity import BadCredential, Forbidden, Gate, TooManyHandovers, Unauthorised
from act.client.identity import handover as module
from act.client.tables_people import handovers, users
from act.config import CoreConfig
from act.db.engine import Database
from act.x509 import make_request
from tests.grid.pki import make_ca, make_certificate
from tests.integration.handing_over import bearer, count, hand_over, stored
from tests.people import ATLAS, HOUR, LIMITED, PROD, People, Proxy, carrier, cert_info

pytestmark = pytest.mark.usefixtures("quick_keys")


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


def test_few_wait_for_their_keys(gate: Gate, people: People, gate_config: CoreConfig, database: Database) -> None:
    """Who begins hand-overs all the time must not take all threads of the server."""
    proxy = people.proxy("alice", ATLAS)
    single = Gate(gate_config.model_copy(update={"web": gate_config.web.model_copy(update={"threads": 1})}), database)
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
