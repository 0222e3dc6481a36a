"""Who people are: certificates and tokens, the hand-over of proxies, sessions, and groups."""

from act.client.identity.caller import Caller
from act.client.identity.errors import BadCredential, Forbidden, TooManyHandovers, Unauthorised
from act.client.identity.gate import Gate
from act.client.identity.handover import Offer

__all__ = ["BadCredential", "Caller", "Forbidden", "Gate", "Offer", "TooManyHandovers", "Unauthorised"]
