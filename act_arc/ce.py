"""An ARC CE seen with one credential: the adapter between the tower and the REST interface of A-REX.

Inert creation: every job has at least one input that the tower uploads itself (`xrsl.uploads`); the CE lets a job
wait for those, and fails it after ten minutes. `arm` uploads them.

With a bearer token (REST 1.1 only) the CE is spoken to without a certificate. The proxy is delegated all the same: it
is what pilots, and the CE when it stages files, act with towards storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from pyarcrest.arc import ARCRest, Result
from pyarcrest.errors import ARCHTTPError

from act.errors import (
    BadJobSpec,
    CEBroken,
    CEFull,
    CERefused,
    ConfigError,
    CredentialError,
    JobError,
    JobGone,
    OutputMissing,
)
from act.interfaces import Inputs
from act.model import CEAddress, CEStatus, Created, JobSpec, Proxy, Submission
from act_arc import delegation as delegations
from act_arc import session, xrsl
from act_arc.rest import TOKENS_SINCE, VERSIONS, ask, negotiate
from act_arc.states import DETAILED, ce_status, rest_state
from act_arc.transport import Answer, ServerError, Transport

BATCH = 500
# A-REX reads at most 1 MiB of a list of ids and drops the rest without a word; an entry has up to 70 bytes.
_IDS_PER_STATUS = 5000
_IDS_PER_INFO = 1000  # about 2.5 kB of answer for each
_MAX_DESCRIPTION = 100 * 1024 * 1024 // BATCH  # A-REX takes 100 MiB of descriptions in one call
# While A-REX takes a job in, it moves it between directories, and a list that is read then lacks it: 20 ms at most were
# seen, once for every few jobs, with 6.17 and 7.0.0.
_BETWEEN_LISTS_S = 0.1
_FULL = "No more jobs allowed"
_DIAGNOSE = "diagnose="
_JSON = "application/json"
_NOT_FAILED = "has not failed"  # so A-REX refuses to restart a job


class ArcCE:
    """`act.interfaces.ComputeElement` for ARC. ``address.options["rest"]`` pins the version of the interface."""

    batch = BATCH
    arm_batch = 1  # each is an upload of its own
    status_batch = _IDS_PER_STATUS

    def __init__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> None:
        self._rest = address.options.get("rest")
        if proxy.token:
            if self._rest not in (None, TOKENS_SINCE):
                raise CredentialError(f"REST {self._rest}, as configured for {address.url}, takes no tokens")
            self._rest = TOKENS_SINCE
        elif 0 < proxy.expires <= time.time():
            raise CredentialError(f"the proxy of {proxy.identity} has run out")
        self._address, self._inputs = address, inputs
        self._proxy_pem = proxy.pem
        self._transport = Transport(address, proxy.pem, proxy.token)
        self._negotiated: ARCRest | None = None

    @contextmanager
    def _call(self, seconds: float | None = None) -> Iterator[ARCRest]:
        """One call of the interface, with a deadline for all its requests together."""
        with self._transport.within(seconds or self._address.total_s):
            if self._negotiated is None:
                base = urlsplit(self._address.url).path.rstrip("/") or "/arex"
                self._negotiated = negotiate(self._transport, base, self._rest)
            yield self._negotiated

    def probe(self) -> None:
        """Ask for our jobs: the one question that tells a broken CE from one that does not want us."""
        with self._call() as rest:
            _listed(rest)

    def list_ids(self) -> frozenset[str]:
        """All our jobs: what is in any of two lists."""
        with self._call() as rest:
            first = _listed(rest)
            time.sleep(_BETWEEN_LISTS_S)
            return first | _listed(rest)

    def create(self, jobs: Sequence[Submission], delegation: str) -> list[Created | JobError]:
        """One POST; a job with an unknown queue is refused alone."""
        with self._call() as rest:
            told_in_text = delegation if rest.version == "1.0" else ""
            texts = [_description(job, told_in_text) for job in jobs]
            good = [text for text in texts if isinstance(text, str)]
            if not good:
                return [text for text in texts if isinstance(text, JobError)]
            try:
                made = ask(lambda: rest.createJobs(xrsl.bulk(good), delegationID=delegation, isADL=False))
            except ServerError as e:
                if _FULL in f"{e.answer.reason} {e.answer.body!r}":
                    raise CEFull(str(e)) from e
                raise
        if len(made) != len(good):
            raise CEBroken(f"the CE was asked for {len(good)} jobs and answered for {len(made)}")
        results = iter(made)
        return [_created(next(results)) if isinstance(text, str) else text for text in texts]

    def arm(self, jobs: Mapping[str, JobSpec]) -> dict[str, JobError | None]:
        """Upload what the jobs wait for; its size is in the description, so half a file does not count."""
        return {ce_job_id: self._upload_all(ce_job_id, spec) for ce_job_id, spec in jobs.items()}

    def _upload_all(self, ce_job_id: str, spec: JobSpec) -> JobError | None:
        """All inputs of a job together within the time of a transfer, as a claim on the job must outlast them."""
        with self._call(self._address.transfer_s) as rest:
            for upload in xrsl.uploads(spec):
                path = f"{_job_path(rest, ce_job_id)}/session/{quote(upload.name)}"
                try:
                    answer = self._upload(path, upload)
                except (OutputMissing, BadJobSpec) as e:
                    return e
                if answer.status == 404:
                    return JobGone(f"the CE does not know job {ce_job_id}")
                if answer.status not in (200, 201):
                    return CERefused(f"the CE does not take {upload.name}: {answer.status} {answer.reason}")
        return None

    def _upload(self, path: str, upload: xrsl.Upload) -> Answer:
        """A whole file of the store is not sent again: a job that has all it waits for may be reading it."""
        if not upload.stored:
            return self._transport.request("PUT", path, data=upload.content)
        there = self._transport.request("HEAD", path)
        if there.status == 200 and there.getheader("content-length") == str(upload.size):
            return there
        with self._inputs.open(upload.stored) as file:
            return self._transport.upload(path, session.chunks(file, upload.name, upload.size), upload.size)

    def inspect(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """Details of all; a job that A-REX has just accepted has no name in them, so that is read from its files."""
        with self._call() as rest:
            found: dict[str, CEStatus | JobError] = {}
            for job, result in _bulk(rest.getJobsInfo, ce_job_ids, _IDS_PER_INFO).items():
                if result.error:
                    found[job] = _job_error(result)
                    continue
                status = ce_status(rest_state(result.value), result.value)
                found[job] = status if status.name else replace(status, name=self._name(rest, job))
            return found

    def status(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """States of all, and details of those about which something will be done."""
        with self._call() as rest:
            states = _bulk(rest.getJobsStatus, ce_job_ids, _IDS_PER_STATUS)
            wanted = [job for job, state in states.items() if not state.error and state.value in DETAILED]
            details = _bulk(rest.getJobsInfo, wanted, _IDS_PER_INFO)
        return {job: _status(state, details.get(job)) for job, state in states.items()}

    def kill(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """A-REX takes a kill of an ended job too."""
        with self._call() as rest:
            return _taken(_bulk(rest.killJobs, ce_job_ids, _IDS_PER_STATUS))

    def clean(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """A-REX forgets the job at once and its files soon after."""
        with self._call() as rest:
            return _taken(_bulk(rest.cleanJobs, ce_job_ids, _IDS_PER_STATUS))

    def restart(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """CERefused for a job that has no reruns left. One that has not failed goes on anyway."""
        with self._call() as rest:
            answers = _taken(_bulk(rest.restartJobs, ce_job_ids, _IDS_PER_STATUS))
        return {i: None if isinstance(a, CERefused) and _NOT_FAILED in str(a) else a for i, a in answers.items()}

    def fetch(self, ce_job_id: str, name: str, out: BinaryIO) -> int:
        """``diagnose=errors`` and ``diagnose=gmlog/errors`` are the same file."""
        with self._call(self._address.transfer_s) as rest:
            if name.startswith(_DIAGNOSE):
                path = f"diagnose/{quote(name.rpartition('/')[2].removeprefix(_DIAGNOSE))}"
            else:
                path = f"session/{quote(name)}"
            answer, size = self._transport.download(f"{_job_path(rest, ce_job_id)}/{path}", out)
            if answer.status == 200 and _is_file(answer.getheader("content-type"), path):
                return size
            if _bulk(rest.getJobsStatus, [ce_job_id], 1)[ce_job_id].error:
                raise JobGone(f"the CE does not know job {ce_job_id}")
            raise OutputMissing(f"no file {name} ({answer.status} {answer.reason})")

    def files(self, ce_job_id: str, folder: str) -> list[str]:
        """A request for each directory, all of them within the time of one call."""
        with self._call() as rest:

            def listed(path: str) -> tuple[list[str], list[str]] | None:
                where = f"{_job_path(rest, ce_job_id)}/session/{quote(path)}"
                answer = self._transport.request("GET", where, {"Accept": _JSON})
                return session.parse(answer.body) if _is_list(answer) else None

            names = session.walk(listed, folder)
            if names is None and _bulk(rest.getJobsStatus, [ce_job_id], 1)[ce_job_id].error:
                raise JobGone(f"the CE does not know job {ce_job_id}")
            return names or []

    def delegate(self) -> str:
        """Make a delegation and sign its certificate."""
        with self._call() as rest:
            return ask(lambda: delegations.delegate(rest, self._proxy_pem))

    def renew(self, delegation: str) -> None:
        """Give a delegation a certificate of the present proxy."""
        with self._call() as rest:
            ask(lambda: delegations.renew(rest, self._proxy_pem, delegation))

    def undelegate(self, delegation: str) -> None:
        """Remove a delegation. CERefused while the CE still has jobs that use it."""
        with self._call() as rest:
            ask(lambda: delegations.undelegate(rest, delegation))

    def list_delegations(self) -> frozenset[str]:
        """All our delegations."""
        with self._call() as rest:
            return ask(lambda: delegations.delegations(rest))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _name(self, rest: ARCRest, job: str) -> str:
        """The job's name out of A-REX's own notes; "" if there is none yet."""
        answer = self._transport.request("GET", f"{_job_path(rest, job)}/diagnose/local")
        if answer.status != 200:
            return ""
        lines = answer.body.decode(errors="replace").splitlines()
        return next((line.removeprefix("jobname=") for line in lines if line.startswith("jobname=")), "")


class ArcFactory:
    """`act.interfaces.CEFactory` for ARC."""

    def check(self, address: CEAddress) -> None:
        """The only option is the version of the interface."""
        for name, value in address.options.items():
            where = f"option {name} of the CE {address.url or f'behind {address.submit_point}'}"
            if name != "rest":
                raise ConfigError(f"{where} is unknown (known: rest)")
            if value not in VERSIONS:
                raise ConfigError(f"{where} is {value!r}; it may be {' or '.join(VERSIONS)}")

    def __call__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> ArcCE:
        """Bind a CE to a proxy."""
        return ArcCE(address, proxy, inputs)

    def describe(self, job: Submission) -> str:
        """The xRSL of the job, without its delegation."""
        return xrsl.render(job)

    def missing(self) -> str:
        """Nothing: what it needs is installed with the tower."""
        return ""

    def summary(self, spec: JobSpec) -> dict[str, Any]:
        """What that xRSL says, as plain values: see `xrsl.summary`."""
        return xrsl.summary(spec)


factory = ArcFactory()


def _description(job: Submission, delegation: str) -> str | BadJobSpec:
    try:
        text = xrsl.render(job, delegation)
    except BadJobSpec as e:
        return e
    if len(text.encode()) > _MAX_DESCRIPTION:
        return BadJobSpec(f"the description has more than {_MAX_DESCRIPTION} bytes")
    return text


def _listed(rest: ARCRest) -> frozenset[str]:
    """One list of jobs. A 500 without a text is how A-REX 7 may tell a user it does not know: CredentialError."""
    try:
        return frozenset(ask(rest.getJobsList))
    except ServerError as e:
        if e.answer.status == 500 and not e.answer.body:
            raise CredentialError(f"the CE gives us no list of jobs, so it does not know us: {e}") from e
        raise


def _created(result: Result) -> Created | JobError:
    return _job_error(result) if result.error else Created(result.value[0])


def _bulk(call: Callable[[list[str]], list[Result]], jobs: Sequence[str], at_most: int) -> dict[str, Result]:
    """A bulk call for any number of jobs, each asked for once: id -> result."""
    ids = list(dict.fromkeys(jobs))
    parts = [ids[i : i + at_most] for i in range(0, len(ids), at_most)]
    results: dict[str, Result] = {}
    for part in parts:
        answers = ask(lambda part=part: call(part))  # type: ignore[misc]
        if len(answers) != len(part):
            raise CEBroken(f"the CE was asked about {len(part)} jobs and answered about {len(answers)}")
        results.update(zip(part, answers, strict=True))
    return results


def _taken(results: dict[str, Result]) -> dict[str, JobError | None]:
    return {job: _job_error(result) if result.error else None for job, result in results.items()}


def _job_error(result: Result) -> JobError:
    error = result.value
    if not isinstance(error, ARCHTTPError):
        return CERefused(f"the CE says nothing of use: {error}")
    told = f"the CE says: {error.text} ({error.status})"
    return JobGone(told) if error.status == 404 else CERefused(told)


def _status(state: Result, detail: Result | None) -> CEStatus | JobError:
    if state.error:
        return _job_error(state)
    if detail is None:
        return ce_status(state.value, {})
    if detail.error:
        return _job_error(detail)
    return ce_status(rest_state(detail.value) or state.value, detail.value)


def _job_path(rest: ARCRest, ce_job_id: str) -> str:
    return f"{rest.apiPath}/jobs/{quote(ce_job_id, safe='')}"


def _is_file(mime: str | None, path: str) -> bool:
    """A-REX gives a file of the job as octet-stream; what else comes for such a path is the list of a directory."""
    return path.startswith("diagnose/") or mime == "application/octet-stream"


def _is_list(answer: Answer) -> bool:
    return answer.status == 200 and (answer.getheader("content-type") or "").startswith(_JSON)
