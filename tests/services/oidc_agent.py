"""The real oidc-agent for tests: it gets tokens for a person by the device flow (RFC 8628) and refreshes them.

with OidcAgent(issuer, "tool") as agent:
    agent.add("wlcg", Person(issuer, "alice-0001").approve)
    agent.environment  # for programs that ask it
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.services.oidc import SCOPE, OidcIssuer
from tests.services.process import Server, find

SHOWN = re.compile(r"visit:\s+(https://\S+)\s+And enter the code: (\S+)")


class OidcAgent(Server):
    """One person's agent; its accounts are all those of one client of an issuer."""

    program = "oidc-agent"

    def __init__(self, issuer: OidcIssuer, client: str) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="act-agent-")))
        self._issuer, self._client = issuer, client
        self._socket = self.directory / "socket"
        accounts = self.directory / "accounts"
        accounts.mkdir()
        self.environment = {"OIDC_SOCK": str(self._socket), "OIDC_CONFIG_DIR": str(accounts)}

    @staticmethod
    def missing() -> str | None:
        """Why there can be no agent here; None if nothing is missing."""
        return None if find("oidc-agent") else "no oidc-agent: run tests/setup.sh"

    def add(self, account: str, person: Callable[[str, str], None]) -> str:
        """Ask for a person's consent, who is shown an address and a code. Why there is none, "" if all is well."""
        command = [
            "oidc-gen", account, "--flow=device", f"--client-id={self._client}", f"--iss={self._issuer.url}/",
            f"--client-secret={self._issuer.clients[self._client]}", f"--scope={SCOPE}",
            f"--cert-path={self._issuer.ca.ca_cert}", "--redirect-uri=http://localhost:20499", "--pw-cmd=echo any",
            "--prompt=none", "--confirm-default", "--no-url-call",
        ]  # fmt: skip
        with subprocess.Popen(
            command, env=os.environ | self.environment, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as asking:  # fmt: skip
            assert asking.stdout is not None
            said = ""
            for line in asking.stdout:
                said += line
                if shown := SHOWN.search(said):
                    person(*shown.groups())
                    break
            rest = asking.stdout.read()
        return rest.partition("Error: ")[2] if asking.returncode else ""

    def _command(self) -> list[str]:
        # a refresh token that is no good any more is told, and no window is opened to ask for another
        return [str(find(self.program)), "--console", f"--socket-path={self._socket}", "--no-autoreauthenticate"]

    def _answers(self) -> bool:
        return self._socket.exists()
