"""The port to what proves who we are: proxy files, tokens in the places where grid software leaves them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from act.cli.user.config import Session
from act.errors import ActError, CredentialError

if TYPE_CHECKING:
    from act.cli.user.api import Api
    from act.x509 import ProxyInfo

OIDC_AGENT_S = 30.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def proxy_file(named: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the proxy is: as said, $X509_USER_PROXY, or where grid software puts it."""
    return named or Path(environment.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")


def read_proxy(path: Path) -> tuple[bytes, ProxyInfo]:
    """A proxy that can be handed over. Raises CredentialError."""
    from act import x509

    try:
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise CredentialError(
            f"there is no proxy {path}: make one with your grid software (such as voms-proxy-init), or say where it is "
            "with --proxy or X509_USER_PROXY"
        ) from error
    except OSError as error:
        raise CredentialError(f"the proxy {path} cannot be read: {error.strerror or error}") from error
    try:
        info = x509.read_proxy(pem)
    except CredentialError as error:
        raise CredentialError(f"{path}: {error}") from error
    if info.expires <= time.time():
        raise CredentialError(f"the proxy {path} has expired: make a new one")
    if info.subject == info.identity:
        raise CredentialError(f"{path} is a certificate, not a proxy: make a proxy from it (such as voms-proxy-init)")
    return pem, info


def hand_over(first: Api, api: Callable[[str], Api], pem: bytes, lifetime_s: float) -> Session:
    """Let the tower have a proxy of its own, signed with ours; our key stays here. Returns the session.

    first: the server as nobody, or as whom the proxy is for; api: the server as seen with a token.
    Whatever goes wrong after the first step, the tower is told to forget it.
    """
    from act import x509

    chain = "".join(_CERTIFICATE.findall(pem.decode("ascii", "replace")))
    offer = first.offer(chain)
    pending = api(str(offer["token"]))
    try:
        signed = x509.sign_request(str(offer["request"]).encode(), pem, lifetime_s)
        accepted = pending.accept(signed.decode())
    except (ActError, KeyboardInterrupt):
        _forget(pending)
        raise
    return Session(str(accepted["token"]), float(accepted["expires"]))


def _forget(pending: Api) -> None:
    """As far as possible; the tower forgets by itself after some minutes."""
    try:
        pending.abandon()
    except ActError:
        return


def find_token(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """A bearer token and where it was, in the places that WLCG's bearer token discovery names; "" if in none.

    Raises CredentialError for a file that is named but cannot be read.
    """
    if token := environment.get("BEARER_TOKEN", "").strip():
        return token, "$BEARER_TOKEN"
    if named := environment.get("BEARER_TOKEN_FILE"):
        return read_token(Path(named)), named
    folders = [environment.get("XDG_RUNTIME_DIR") or "/tmp", "/tmp"]
    for path in (Path(folder) / f"bt_u{os.getuid()}" for folder in folders):
        if path.is_file():
            return read_token(path), str(path)
    return "", ""


def read_token(path: Path) -> str:
    """The token in a file. Raises CredentialError."""
    try:
        token = path.expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"the token file {path} cannot be read: {error}") from error
    if not token:
        raise CredentialError(f"the token file {path} is empty")
    return token


def ask_oidc_agent(account: str, audience: str = "") -> str:
    """A fresh token of an account that oidc-agent has. Raises CredentialError.

    audience: that it must be for; "": as the issuer likes, as oidc-agent forgets the one of the account.
    """
    # without --force-new it may be one that it had before, with moments left, or that its issuer has since taken back
    command = ["oidc-token", account, "--force-new", *([f"--aud={audience}"] if audience else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=OIDC_AGENT_S, check=False)
    except FileNotFoundError as error:
        raise CredentialError("oidc-token is not installed: install oidc-agent, or use --token-file") from error
    except subprocess.TimeoutExpired as error:
        raise CredentialError(
            f"oidc-agent gave no token within {OIDC_AGENT_S:.0f} s: is it waiting for you?"
        ) from error
    if done.returncode or not done.stdout.strip():
        reason = done.stderr.strip() or "no reason given"
        raise CredentialError(f"oidc-agent gives no token for {account}: {reason} (is the account loaded? oidc-add)")
    return done.stdout.strip()


def expiry(token: str) -> float | None:
    """When a JWT says that it expires, epoch seconds; None if it does not, or is none. It is not verified."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
