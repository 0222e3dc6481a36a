"""Errors of one cause count as one, whatever numbers and names they bring along; other causes stay other causes."""

from __future__ import annotations

import pytest

from act.likeness import LONGEST, likeness

SAME = {
    "jobs of a CE": (
        "https://ce1.example.org:443/arex/rest/1.1/jobs/4a5b0f0e9a1b: 500 Internal Server Error",
        "https://ce2.example.org:8443/arex/rest/1.1/jobs/77c1aa0b3f2e: 500 Internal Server Error",
    ),
    "ids that only machines read": (
        "Failed to submit: job.VfJKDmzvRC7nJq2NmqDNs02oABFKDmABFKDmvWlSDmABFKDmDNbWcm is broken",
        "Failed to submit: job.aaqKDmT8gF7nuSwN3pc9x1nmABFKDmABFKDmQw2KDmRGFKDm2Xb8pn is broken",
    ),
    "hexadecimal numbers": ("delegation 4fa0bc12ee is not known", "delegation 9e77ab4401 is not known"),
    "UUIDs": (
        "no file 123e4567-e89b-12d3-a456-426614174000 here",
        "no file 9b2e07c4-0a3d-4f11-b1f0-5c1d2e3f4a5b here",
    ),
    "times": (
        "the proxy ran out at 2026-11-22 10:00 UTC",
        "the proxy ran out at 2027-01-01 23:59 UTC",
    ),
    "times in words": (
        "node went away on Sun Nov 22 17:43:28 UTC 2026",
        "node went away on Mon Dec  7 01:02:03 UTC 2026",
    ),
    "times as in letters": (
        "last heard of at Mon, 23 Nov 2026 01:02:03 +0000",
        "last heard of at Tue, 1 Dec 2026 11:22:33 +0000",
    ),
    "worker nodes": (
        "Error from slot1_12@wn-042.example.org: memory usage exceeded: 2049 MB > 2000 MB",
        "Error from slot1_3@wn-7.example.org: memory usage exceeded: 16001.5 MB > 16000 MB",
    ),
    "paths": (
        "cannot open /var/spool/arc/session/abc/out.txt: No such file or directory",
        "cannot open /scratch/x: No such file or directory".replace("/scratch/x", "/scratch/job_12/log"),
    ),
    "lists": ("jobs 1, 2 and more are gone", "jobs 17, 18, 19 and more are gone"),
    "blanks and lines": ("the  CE said\nno", "the CE said no"),
    "addresses": ("10.0.0.1:2811 does not answer", "192.168.1.20:443 does not answer"),
}
DIFFERENT = {
    "exit codes": ("exited with code 137", "exited with code 1"),
    "exit codes of payloads": ("exitcode=65", "exitcode=1"),
    "errors of the system": ("[Errno 111] Connection refused", "[Errno 113] Connection refused"),
    "answers of servers": ("500 Internal Server Error", "503 Internal Server Error"),
    "hosts": ("https://ce.example.org/a: down", "https://ce.example.com/a: down"),
    "words": ("the job was killed: memory", "the job was killed: walltime"),
    "short words with digits": ("voms of role a1 is away", "voms of role b1 is away"),
}


@pytest.mark.parametrize("one", SAME)
def test_errors_of_one_cause_are_alike(one: str) -> None:
    first, second = SAME[one]
    assert first != second
    assert likeness(first) == likeness(second)


@pytest.mark.parametrize("one", DIFFERENT)
def test_errors_of_different_causes_are_not(one: str) -> None:
    first, second = DIFFERENT[one]
    assert likeness(first) != likeness(second)


@pytest.mark.parametrize("text", ["", " ", "no number here", "deadbeef cafe a decade", "50 % of it: 3.5 GB"])
def test_plain_words_stay(text: str) -> None:
    assert [w for w in likeness(text).split() if w.isalpha()] == [w for w in text.split() if w.isalpha()]


def test_what_is_alike_is_found_alike_again() -> None:
    texts = [t for pair in (*SAME.values(), *DIFFERENT.values()) for t in pair]
    assert [likeness(likeness(t)) for t in texts] == [likeness(t) for t in texts]


def test_a_text_without_end_counts_by_its_beginning() -> None:
    assert likeness("x" * 10 * LONGEST) == likeness("x" * LONGEST)
