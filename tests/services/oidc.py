"""A real OIDC issuer for tests: oidc-provider, certified by the OpenID Foundation, run by Debian's nodejs.

with OidcIssuer(ca, {"tool": "secret"}, {}) as issuer:
    Person(issuer, "alice-0001").approve(url, code)  # that a program shows
"""

import hashlib
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import lxml.html

from act.simulation import TestCA
from tests.services.process import Server, find, free_port

HERE = Path(__file__).parent
LOCK = HERE / "oidc-provider" / "package-lock.json"
CALL_S = 30
PAGES = 10  # that a person looks at before giving up
SCOPES = ("wlcg.groups", "compute.read", "compute.create", "compute.modify", "compute.cancel")
SCOPE = "openid offline_access wlcg.groups"  # that programs of people ask for
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ANYWHERE = "https://wlcg.cern.ch/jwt/v1/any"  # of tokens for which no audience is asked (WLCG profile)
TOWER, OTHER = "https://act.example.org", "https://other.example.org"
AUDIENCES = (ANYWHERE, TOWER, OTHER)
PEOPLE = {
    "alice-0001": ["/physics", "/physics/experts"],
    "bob-0002": ["/astronomy"],
    "carol-0003": ["/physics"],
}
"""Subject -> wlcg.groups of those who have an account."""


class OidcIssuer(Server):
    """An issuer at ``url``, on the loopback interface.

    clients: secrets of those that a program of a person is (device flow, refresh tokens), and machines: of those that
    get tokens for themselves; both name -> secret.
    """

    program = "oidc-provider"

    def __init__(self, ca: TestCA, clients: Mapping[str, str], machines: Mapping[str, str]) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="act-oidc-")))
        self.ca, self.clients, self.machines = ca, dict(clients), dict(machines)
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"

    @staticmethod
    def missing() -> str | None:
        """Why there can be no issuer here; None if nothing is missing."""
        wanted = [] if find("node") else ["nodejs"]
        wanted += [] if _modules().is_dir() else ["oidc-provider"]
        return f"no {', '.join(wanted)}: run tests/setup.sh" if wanted else None

    def visitor(self) -> httpx.Client:
        """A browser, or a program, that trusts the issuer's CA."""
        trust = ssl.create_default_context(cafile=str(self.ca.ca_cert))
        return httpx.Client(verify=trust, timeout=CALL_S, trust_env=False, follow_redirects=True)

    def administer(self, **orders: Any) -> None:
        """What oidc-issuer.mjs says of POST /admin."""
        with self.visitor() as client:
            client.post(f"{self.url}/admin", json=orders).raise_for_status()

    def token(self, client: str, **form: str) -> dict[str, Any]:
        """The answer of the token endpoint to one of the clients."""
        return self._post("/token", client, form)

    def token_of(self, client: str, subject: str, audience: str) -> dict[str, Any]:
        """The answer to a program of a person's, who approves of it (RFC 8628)."""
        asked = self._post("/device/auth", client, {"client_id": client, "scope": SCOPE})
        Person(self, subject).approve(asked["verification_uri"], asked["user_code"])
        return self.token(client, grant_type=DEVICE, device_code=asked["device_code"], audience=audience)

    def keys(self) -> dict[str, Any]:
        """What it publishes."""
        with self.visitor() as visitor:
            found: dict[str, Any] = visitor.get(f"{self.url}/jwks").json()
        return found

    def _post(self, path: str, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        secret = quote((self.clients | self.machines)[client], safe="")  # RFC 6749, 2.3.1
        with self.visitor() as visitor:
            found: dict[str, Any] = visitor.post(f"{self.url}{path}", data=form, auth=(client, secret)).json()
        return found

    def _command(self) -> list[str]:
        cert, key = self.ca.host()
        common = {"redirect_uris": [], "response_types": [], "token_endpoint_auth_method": "client_secret_basic"}
        persons, own = [DEVICE, "refresh_token"], ["client_credentials"]
        registered = [
            common | {"client_id": name, "client_secret": secret, "grant_types": grants}
            for group, grants in ((self.clients, persons), (self.machines, own))
            for name, secret in group.items()
        ]
        settings = self.directory / "settings.json"
        settings.write_text(json.dumps({
            "modules": str(_modules()), "port": self.port, "cert": str(cert), "key": str(key), "clients": registered,
            "people": PEOPLE, "scopes": SCOPES, "audiences": AUDIENCES, "lifetime_s": 600, "code_s": 600,
            "alg": "RS256",
        }))  # fmt: skip
        return [str(find("node")), str(HERE / "oidc-issuer.mjs"), str(settings)]

    def _answers(self) -> bool:
        try:
            with self.visitor() as client:
                return client.get(f"{self.url}/.well-known/openid-configuration").is_success
        except httpx.TransportError:
            return False


class Person:
    """Somebody at the issuer's web pages, with a browser that keeps cookies but runs no scripts."""

    def __init__(self, issuer: OidcIssuer, subject: str) -> None:
        self._issuer, self._subject = issuer, subject

    def approve(self, url: str, code: str) -> None:
        """Enter the code that a device shows, confirm it, log in, consent."""
        assert "Sign-in Success" in self._visit(url, code)

    def deny(self, url: str, code: str) -> None:
        """Enter the code, and say no to what the page says of it."""
        assert "interrupted" in self._visit(url, code, abort="yes")

    def _visit(self, url: str, code: str, **button: str) -> str:
        """Send the form of each page, until one has none or asks for another code; button: that is pressed there when
        the code is to be confirmed."""
        with self._issuer.visitor() as browser:
            answer = browser.get(url)
            for _ in range(PAGES):
                page = lxml.html.fromstring(answer.text)
                if not page.forms or page.find_class("red"):
                    break
                form = page.forms[0]
                fields = dict(form.fields)
                answers = {"user_code": code, "login": self._subject, "password": "any"}
                fields |= {name: answers[name] for name in answers if name in fields}
                fields |= button if "confirm" in fields else {}
                answer = browser.post(answer.url.join(form.action), data=fields)
        return answer.text


def _modules() -> Path:
    """Where tests/setup.sh puts what the lock file pins."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "act-tests"
    return cache / f"oidc-provider-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}" / "node_modules"
