"""A web server's world for tests: a tower that people may use, the app over it, and people with their sessions."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from act import keys, x509
from act.client.tables import clientjobs
from act.config import CoreConfig, load_core
from act.db import results
from act.db.engine import Database
from act.db.results import ResultFile
from act.db.schema import metadata
from act.simulation import TestCA
from act.storage import Store, result_name
from act.web.app import create_app
from tests.kit import Rows

PEOPLE = ("alice", "bob", "carol", "dora")
SUBJECT = "/O=act/CN={name}"
V1 = "/api/v1"
CONFIG = """<config>
  <database><url>{url}</url></database>
  <paths><state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir><work_dir>{work_dir}</work_dir></paths>
  <proxies><key_file>proxy.key</key_file></proxies>
  <ca_dir>{ca_dir}</ca_dir>
  <users>
    {places}
    <group name="people">{people}
      <quota><max_jobs>5000</max_jobs><max_files>20000</max_files><max_mb>50</max_mb></quota></group>
    <max_file_mb>{max_file_mb}</max_file_mb><max_description_kb>100</max_description_kb>
  </users>
  <web><secret_file>web.key</secret_file>{web}</web>
  {extra}
</config>
"""
PLACE = '<ce name="{name}" url="{url}" queue="{queue}" flavour="{flavour}"/>'
JOB = '&(executable="run.sh")(inputfiles=("run.sh" ""))(jobname="{name}")(outputfiles=("out.txt" ""))'
REMOTE = '&(executable="/bin/true")(jobname="{name}")'
SCRIPT = b"#!/bin/sh\necho hello\n"
PLACES = (("ce1", "https://ce1.example.org:443/arex", "grid"), ("ce2", "https://ce2.example.org/arex", "q"))


@dataclass(frozen=True)
class Person:
    """Somebody with a session. proxy: in PEM, with its key."""

    name: str
    proxy: bytes
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Scene:
    """A configured tower in a directory, and its app.

    places: (name, url, queue) of the CEs that people may use, all of one flavour; ca_dir, subject: of people who are
    not of the ``ca``; work_dir: what submit points see too.
    """

    def __init__(
        self, directory: Path, template: Path, ca: TestCA, *, web: str = "", extra: str = "",
        places: Sequence[tuple[str, str, str]] = PLACES, ca_dir: Path | None = None, subject: str = SUBJECT,
        flavour: str = "arc", work_dir: Path | None = None, max_file_mb: int = 2,
    ) -> None:  # fmt: skip
        self.directory, self.ca = directory, ca
        shutil.copy(template, directory / "act.db")
        self.file = directory / "aCTConfigARC.xml"
        text = CONFIG.format(
            url=f"sqlite:///{directory}/act.db", ca_dir=ca_dir or ca.ca_dir, web=web, extra=extra,
            work_dir=work_dir or "work", max_file_mb=max_file_mb,
            places="".join(PLACE.format(name=n, url=u, queue=q, flavour=flavour) for n, u, q in places),
            people="".join(f"<subject>{subject.format(name=name)}</subject>" for name in PEOPLE),
        )  # fmt: skip
        self.file.write_text(text)
        self.config: CoreConfig = load_core(self.file)
        keys.make_key(self.config.proxies.key_file)
        keys.make_secret(self.config.web.secret_file)
        self.db = Database(self.config.database.connect_url())
        self.store = Store(self.config.paths.store_dir)
        self.app: Flask = create_app(self.config, self.db, self.store)
        self.app.testing = False
        self.app.config["PROPAGATE_EXCEPTIONS"] = False

    def close(self) -> None:
        self.db.close()

    # --- people ----------------------------------------------------------------------------------------------------

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def proxy_of(self, name: str, lifetime_s: float = 40000) -> bytes:
        """A new proxy of a person, with its key."""
        cert, key = self.ca.user(name)
        return x509.make_proxy(cert.read_bytes(), key.read_bytes(), lifetime_s)

    def offer(self, proxy: bytes) -> dict[str, Any]:
        """The first half of a hand-over: token and request."""
        answer = self.client().post(f"{V1}/proxies", json={"chain": chain_of(proxy)})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json
        return found

    def person(self, name: str) -> Person:
        """Somebody who has handed a proxy over."""
        proxy = self.proxy_of(name)
        offer = self.offer(proxy)
        signed = x509.sign_request(offer["request"].encode(), proxy, 40000).decode()
        headers = {"Authorization": f"Bearer {offer['token']}"}
        answer = self.client().put(f"{V1}/proxies", json={"chain": signed}, headers=headers)
        assert answer.status_code == 200, answer.text
        return Person(name, proxy, answer.json["token"])

    def expired(self, token: str) -> str:
        """The token of a session as if that had ended an hour ago."""
        claims = jwt.decode(token, options={"verify_signature": False})
        past = {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}
        header = jwt.get_unverified_header(token)
        return jwt.encode(claims | past, keys.load_secret(self.config.web.secret_file), header["alg"], header)

    # --- jobs ------------------------------------------------------------------------------------------------------

    def call(self, person: Person, method: str, path: str, **more: Any) -> TestResponse:
        """One request to /api/v1."""
        headers = person.headers | more.pop("headers", {})
        return self.client().open(f"{V1}{path}", method=method, headers=headers, **more)

    def submit(
        self, person: Person, names: Sequence[str], *, files: bool = True, key: str = ""
    ) -> list[dict[str, Any]]:
        """Jobs with one small input each, by multipart."""
        jobs = [{"description": JOB.format(name=n), "language": "xrsl", "inputs": ["run.sh"]} for n in names]
        parts: dict[str, Any] = {"request": json.dumps({"key": key, "jobs": jobs})}
        if files:
            parts["*"] = (io.BytesIO(SCRIPT), "run.sh")
        answer = self.call(person, "POST", "/jobs", data=parts, content_type="multipart/form-data")
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json["jobs"]
        return found

    def begin(self, person: Person, name: str = "slow") -> int:
        """A job that waits for its file."""
        job = {"description": JOB.format(name=name), "language": "xrsl", "inputs": ["run.sh"]}
        answer = self.call(person, "POST", "/jobs", json={"jobs": [job]})
        assert answer.status_code == 200, answer.text
        assert answer.json["jobs"][0]["state"] == "begun", answer.text
        found: int = answer.json["jobs"][0]["id"]
        return found

    def end(self, job_id: int, files: Mapping[str, bytes], shown: str = "done") -> None:
        """As if an attempt of a confirmed job had ended, with these files."""
        rows = Rows(self.db)
        proxy = self.db.read("test", lambda c: c.execute(select(clientjobs.c.proxy_id)).scalars().first())
        assert proxy is not None
        (attempt,) = rows.attempts(1, [rows.place(flavour="arc")], proxy, app="client", flavour="arc")
        rows.put([attempt], "done" if shown == "done" else "donefailed", appjob_id=job_id, ce_job_id=f"ce-{job_id}")
        brought = []
        for name, content in files.items():
            with self.store.write(result_name(attempt, name)) as out:
                out.write(content)
            brought.append(ResultFile(name, len(content), hashlib.sha256(content).hexdigest()))
        state = "finished" if shown == "done" else "failed"

        def write(c: Any) -> None:
            results.note(c, attempt, brought)
            values = {"cejob_id": attempt, "state": state, "shown": shown, "attempts": 1}
            c.execute(update(clientjobs).where(clientjobs.c.id == job_id).values(**values))

        self.db.run("test", write)

    def rows(self, *tables: str) -> Mapping[str, list[tuple[Any, ...]]]:
        """All rows of these tables, of all if none is named, to be compared."""

        def read(c: Any) -> Mapping[str, list[tuple[Any, ...]]]:
            wanted = [t for t in metadata.sorted_tables if not tables or t.name in tables]
            return {t.name: sorted((tuple(row) for row in c.execute(select(t))), key=repr) for t in wanted}

        return self.db.read("test", read)


def chain_of(proxy: bytes) -> str:
    """The certificates of a proxy file, without its key."""
    blocks = proxy.decode().split("-----END ")
    text, keep = "", []
    for block in blocks[:-1]:
        text = block[block.index("-----BEGIN ") :]
        kind = text[len("-----BEGIN ") : text.index("-----", 11)]
        if kind == "CERTIFICATE":
            keep.append(f"{text}-----END {kind}-----\n")
    return "".join(keep)


@contextmanager
def scene_in(directory: Path, template: Path, ca: TestCA, **more: Any) -> Iterator[Scene]:
    """A scene that is closed in the end."""
    scene = Scene(directory, template, ca, **more)
    try:
        yield scene
    finally:
        scene.close()
