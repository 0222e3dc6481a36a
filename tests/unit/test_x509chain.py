"""A chain of certificates is taken for a person's if RFC 3820 allows it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from act.authorities import Authorities
from act.errors import CredentialError
from act.x509 import slashed
from act.x509chain import Expired, verify
from tests.grid.pki import key_usage, make_ca, make_certificate, now, subject
from tests.people import HOUR, INDEPENDENT, LIMITED, People, Proxy, cert_info, spare_key, with_cn
from tests.unit.chains import ALICE, check


def test_a_proxy_tells_its_owner_and_its_end(people: People) -> None:
    chain = check(people, people.proxy("alice", lifetime=2 * HOUR))
    assert (chain.subject, chain.issuer) == (ALICE, "/O=Grid/O=aCT/CN=aCT test CA")
    assert abs(chain.expires - time.time() - 7200) < 60
    assert chain.room is None
    assert chain.person == people.user("alice").certificates[0]


def test_a_proxy_of_a_proxy_is_the_same_person(people: People) -> None:
    chain = check(people, people.proxy("alice").make().make())
    assert (chain.subject, len(chain.certificates)) == (ALICE, 4)


def test_what_follows_the_person_in_a_chain_counts_for_nothing(people: People) -> None:
    proxy = people.proxy("alice")
    chain = check(people, Proxy((*proxy.certificates, people.ca, *make_ca()[:1]), proxy.key))
    assert chain.certificates == proxy.certificates
    assert x509.load_pem_x509_certificates(chain.pem) == list(proxy.certificates)


def test_a_chain_ends_with_what_ends_first(people: People) -> None:
    short = people.proxy("alice", lifetime=HOUR)
    at = short.certificates[0].not_valid_after_utc.timestamp()
    assert check(people, Proxy(short.certificates, short.key)).expires == at
    outliving = x509.CertificateBuilder(
        short.certificates[0].subject, with_cn(short.certificates[0].subject, "1"), spare_key().public_key(), 1
    )
    longer = (
        outliving.not_valid_before(now() - HOUR)
        .not_valid_after(now() + 9 * HOUR)
        .add_extension(cert_info(), critical=True)
        .sign(short.key, hashes.SHA256())
    )
    assert check(people, Proxy((longer, *short.certificates), short.key)).expires == at


def test_an_elliptic_curve_proxy_is_fine(people: People) -> None:
    assert check(people, people.proxy("alice", key=ec.generate_private_key(ec.SECP256R1()))).subject == ALICE


@pytest.mark.parametrize(("lengths", "room"), [((0,), 0), ((5,), 5), ((5, None), 4), ((2, 9), 1), ((None, 3), 3)])
def test_path_lengths_say_how_many_proxies_may_follow(
    people: People, lengths: tuple[int | None, ...], room: int
) -> None:
    proxy = people.user("alice")
    for length in lengths:
        proxy = proxy.make(info=cert_info(path_length=length))
    assert check(people, proxy).room == room
    if room == 0:
        with pytest.raises(CredentialError, match="lets no further proxy be made"):
            check(people, proxy.make())


BAD: dict[str, tuple[Callable[[People], Proxy], str]] = {
    "expired": (lambda p: p.proxy("alice", start=-2 * HOUR, lifetime=-HOUR), r"ran out at .* UTC: make a new proxy"),
    "of the future": (lambda p: p.proxy("alice", start=HOUR), "is your clock right"),
    "limited": (lambda p: p.proxy("alice", info=cert_info(LIMITED)), "is a limited proxy"),
    "below a limited one": (lambda p: p.proxy("alice", info=cert_info(LIMITED)).make(), "is a limited proxy"),
    "independent": (lambda p: p.proxy("alice", info=cert_info(INDEPENDENT)), "hands on no rights"),
    "with an info that may be ignored": (lambda p: p.proxy("alice", critical=False), "not critical"),
    "with a broken info": (
        lambda p: p.proxy("alice", info=x509.UnrecognizedExtension(cert_info().oid, b"0\x03\x02\x01")),
        "cannot be read",
    ),
    "legacy": (lambda p: p.user("alice").make(cn="proxy", info=None), "is a legacy proxy: make an RFC 3820 one"),
    "below a legacy one": (lambda p: p.user("alice").make(cn="proxy", info=None).make(), "is a legacy proxy"),
    "with two names more": (
        lambda p: p.proxy("alice", subject=with_cn(with_cn(p.user("alice").certificates[0].subject, "1"), "2")),
        "one CN more",
    ),
    "of another person": (lambda p: p.proxy("alice", subject=with_cn(subject("bob"), "1")), "one CN more"),
    "with a name that is no CN": (
        lambda p: p.proxy(
            "alice",
            subject=x509.Name(
                [*p.user("alice").certificates[0].subject, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "1")]
            ),
        ),
        "one CN more",
    ),
    "signed by somebody else": (lambda p: p.proxy("alice", signer=p.user("bob").key), "is not signed by"),
    "that claims to be a CA": (
        lambda p: p.proxy("alice", extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)]),
        "claims to be a certificate authority",
    ),
    "that may sign certificates": (
        lambda p: p.proxy("alice", usage=key_usage("digital_signature", "key_cert_sign")),
        "claims to be a certificate authority",
    ),
    "that may not sign": (lambda p: p.proxy("alice", usage=key_usage("key_encipherment")), "keyUsage"),
    "with an alternative name": (
        lambda p: p.proxy("alice", extensions=[(x509.SubjectAlternativeName([x509.DNSName("x.org")]), False)]),
        "alternative name",
    ),
    "with something unknown": (
        lambda p: p.proxy(
            "alice", extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True)]
        ),
        "critical extension that is not known: 1.2.3.4",
    ),
    "with a short key": (
        lambda p: p.proxy("alice", key=rsa.generate_private_key(65537, 1024)),
        "weak or unknown key: make a proxy with 2048 bits",
    ),
    "with a short hash": (lambda p: p.proxy("alice", algorithm=hashes.SHA224()), "not known, or too weak"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography says of its own that SHA-1 and short keys are old
@pytest.mark.parametrize("what", BAD)
def test_a_bad_proxy_is_refused_with_the_reason(people: People, what: str) -> None:
    make, told = BAD[what]
    with pytest.raises(CredentialError, match=told):
        check(people, make(people))


def test_a_forged_link_in_the_middle_is_found(people: People) -> None:
    good = people.proxy("alice").make(cn="2").make(cn="3")
    forged = people.proxy("alice", signer=people.user("bob").key).certificates[0]
    for certificates in (
        (good.certificates[0], good.certificates[1], forged, good.certificates[3]),
        (good.certificates[0], good.certificates[2], good.certificates[3]),
        (good.certificates[1], good.certificates[0], *good.certificates[2:]),
    ):
        with pytest.raises(CredentialError, match=r"is not signed by|comes next in the chain"):
            check(people, Proxy(certificates, good.key))


def test_a_proxy_below_another_persons_certificate_is_refused(people: People) -> None:
    proxy = people.proxy("alice")
    with pytest.raises(CredentialError, match="/CN=bob comes next in the chain"):
        check(people, Proxy((proxy.certificates[0], *people.user("bob").certificates), proxy.key))


def test_a_chain_must_reach_a_person(people: People) -> None:
    proxy = people.proxy("alice")
    with pytest.raises(CredentialError, match="send the whole chain"):
        check(people, Proxy(proxy.certificates[:1], proxy.key))


def test_a_person_cannot_certify_others(people: People) -> None:
    """A certificate signed by a person's is neither a proxy nor from a CA."""
    alice = people.user("alice")
    forged, key = make_certificate(alice.certificates[0], alice.key, "bob")  # type: ignore[arg-type]
    with pytest.raises(CredentialError, match="not trusted here"):
        check(people, Proxy((forged, *alice.certificates), key).make())


def test_nobody_below_an_unknown_ca_is_believed(people: People) -> None:
    ca = make_ca()
    forged, key = make_certificate(*ca, "alice")  # the CA has the trusted one's name
    with pytest.raises(CredentialError, match="cannot be verified"):
        check(people, Proxy((forged, ca[0]), key).make())


def test_the_ca_itself_is_no_person(people: People) -> None:
    with pytest.raises(CredentialError, match="is a certificate authority, not a person"):
        check(people, Proxy((people.ca,), people.ca_key).make())


def test_a_name_that_looks_like_another_is_refused(people: People) -> None:
    for cn in ("x/CN=alice", "back\\xE9"):
        certificate, key = make_certificate(people.ca, people.ca_key, cn)
        with pytest.raises(CredentialError, match="could be taken for another"):
            check(people, Proxy((certificate,), key).make())


@pytest.mark.parametrize("cn", [
    "Robert'); DROP TABLE users;--", "<script>alert(1)</script>", "tab\there\n", "Zoë 雪 \U0001f600",
    "host/ce.example.org", "x" * 60,
])  # fmt: skip
def test_odd_names_are_written_in_printable_ascii(people: People, cn: str) -> None:
    certificate, key = make_certificate(people.ca, people.ca_key, cn)
    written = check(people, Proxy((certificate,), key).make()).subject
    assert written == slashed(certificate.subject)
    assert written.isascii()
    assert written.isprintable()


def test_an_expired_person_is_told_so(people: People) -> None:
    proxy = people.proxy("alice")
    later = time.time() + datetime.timedelta(days=4000).total_seconds()
    with pytest.raises(Expired, match="ran out at"):
        verify(proxy.certificates, Authorities(people.ca_dir), later)
