"""How a hand-over ends: by its owner's signature only, once, and with nothing changed if it does not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cryptography import x509
from sqlalchemy import update

from act import faults
from act.client.identity import BadCredential, Gate, Offer, Unauthorised
from act.client.tables_people import handovers, sessions
from act.config import CoreConfig
from act.db.engine import Database
from act.errors import DatabaseBusy
from act.keys import unseal
from tests.grid.pki import now
from tests.integration.handing_over import bearer, count, hand_over, stored
from tests.kit import together
from tests.people import ATLAS, HOUR, LIMITED, People, Proxy, cert_info, spare_key

pytestmark = pytest.mark.usefixtures("quick_keys")


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
    gate: Gate, people: People, database: Database, gate_config: CoreConfig, begun: tuple[Proxy, Offer]
) -> None:
    proxy, offer = begun
    other = people.proxy("bob", ATLAS)
    gate.accept(offer.token, proxy.sign(offer.request) + other.cert, other.cert + other.chain)
    pem = unseal(stored(database)[0].pem, gate_config.proxies.key_file)
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
