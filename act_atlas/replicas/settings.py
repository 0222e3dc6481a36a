"""The section ``storages`` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from act.errors import JobError
from act.xmlconfig import Count, Seconds, Section
from act_atlas.replicas.urls import parse_prefix


def _prefix(value: str) -> str:
    try:
        parse_prefix(value)
    except JobError as error:
        raise ValueError(str(error)) from error
    return value


class Storages(Section):
    """Storage elements where outputs are checked and removed.

    removable: nothing is ever removed but below these URLs. parallel: requests in flight for one bulk. batch: files in
    one bulk. total_s: what a bulk may take, less than a lease; files that it did not get to come later. read_s: for one
    answer; a storage may have to read the whole file for its checksum. retry_s: when a file that got no answer is asked
    for again.
    """

    removable: tuple[Annotated[str, AfterValidator(_prefix)], ...] = ()
    parallel: Count = 8
    batch: Count = 100
    connect_s: Seconds = 10
    read_s: Seconds = 60
    total_s: Seconds = 120
    retry_s: Seconds = 60
