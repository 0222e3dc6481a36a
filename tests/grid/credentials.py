"""Test CA, host, VOMS and user certificates, the token issuer and proxies of the test grid.

python -m tests.grid.credentials GRID: makes under GRID what is missing or near its end.

    certs/ca                  the CA directory (hash links, signing policy)
    certs/host-{cert,key}.pem the CEs' certificate, for localhost
    certs/users/USER-{cert,key}.pem
    certs/vomsdir, certs/allowed-subjects
    certs/tokenissuer         what a CE must know of the issuer of bearer tokens: issuer, metadata, keys; and the same
                              as scitokens_cpp.sqllite, the cache of the library that HTCondor has for them
    certs/token-key.pem       its key, to sign tokens with
    proxies/NAME.pem          see `tests.grid.proxies.PROXIES`
"""

import datetime
import shutil
import subprocess
import sys
from pathlib import Path

from tests.grid.pki import good, key_pem, load_certificate, make_ca, make_certificate, pem, slashed, subject, write
from tests.grid.proxies import PROXIES, VO, VOMS_HOST, fresh
from tests.grid.tokens import make_key_cache, make_token_issuer

USERS = ("alice", "bob", "mallory")
AUTHORISED_USERS = ("alice", "bob")

CERTIFICATE_MARGIN = datetime.timedelta(days=30)
PROXY_MARGIN = datetime.timedelta(hours=12)


def make_certificates(certs: Path) -> None:
    """The CA and all it signs; certs/host-cert.pem comes last and says that the set is whole."""
    for part in ("ca", "users", "vomsdir"):
        shutil.rmtree(certs / part, ignore_errors=True)
    ca, ca_key = make_ca()
    host = make_certificate(ca, ca_key, "localhost", hosts=["localhost"])
    voms = make_certificate(ca, ca_key, VOMS_HOST, hosts=[VOMS_HOST])
    users = {user: make_certificate(ca, ca_key, user) for user in USERS}

    write(certs / "ca/ca.pem", pem(ca), 0o644)
    digest = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", str(certs / "ca/ca.pem")],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout.strip()  # fmt: skip
    policy = (
        f"access_id_CA   X509    '{slashed(ca.subject)}'\n"
        "pos_rights     globus  CA:sign\n"
        f"cond_subjects  globus  '\"{slashed(subject('*'))}\"'\n"
    )
    write(certs / f"ca/{digest}.0", pem(ca), 0o644)
    write(certs / f"ca/{digest}.signing_policy", policy.encode(), 0o644)
    for user, (certificate, key) in users.items():
        write(certs / f"users/{user}-cert.pem", pem(certificate), 0o644)
        write(certs / f"users/{user}-key.pem", key_pem(key), 0o600)
    allowed = "".join(f'"{slashed(users[user][0].subject)}"\n' for user in AUTHORISED_USERS)
    write(certs / "allowed-subjects", allowed.encode(), 0o644)
    lsc = f"{slashed(voms[0].subject)}\n{slashed(voms[0].issuer)}\n"
    write(certs / f"vomsdir/{VO}/{VOMS_HOST}.lsc", lsc.encode(), 0o644)
    write(certs / "voms-cert.pem", pem(voms[0]), 0o644)
    write(certs / "voms-key.pem", key_pem(voms[1]), 0o600)
    write(certs / "host-key.pem", key_pem(host[1]), 0o600)
    write(certs / "host-cert.pem", pem(host[0]), 0o644)


def make_proxies(grid: Path) -> None:
    """Those that are missing, near their end, or of certificates that were replaced."""
    for name, (user, _) in PROXIES.items():
        path = grid / f"proxies/{name}.pem"
        certificate = load_certificate(grid / f"certs/users/{user}-cert.pem")
        if not (good(path, PROXY_MARGIN) and pem(certificate) in path.read_bytes()):
            write(path, fresh(grid / "certs", name), 0o600)


def main() -> None:
    grid = Path(sys.argv[1])
    if not good(grid / "certs/host-cert.pem", CERTIFICATE_MARGIN):
        make_certificates(grid / "certs")
    if not (grid / "certs/token-key.pem").is_file():
        make_token_issuer(grid / "certs")
    keys, cache = (grid / "certs/tokenissuer" / name for name in ("keys", "scitokens_cpp.sqllite"))
    if not cache.is_file() or cache.stat().st_mtime < keys.stat().st_mtime:
        make_key_cache(grid / "certs/tokenissuer")
    make_proxies(grid)


if __name__ == "__main__":
    main()
