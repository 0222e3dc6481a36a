"""The way in to the pages of a tower whose configuration says who its operators are."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from flask import Request
from werkzeug.test import EnvironBuilder

from act.client.identity import Caller, Gate, Unauthorised
from act.config import CoreConfig, load_core
from act.config.web import Operator, Web
from act.db import logins, migrate
from act.db.engine import Database
from act.db.logins import Login
from act.web.access import Access

SECRET = "state/web.key"
FILE = f"""<config><database><url>sqlite:///act.db</url></database>
<paths><state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir></paths>
<web><pages>login</pages><secret_file>{SECRET}</secret_file></web></config>"""
CA, IAM = "/O=Grid/CN=CA", "https://iam.example.org/"
ANN = "/O=Grid/CN=ann"
FOREVER = 9e9


def ready(file: Path) -> Path:
    """Configuration and database of a tower, in the directory of this file."""
    file.write_text(FILE)
    (file.parent / "aCTConfigATLAS.xml").write_text("<config/>")
    database = db_of(file)
    migrate.upgrade(database)
    database.close()
    return file


def db_of(file: Path) -> Database:
    return Database(load_core(file).database.connect_url())


def link(file: Path, *, operator: bool = True, for_s: float = 60.0) -> str:
    return db_of(file).run("t", lambda c: logins.make(c, "ann", operator=operator, for_s=for_s))


def session(file: Path, issuer: str | None) -> str:
    """The code of a session of Ann's, an operator when it began."""
    login = Login(ANN, operator=True, issuer=issuer)
    return db_of(file).run("t", lambda c: logins.begin(c, login, for_s=60.0))


def ended(file: Path) -> str:
    """The code of a session that somebody has ended."""
    code = session(file, None)
    db_of(file).run("t", lambda c: logins.end_all(c, None, who="operator-bob"))
    return code


class Doorkeeper:
    """Lets one caller in, and knows no tokens but "good"."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def caller(self, authorization: str | None) -> Caller:
        if authorization != "Bearer good":
            raise Unauthorised("Invalid token")
        return self._caller


def access(file: Path, issuer: str, operators: tuple[Operator, ...], expires: float = FOREVER) -> Access:
    """The door to the pages of a tower with these operators; who comes with a token is Ann."""
    config: CoreConfig = load_core(file).model_copy(update={"web": Web(operator=operators)})
    caller = Caller(1, issuer, ANN, frozenset(["people"]), None, expires, "")
    return Access(config, db_of(file), cast(Gate, Doorkeeper(caller)))


def sent_with(code: str) -> Request:
    """A request of a browser with a session."""
    return Request(EnvironBuilder(headers={"Cookie": f"act={code}"}).get_environ())
