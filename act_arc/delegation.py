"""Delegations: the CE makes a key and asks for a certificate, we sign it with our proxy."""

from __future__ import annotations

import json

from pyarcrest.arc import ARCRest

from act.errors import CEBroken, CERefused, CredentialError, JobGone
from act.x509 import sign_request
from act_arc.transport import Answer, ServerError

_AS_LONG_AS_THE_PROXY_S = 10 * 365 * 86400.0
_IN_USE = "Failed deleting delegation"


def delegate(rest: ARCRest, proxy_pem: bytes) -> str:
    """Make a delegation, complete with its certificate; returns its id."""
    answer = _post(rest, "", "new")
    # ".../delegations/ID", or ".../delegations?action=new/ID" from A-REX 6
    location = answer.getheader("Location") or ""
    delegation = location.rpartition("/")[2]
    if not answer.body or not delegation:
        raise CEBroken(f"the CE made a delegation but gave no id or no request (Location: '{location}')")
    try:
        _put_signed(rest, delegation, answer.body, proxy_pem)
    except (CEBroken, CredentialError):
        undelegate(rest, delegation)
        raise
    return delegation


def renew(rest: ARCRest, proxy_pem: bytes, delegation: str) -> None:
    """Give a delegation a new certificate. Raises JobGone if the CE does not have it.

    Asks for it first: A-REX answers ``renew`` for a delegation it does not have by making one.
    """
    if _post(rest, delegation, "get").status == 404:
        raise JobGone(f"the CE has no delegation {delegation}")
    _put_signed(rest, delegation, _post(rest, delegation, "renew").body, proxy_pem)


def undelegate(rest: ARCRest, delegation: str) -> None:
    """Remove a delegation, if there is one. Raises CERefused while jobs at the CE use it."""
    try:
        _post(rest, delegation, "delete")
    except ServerError as e:
        if _IN_USE in e.answer.reason:
            raise CERefused(f"delegation {delegation} is still in use: {e}") from e
        raise


def delegations(rest: ARCRest) -> frozenset[str]:
    """The ids of all delegations. REST 1.0 lists a single one without a list, and none as an empty body."""
    answer: Answer = rest.httpClient.request("GET", f"{rest.apiPath}/delegations", {"Accept": "application/json"})
    if answer.status != 200:
        raise CEBroken(f"the CE gave no list of delegations: {answer.status} {answer.reason}")
    if not answer.body and rest.version == "1.0":
        return frozenset()
    found = json.loads(answer.body)["delegation"]
    return frozenset(one["id"] for one in (found if isinstance(found, list) else [found]))


def _post(rest: ARCRest, delegation: str, action: str) -> Answer:
    path = f"{rest.apiPath}/delegations/{delegation}".rstrip("/")
    answer: Answer = rest.httpClient.request("POST", path, data=b"", params={"action": action})
    if answer.status not in (200, 201, 202, 404):
        raise CEBroken(f"the CE refused to {action} a delegation: {answer.status} {answer.reason}")
    return answer


def _put_signed(rest: ARCRest, delegation: str, request: bytes, proxy_pem: bytes) -> None:
    """Answer a certificate request (PEM)."""
    chain = sign_request(request, proxy_pem, _AS_LONG_AS_THE_PROXY_S)
    path, headers = f"{rest.apiPath}/delegations/{delegation}", {"Content-Type": "application/x-pem-file"}
    answer: Answer = rest.httpClient.request("PUT", path, headers, data=chain)
    if answer.status not in (200, 201):
        raise CEBroken(f"the CE did not take the certificate of a delegation: {answer.status} {answer.reason}")
