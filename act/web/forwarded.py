"""Whose request it is, where a web server before this one passes it on."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from flask import Flask

Networks = Sequence[IPv4Network | IPv6Network]


def install(app: Flask, forwarders: Sequence[str]) -> None:
    """Give every request the address of who asked the forwarders. Of others, X-Forwarded-For is not believed."""
    trusted, inner = [ip_network(network) for network in forwarders], app.wsgi_app

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        environ["REMOTE_ADDR"] = asker(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), trusted)
        return inner(environ, start_response)

    app.wsgi_app = serve  # type: ignore[method-assign]


def asker(address: str, forwarded: str, trusted: Networks) -> str:
    """Who asked, by the word of those that are trusted: each appends to the header who asked it. It may be any text."""
    hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else []
    while hops and within(address, trusted):
        address = hops.pop()
    return address


def within(address: str, networks: Networks) -> bool:
    """Whether an address is in one of them; what is no address is in none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found  # as a socket for both calls IPv4 addresses
    return any(found in network for network in networks)
