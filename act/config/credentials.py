"""Where the tower's credentials come from: proxies by role, and bearer tokens for CEs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from act.xmlconfig import ConfigPath, Seconds, Section, distinct


class ProxySource(Section):
    """Where the proxies of one role come from: made of a long-lived certificate or proxy (``source_cert``), or found
    in ``directory`` as <role>.pem or <role>.*.pem, where something else renews them.

    voms: the VO whose attributes they must have, fqan: the one that must be among them; none: plain proxies.
    """

    role: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")
    source_cert: ConfigPath | None = None
    source_key: ConfigPath | None = None
    """None: the key is in source_cert, as in a proxy file."""
    directory: ConfigPath | None = None
    voms: str = Field("", pattern=r"^[A-Za-z0-9_.-]*$")
    fqan: str = Field("", pattern=r"^(/[\w.=-]+)*$")
    lifetime_h: float = Field(96, gt=0)
    renew_below_h: float = Field(72, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> ProxySource:
        if (self.source_cert is None) == (self.directory is None):
            raise ValueError("needs either source_cert or directory")
        if self.directory is not None and self.source_key is not None:
            raise ValueError("source_key goes with source_cert, not with directory")
        if self.fqan and f"{self.fqan}/".partition("/")[2].partition("/")[0] != self.voms:
            raise ValueError(f"fqan must begin with the VO in voms: /{self.voms or '<voms>'}/...")
        if self.renew_below_h >= self.lifetime_h:
            raise ValueError("renew_below_h must be less than lifetime_h")
        return self


class Proxies(Section):
    """Credentials of the tower. ``key_file`` encrypts those kept in the database.

    check_s: how often they are looked at; more often if they are short-lived. vomses: where the VOMS servers are, a
    file or directory as VOMS clients know it.
    """

    key_file: ConfigPath = Path("var/state/proxy.key")
    check_s: Seconds = 600
    vomses: ConfigPath = Path("/etc/vomses")
    proxy: tuple[ProxySource, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Proxies:
        distinct("role", (p.role for p in self.proxy))
        return self


class TokenSource(Section):
    """Where the bearer token for a CE comes from: a file that something else renews, or an OIDC issuer that gives
    tokens to its client (RFC 6749, 4.4). issuer: its URL, asked for the token_endpoint unless that is given instead.
    """

    file: ConfigPath | None = None
    issuer: str = Field("", pattern="^(https://.+)?$")
    token_endpoint: str = Field("", pattern="^(https://.+)?$")
    client_id: str = ""
    client_secret_file: ConfigPath | None = None
    scope: str = "compute.read compute.create compute.modify compute.cancel"
    audience: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> TokenSource:
        if [self.file is not None, bool(self.issuer), bool(self.token_endpoint)].count(True) != 1:
            raise ValueError("needs one of file, issuer, token_endpoint")
        if self.file is None and not (self.client_id and self.client_secret_file):
            raise ValueError("needs client_id and client_secret_file, to ask an issuer")
        return self
