"""What a test needs of the machine it runs on."""

import os
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """What the test needs is not here: skipped at home, an error in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(reason: str | None) -> None:
    """Go on if there is no reason (None) why the test cannot run here."""
    if reason is not None:
        unavailable(reason)
