"""pyarcrest's protocol classes with what is unsafe in them made safe, and the choice between them.

pyarcrest pairs the answers of a bulk call with the question by position, shortens both lists to the shorter one, and
lets one odd number in one job's information spoil the call. Here answers are paired by id and completeness is checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pyarcrest.arc import ARCRest, ARCRest_1_0, ARCRest_1_1, Result
from pyarcrest.errors import ARCError, ARCHTTPError

from act.errors import CEBroken
from act_arc.transport import Transport

T = TypeVar("T")
# pyarcrest insists on the name of a proxy file, which it would only open to sign with.
_NO_FILE = "in memory"


class _Paired:
    """Bulk calls whose answers belong to the questions; to be mixed into a class of pyarcrest."""

    def _manageJobs(self, jobs: Sequence[str], action: str) -> list[dict[str, Any]]:
        answers = super()._manageJobs(jobs, action)  # type: ignore[misc]
        by_id = {answer["id"]: answer for answer in answers}
        if len(answers) != len(jobs) or by_id.keys() != set(jobs):
            raise CEBroken(f"asked for {action} of {len(jobs)} jobs, the CE answered for {len(answers)} or for others")
        return [by_id[job] for job in jobs]

    def getJobsInfo(self, jobs: Sequence[str]) -> list[Result]:
        """The ComputingActivity of each job as it came; {} where the CE has none."""
        results = []
        for answer in self._manageJobs(jobs, "info"):
            if int(answer["status-code"]) != 200:
                results.append(Result(ARCHTTPError(int(answer["status-code"]), answer["reason"]), error=True))
            else:
                results.append(Result(answer.get("info_document", {}).get("ComputingActivity", {})))
        return results


class Rest10(_Paired, ARCRest_1_0):  # type: ignore[misc]
    """REST 1.0 (A-REX 6, and 7 too): the delegation is told in the description."""


class Rest11(_Paired, ARCRest_1_1):  # type: ignore[misc]
    """REST 1.1 (A-REX 7)."""

    def getJobsList(self) -> list[str]:
        """Ids of all jobs. No body is no list here, while 1.0 means an empty one by it."""
        status, text = self._requestJSON("GET", "/jobs")
        if status != 200:
            raise ARCHTTPError(status, text)
        return [job["id"] for job in json.loads(text)["job"]]


TOKENS_SINCE = "1.1"
VERSIONS: dict[str, type[ARCRest]] = {"1.1": Rest11, "1.0": Rest10}  # best first


def negotiate(transport: Transport, base: str, wanted: str | None) -> ARCRest:
    """The protocol class for the best version that the CE offers (or just the wanted one), on ``transport``."""
    offered = ask(lambda: ARCRest.getAPIVersionsStatic(transport, base))
    for version, rest in VERSIONS.items():
        if version in offered and wanted in (None, version):
            return rest(transport, proxypath=_NO_FILE, apiBase=base)
    raise CEBroken(f"the CE offers REST {offered}, we speak {wanted or list(VERSIONS)}")


def ask(call: Callable[[], T]) -> T:
    """Run a call of pyarcrest; its errors, and its stumbling over an answer, come out as CEBroken."""
    try:
        return call()
    except (ARCError, ValueError, LookupError, TypeError, AttributeError) as e:
        raise CEBroken(f"the answer of the CE is not as agreed: {type(e).__name__}: {e}") from e
