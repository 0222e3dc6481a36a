"""What things in the seeded tower are called, some of it by people who mean harm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

_SITES = ("oslo", "lund", "bern", "bonn", "cork", "gent", "graz", "kiel", "lyon", "pisa", "riga", "turku", "umea",
          "wien")  # fmt: skip
_KINDS = ("", "_MCORE", "_HIMEM")
CES, QUEUES = 20, 30

MARK = "window.injected = 1"  # what a script does that comes to run
HOSTILE = (
    f"<script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"' onmouseover='{MARK}' x='",
    f"</title></style></textarea></svg><svg onload={MARK}>",
    f"javascript:{MARK}",
    "{{ 7 * 7 }} {% raw %} ${7*7} %s %(x)s",
    "\u202emoc.elpmaxe\u202c \x07\x1b[31m end",
    "W" * 200,
)
SHORT_HOSTILE = f'<b onclick="{MARK}">&amp;<script>{MARK}</script>'

PEOPLE = (
    "Anna Berg",
    "Ben Carver",
    "Chiara Dori",
    "David Eklund",
    "Eva Frisch",
    "Filip Grand",
    "Greta Holm",
    "Ivo Kerr",
)

ERRORS = (
    "LRMS error: (271) job killed: vmem 4190208kb exceeded limit 4096000kb",
    "Failed in files upload: 1 file failed: davs://dav.example.org:443/atlas/rucio/mc23/ab/cd/EVNT.{n}._000001.pool.root.1"
    ": Connection timed out",
    "Job was killed by the batch system: walltime 86400 s exceeded by {n} s",
    "Data staging failed: Failed to find valid credential: proxy expired at 2026-11-20 04:{m:02d}:11",
    "Node failure on wn{n}: slurmstepd: error: *** JOB {n} ON wn{m} CANCELLED DUE TO NODE FAILURE ***",
    "The job exited with code 137 after {n} s",
)
CE_ERRORS = ("connect: [Errno 111] Connection refused", "no answer within 120 s (GET /rest/1.1/jobs)",
             "503 Service Unavailable", "TLS: certificate has expired")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A CE queue, by numbers of the database."""

    id: int
    ce_id: int
    flavour: str
    url: str
    queue: str


def places(hostile: bool) -> list[Place]:
    """Those of all CEs: the last three are HTCondor-CEs; two queues at every third of the others."""
    found: list[Place] = []
    for n, site in enumerate(islice(cycle(_SITES), CES), start=1):
        number = 1 + (n > len(_SITES))
        if n > CES - 3:
            flavour, url, queues = "condor", f"ce{number}.{site}.example.org:9619", [""]
        else:
            flavour, url = "arc", f"https://arc{number}.{site}.example.org:443/arex"
            queues = ["grid", "long"] if n % 3 == 0 else ["grid"]
        if hostile and n == 1:
            url, queues = f"{url}/{SHORT_HOSTILE}", [SHORT_HOSTILE]
        found += [Place(len(found) + 1 + i, n, flavour, url, q) for i, q in enumerate(queues)]
    return found


def queues(hostile: bool) -> list[str]:
    """Names of PanDA queues."""
    pairs = [f"{site.upper()}{kind}" for kind in _KINDS for site in _SITES][:QUEUES]
    return [*pairs[:-1], f"Q{SHORT_HOSTILE}"] if hostile else pairs


def served(queue_number: int, all_places: list[Place]) -> list[Place]:
    """The CE queues that a PanDA queue sends its jobs to: one to three, all of one flavour."""
    flavour = "condor" if queue_number % 10 == 9 else "arc"
    these = [p for p in all_places if p.flavour == flavour]
    first = queue_number * 2 % len(these)
    return [these[(first + i) % len(these)] for i in range(1 + queue_number % 3)]


def subject(person: int, hostile: bool) -> str:
    """Of a user's certificate."""
    if hostile and person == 0:
        return f"/DC=org/DC=example/CN={SHORT_HOSTILE}"
    return f"/DC=org/DC=example/O=People/CN={PEOPLE[person]}"
