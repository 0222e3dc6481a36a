"""What a CE behind HTCondor is shown: proxies, SciTokens or tokens of the pool; and which proxies its jobs have."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from ce_sites import Site, kinds
from pools import at_the_site

from act.errors import CredentialError, JobError
from act.interfaces import ComputeElement
from act.model import Created, JobSpec, OutputFile
from act.states import Event
from act.x509 import make_proxy, read_proxy
from tests.grid.control import Grid

pytestmark = pytest.mark.parametrize("site", kinds(route="direct"), indirect=True)

POOL = "condorB"
JOB = JobSpec(
    name="contract suite", executable="/bin/sh", arguments=("-c", "id -un > out.txt"), walltime_s=600,
    memory_mb_total=100, outputs=(OutputFile("out.txt"),),
)  # fmt: skip
SCITOKENS = {"SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS"}


def test_jobs_of_who_shows_a_scitoken_run_as_whom_the_token_stands_for(site: Site) -> None:
    robot = replace(site.user, token=Grid().token(POOL))
    with site.ce(robot, options={**site.address.options, **SCITOKENS}) as ce:
        delegation = ce.delegate()
        [made] = ce.create([site.submission(JOB)], delegation)
        assert isinstance(made, Created)
        site.arm(ce, {made.ce_job_id: JOB})
        assert site.wait(ce, [made.ce_job_id])[made.ce_job_id].event is Event.FINISHED
        out = io.BytesIO()
        ce.fetch(made.ce_job_id, "out.txt", out)
        assert out.getvalue() == b"gridprod\n"
        assert ce.clean([made.ce_job_id]) == {made.ce_job_id: None}
        ce.undelegate(delegation)


@pytest.mark.parametrize("claims", [{"scope": "openid"}, {"aud": "somebody-else"}, {"lifetime_s": -60}])
def test_a_scitoken_that_is_no_good_is_a_credential_error(site: Site, claims: dict[str, object]) -> None:
    robot = replace(site.user, token=Grid().token(POOL, **claims))  # type: ignore[arg-type]
    with site.ce(robot, options={**site.address.options, **SCITOKENS}) as ce, pytest.raises(CredentialError):
        ce.probe()


def test_tokens_of_the_pool_are_those_that_its_clients_are_configured_with(site: Site) -> None:
    def shown(user: str) -> dict[str, str]:
        return {**site.address.options, "condor_config": str(Grid().client_config(user))}

    with site.ce(options=shown("gridprod")) as ce:
        ce.probe()
    with site.ce(options=shown("stranger")) as ce, pytest.raises(CredentialError):
        ce.list_ids()


def test_a_renewed_proxy_reaches_jobs_that_wait_at_the_ce(site: Site, ce: ComputeElement) -> None:
    delegation = ce.delegate()
    waits = site.submission(replace(JOB, cores=1000))
    [made] = ce.create([waits], delegation)
    assert isinstance(made, Created)
    site.made.append(made.ce_job_id)
    site.arm(ce, {made.ce_job_id: waits.spec})

    certificate, key = (path.read_bytes() for path in Grid().user_cert("bob"))
    renewed = make_proxy(certificate, key, 90 * 3600)
    with site.ce(replace(site.user, pem=renewed)) as later:
        later.renew(delegation)
    [ad] = at_the_site(POOL, "query", constraint=f'ActToken == "{waits.token}"', projection=["x509UserProxyExpiration"])
    assert ad["x509UserProxyExpiration"] == pytest.approx(read_proxy(renewed).expires, abs=2)

    ce.kill([made.ce_job_id])
    site.wait(ce, [made.ce_job_id])
    assert not isinstance(ce.clean([made.ce_job_id])[made.ce_job_id], JobError)
