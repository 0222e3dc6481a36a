"""A CE that is reached through HTCondor, seen with one credential.

Inert creation: a job is submitted on hold, and arming releases it; a job that is spooled to the CE's own schedd is held
there until its files come, and arming sends them.
"""

from __future__ import annotations

import importlib.util
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from act.errors import (
    BadJobSpec,
    CEBroken,
    CEFull,
    CERefused,
    CEUnreachable,
    ConfigError,
    CredentialError,
    JobError,
    JobGone,
    OutputMissing,
    StorageUnavailable,
)
from act.interfaces import Inputs
from act.model import CEAddress, CEStatus, Created, JobSpec, Proxy, Submission
from act.x509 import read_proxy
from act_condor import classad, holds, options
from act_condor.files import Directories, Proxies
from act_condor.ids import gone, id_of, is_id, quoted
from act_condor.launcher import LAUNCHER, arriving
from act_condor.schedd import Schedd
from act_condor.states import ATTRIBUTES, Ad, ce_status, has_ended, waits_to_be_armed

BATCH = 500
POLLED = 20_000  # one query, however many it asks about; what is not worth the memory goes in another
SPOOLED_BATCH, SPOOLED_AT_ONCE = 50, 10  # each job that is spooled takes some turns of the network
_HISTORY_AT_MOST = 100  # jobs in one question
_REMEMBERED = 10_000
_CONFIRM_S = 5.0
_NEVER = "its inputs can be sent by the process only that submitted it: it is removed, to be submitted anew"
# Copies of our jobs have all their attributes: those at the other end of grid jobs, and those of a router of jobs.
_NOT_A_COPY = "SubmitterGlobalJobId =?= undefined && RoutedFromJobId =?= undefined"
_LOG, _DIAGNOSE = "log", "diagnose="


class CondorCE:
    """`act.interfaces.ComputeElement` for HTCondor. Options of the address: see `act_condor.options`."""

    def __init__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> None:
        if 0 < proxy.expires <= time.time():
            raise CredentialError(f"the proxy of {proxy.identity} has run out")
        read_proxy(proxy.pem)
        try:
            self._options = options.read(address)
        except ConfigError as e:
            raise CredentialError(str(e)) from e
        self._spooled = self._options.route == "direct"
        self.batch = SPOOLED_BATCH if self._spooled else BATCH
        self.arm_batch = SPOOLED_AT_ONCE if self._spooled else BATCH
        self.status_batch = POLLED
        self._url, self._pem, self._inputs = address.url, proxy.pem, inputs
        self._transfer_s = address.transfer_s
        self._directories = Directories(address.work_dir, address.ce_id, self._options.owner)
        self._proxies = Proxies(address.work_dir, f"{address.ce_id}-{proxy.proxy_id}", self._options.owner)
        self._schedd = Schedd(address, self._options, proxy)
        self._missing: dict[str, None] = {}  # jobs that the last answer did not have
        self._sent: dict[str, None] = {}  # jobs whose files were sent; the schedd releases them a bit later
        self._ended: dict[str, Ad] = {}  # the job whose files were asked for last

    def probe(self) -> None:
        """Ask whether we may submit there."""
        self._schedd.probe()

    def list_ids(self) -> frozenset[str]:
        """Whoever may read sees all jobs: so ask first whether they are ours to touch."""
        self._schedd.probe()
        ads = self._ads(None, ["ClusterId", "ProcId", "QDate", "ActToken"])
        self._directories.sweep({str(ad["ActToken"]) for ad in ads.values()})
        return frozenset(ads)

    def create(self, jobs: Sequence[Submission], delegation: str) -> list[Created | JobError]:
        """One transaction for all that have the same shape, which all but a few have."""
        if not jobs:
            return []
        place, end = self._place(delegation), time.monotonic() + self._transfer_s
        answers: dict[int, Created | JobError] = {}
        groups: defaultdict[classad.Shape, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        for n, job in enumerate(jobs):
            try:
                item = classad.item(job, place, self._directories.of(job.token))
                self._make_directory(job, place, end)
            except (BadJobSpec, OutputMissing) as e:
                self._directories.remove(job.token)
                answers[n] = e
                continue
            except StorageUnavailable:
                for made in jobs[: n + 1]:
                    self._directories.remove(made.token)
                raise
            groups[classad.shape(job)].append((n, item))
        for shape, group in groups.items():
            some = any(isinstance(answer, Created) for answer in answers.values())
            ids = self._submit(classad.commands(place, shape), [item for _, item in group], first=not some)
            answers |= {n: Created(job) for (n, _), job in zip(group, ids, strict=True)}
        return [answers[n] for n in range(len(jobs))]

    def _make_directory(self, job: Submission, place: classad.Place, end: float) -> None:
        """All copies of a bulk are made before ``end``, and before anything is submitted."""
        self._directories.make(job.token, classad.sandbox(job.spec, place))
        for file in job.spec.inputs:
            if file.stored:
                with self._inputs.open(file.stored) as source:
                    self._directories.bring(job.token, arriving(file), source, file.size, end)

    def _submit(self, commands: Mapping[str, str], items: Sequence[Mapping[str, str]], *, first: bool) -> list[str]:
        try:
            ids = self._schedd.submit(commands, items, spool=self._spooled)
        except (CEUnreachable, CEFull, CredentialError) as e:
            if not (isinstance(e, CEUnreachable) and e.sent):
                for item in items:
                    self._directories.remove(item["act_token"])
            if first:
                raise
            raise CEUnreachable(f"some jobs of the bulk were made, the others not: {e}") from e
        if len(ids) != len(items):
            raise CEBroken(f"the schedd was asked for {len(items)} jobs and made {len(ids)}")
        return ids

    def _place(self, delegation: str) -> classad.Place:
        chosen = self._options
        return classad.Place(
            ce_url=self._url,
            route=chosen.route,
            grid_resource=chosen.grid_resource if chosen.route == "grid" else "",
            proxy_file=str(self._proxies.ensure(delegation, self._pem)),
            delegation=delegation,
            policy=holds.commands(chosen.policies, chosen.route, chosen.release_after_s),
        )

    def arm(self, jobs: Mapping[str, JobSpec]) -> dict[str, JobError | None]:
        """Release, or send the files. Jobs that do not wait for it are armed already, or have ended."""
        ads = self._ads(jobs)
        answers: dict[str, JobError | None] = {job: None if job in ads else gone(job) for job in jobs}
        waiting = [job for job, ad in ads.items() if waits_to_be_armed(ad)]
        if waiting and not self._spooled:
            self._schedd.release(waiting)
        elif waiting:
            answers |= self._send(waiting)
        return answers

    def _send(self, jobs: Sequence[str]) -> dict[str, JobError | None]:
        """A job whose files cannot be sent is removed: then it is certain that it never runs."""
        sent = self._schedd.spool([job for job in jobs if job not in self._sent])
        self._sent |= dict.fromkeys(job for job, why in sent.items() if why is None)
        lost = [job for job in jobs if job not in self._sent]
        unconfirmed = self._confirm([job for job in jobs if job in self._sent])
        self._sent = dict.fromkeys([*self._sent][-_REMEMBERED:])
        if lost:
            self._schedd.remove(lost, "aCT: its inputs cannot be sent any more")
        why = {job: f"its inputs are not taken: {sent[job]}" if job in sent else _NEVER for job in lost}
        return {job: CERefused(text) for job, text in (why | unconfirmed).items()}

    def _confirm(self, jobs: Sequence[str]) -> dict[str, str]:
        """Wait until the schedd says that it has their files: what it has taken is lost if it ends before. Those of
        which it does not say so, and that."""
        end = time.monotonic() + _CONFIRM_S
        while waiting := [job for job, ad in self._ads(jobs).items() if waits_to_be_armed(ad)]:
            if time.monotonic() > end:
                return dict.fromkeys(waiting, "the schedd has taken its inputs, and does not say that it has them")
            time.sleep(_CONFIRM_S / 50)
        return {}

    def inspect(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """All that a poll tells."""
        return self._told(ce_job_ids, self._ads(ce_job_ids))

    def status(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """One query; one more of the history for jobs that are missing for the second time. Jobs that the CE holds are
        released from time to time, to see whether it still does."""
        ads = self._ads(ce_job_ids)
        policies, after_s = self._options.policies, self._options.release_after_s
        if held := [job for job, ad in ads.items() if holds.is_to_look_again(ad, policies, after_s)]:
            self._schedd.release(held)
        answers = self._told(ce_job_ids, ads)
        missing = {job for job, answer in answers.items() if isinstance(answer, JobGone)}
        if again := [job for job in missing if job in self._missing]:
            answers |= {job: self._status(ad) for job, ad in self._history(again[:_HISTORY_AT_MOST]).items()}
        self._missing = dict.fromkeys([*missing, *(j for j in self._missing if j not in answers)][:_REMEMBERED])
        return answers

    def _told(self, ce_job_ids: Sequence[str], ads: Mapping[str, Ad]) -> dict[str, CEStatus | JobError]:
        return {job: self._status(ads[job]) if job in ads else gone(job) for job in ce_job_ids}

    def _status(self, ad: Ad) -> CEStatus:
        return ce_status(ad, self._options.policies)

    def kill(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """A job that has ended stays as it ended."""
        ads = self._ads(ce_job_ids)
        if alive := [job for job, ad in ads.items() if ad.get("JobStatus") not in (3, 4)]:
            self._schedd.remove(alive, "aCT: killed")
        return {job: None if job in ads else gone(job) for job in ce_job_ids}

    def clean(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """Let ended jobs leave the queue, and remove their files. Those that were removed leave it a bit later."""
        ads = self._ads(ce_job_ids)
        ended = {job: ad for job, ad in ads.items() if has_ended(ad)}
        if ended:
            self._schedd.edit(list(ended), "ActClean", "true")
            self._schedd.remove(list(ended), "aCT: cleaned")
            for ad in ended.values():
                self._directories.remove(str(ad["ActToken"]))
        answers: dict[str, JobError | None] = {job: None if job in ads else gone(job) for job in ce_job_ids}
        return answers | {job: CERefused("it has not ended yet") for job in ads if job not in ended}

    def restart(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """HTCondor has no staging phase that could be repeated: there is nothing to do for any job it has."""
        ads = self._ads(ce_job_ids)
        return {job: None if job in ads else gone(job) for job in ce_job_ids}

    def fetch(self, ce_job_id: str, name: str, out: BinaryIO) -> int:
        """A file in the submission's directory; ``diagnose=log`` is HTCondor's log of the job."""
        ad = self._brought(ce_job_id)
        if name.startswith(_DIAGNOSE):
            asked = name.rpartition("/")[2].removeprefix(_DIAGNOSE)
            if asked != _LOG:
                raise OutputMissing(f"no file {name}: HTCondor keeps only a log of the job, diagnose={_LOG}")
            name = Path(str(ad.get("UserLog", ""))).name
        return self._directories.fetch(str(ad["ActToken"]), name, out)

    def files(self, ce_job_id: str, folder: str) -> list[str]:
        """What is in the submission's directory, without what was put there to make the job."""
        ad = self._brought(ce_job_id)
        ours = {LAUNCHER, Path(str(ad.get("UserLog", ""))).name, *str(ad.get("TransferInput", "")).split(",")}
        return self._directories.files(str(ad["ActToken"]), folder, ours)

    def _brought(self, job: str) -> Ad:
        """The job's ad, with its files here. Asked for once, as the files of an ended job do not change."""
        if job in self._ended:
            return self._ended[job]
        ads = self._ads([job], [*ATTRIBUTES, "UserLog", "TransferInput"])
        if job not in ads:
            raise gone(job)
        if self._spooled and not has_ended(ads[job]):
            raise OutputMissing("the schedd gives no files of a job that has not ended")
        if self._spooled:
            self._directories.ensure(str(ads[job]["ActToken"]))
            try:
                self._schedd.retrieve([job])
            except CEBroken as e:
                raise OutputMissing(f"the schedd gives no files of the job: {e}") from e
        self._ended = {job: ads[job]} if has_ended(ads[job]) else {}
        return ads[job]

    def delegate(self) -> str:
        """A proxy file that jobs refer to."""
        return self._proxies.make(self._pem)

    def renew(self, delegation: str) -> None:
        """Submit points read the file again by themselves; a CE's own schedd has copies of its own."""
        path = self._proxies.replace(delegation, self._pem)
        if self._spooled:
            using = f"ActDelegation == {quoted(delegation)} && JobStatus != 3 && JobStatus != 4"
            ads = self._ads(None, ATTRIBUTES, using)
            if jobs := [job for job, ad in ads.items() if not waits_to_be_armed(ad)]:
                self._schedd.refresh_proxy(jobs, str(path))

    def undelegate(self, delegation: str) -> None:
        """Remove the file. CERefused while a job in the queue here refers to it, also one that was cleaned."""
        if not self._spooled and delegation in self._proxies.all():
            using = f"ActCE == {quoted(self._url)} && ActDelegation == {quoted(delegation)} && {_NOT_A_COPY}"
            if jobs := self._schedd.query(using, ["ClusterId"]):
                raise CERefused(f"{len(jobs)} jobs in the queue still use delegation {delegation}")
        self._proxies.remove(delegation)

    def list_delegations(self) -> frozenset[str]:
        """The files of this lane."""
        return self._proxies.all()

    def close(self) -> None:
        """End the process that speaks HTCondor."""
        self._schedd.close()

    def _ads(
        self, jobs: Iterable[str] | None, projection: Sequence[str] = ATTRIBUTES, also: str = "true"
    ) -> dict[str, Ad]:
        """Our jobs that were not cleaned, those asked for or all, in one query."""
        numbers = [int(job.partition(".")[0]) for job in jobs if is_id(job)] if jobs is not None else []
        if jobs is not None and not numbers:
            return {}
        among = f"ClusterId >= {min(numbers)} && ClusterId <= {max(numbers)}" if numbers else "true"
        found = self._schedd.query(f"{self._ours()} && {among} && {also}", projection)
        ads = {id_of(ad): ad for ad in found}
        return ads if jobs is None else {job: ads[job] for job in jobs if job in ads}

    def _history(self, jobs: Sequence[str]) -> dict[str, Ad]:
        """Those of the jobs that it tells of; a history that does not answer tells of none."""
        pairs = (job.partition("#")[0].partition(".") for job in jobs if is_id(job))
        among = " || ".join(f"ClusterId == {cluster} && ProcId == {process}" for cluster, _, process in pairs)
        if not among:
            return {}
        try:
            found = self._schedd.history(f"{self._ours()} && ({among})", ATTRIBUTES, len(jobs))
        except CEUnreachable:
            return {}
        ads = {id_of(ad): ad for ad in found}
        return {job: ads[job] for job in jobs if job in ads}

    def _ours(self) -> str:
        return f"ActCE == {quoted(self._url)} && ActToken =!= undefined && ActClean =!= true && {_NOT_A_COPY}"


class CondorFactory:
    """`act.interfaces.CEFactory` for HTCondor."""

    def missing(self) -> str:
        """HTCondor's bindings are an extra."""
        if importlib.util.find_spec("htcondor2") is None:
            return "the HTCondor bindings are not installed: pip install 'act[condor]'"
        return ""

    def check(self, address: CEAddress) -> None:
        """See `act_condor.options`."""
        options.read(address)

    def __call__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> CondorCE:
        """Bind a CE to a credential."""
        return CondorCE(address, proxy, inputs)

    def describe(self, job: Submission) -> str:
        """A submit description, without the places that are chosen with the CE."""
        return classad.describe(job)

    def summary(self, spec: JobSpec) -> dict[str, Any]:
        """What it says, under the names of job ads: see `classad.summary`."""
        return dict(classad.summary(spec))


factory = CondorFactory()
