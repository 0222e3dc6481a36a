"""The texts of a trial's configuration: both XML files, and the queues as CRIC tells them."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

CORE = """<?xml version="1.0"?>
<config>
  <database><url>{database}</url></database>
  <paths>
    <state_dir>{base}/state</state_dir><store_dir>{base}/store</store_dir>
    <run_dir>{base}/run</run_dir><work_dir>{work_dir}</work_dir>
  </paths>
  <ca_dir>{ca_dir}</ca_dir>
  <proxies>
    <key_file>{base}/state/proxy.key</key_file>
    <proxy><role>production</role><source_cert>{cert}</source_cert><source_key>{key}</source_key></proxy>
  </proxies>
  {extra}
</config>
"""

ATLAS = """<?xml version="1.0"?>
<config>
  <panda><server>{server}</server><cache>{cache}</cache><protocol>{protocol}</protocol>{extra}</panda>
  <cric><url>{cric}</url></cric>
  <queues>{queues}</queues>
  <executable>
    <wrapperurl>{wrapper}</wrapperurl><wrapperurlrc>{wrapper}</wrapperurlrc>
    <ptarurl>{cache}/cache/pilot3.tar.gz</ptarurl>
  </executable>
  <joblog><dir>{base}/joblog</dir><urlprefix>file://{base}/joblog</urlprefix></joblog>
  {more}
</config>
"""

SCOPE = "mc23_13p6TeV"  # of inputs
RAW = frozenset({"extra", "queues", "more"})  # XML elements, not text


def fill(template: str, **values: object) -> str:
    """A template with its values, escaped where they are text; ``more``, further elements, may be left out."""
    return template.format(**{"more": ""} | {k: v if k in RAW else escape(str(v)) for k, v in values.items()})


def nordugrid_rules(storage: str) -> str:
    """The rules of a queue in NorduGrid mode whose CEs have no runtime environments and fetch inputs from a storage."""
    own = "<no_runtime_environments>true</no_runtime_environments>"
    return f"<rules>{own}<input_url>{escape(storage.rstrip('/'))}/{{scope}}/{{name}}</input_url></rules>"


def input_fields(inputs: Mapping[str, bytes]) -> dict[str, str]:
    """The fields of a job that say what it reads. inputs: name -> content."""
    facts = [(str(uuid.uuid5(uuid.NAMESPACE_URL, n)), len(c), f"ad:{zlib.adler32(c):08x}") for n, c in inputs.items()]
    guids, sizes, checksums = (",".join(str(fact[i]) for fact in facts) for i in range(3))
    scopes, places = ",".join(SCOPE for _ in facts), ",".join("TEST_DATADISK" for _ in facts)
    return {"inFiles": ",".join(inputs), "scopeIn": scopes, "GUID": guids, "fsize": sizes, "checksum": checksums,
            "ddmEndPointIn": places}  # fmt: skip


def cric_entry(name: str, places: Iterable[tuple[str, str, str]], *, storage: str = "") -> dict[str, Any]:
    """A queue as CRIC tells it. places: (flavour, URL, CE queue) of its CEs.

    storage: base URL of the storage that its CEs write to, which makes it a queue in NorduGrid mode.
    """
    copytool = "mv" if storage else "rucio"
    url = urlsplit(storage.rstrip("/"))
    return {
        "name": name,
        "nickname": name,
        "panda_resource": name,
        "state": "ACTIVE",
        "status": "online",
        "type": "unified",
        "workflow": "push",
        "pilot_manager": "aCT",
        "pilot_version": "3",
        "is_virtual": False,
        "corecount": 1,
        "maxtime": 86400,
        "copytools": {copytool: {}},
        "acopytools": {"pr": [copytool], "pw": [copytool]},
        "aprotocols": {"pw": [[f"{url.scheme}://{url.netloc}", url.path, "1"]]} if storage else {},
        "queues": [
            {
                "ce_endpoint": url.removeprefix("https://"),
                "ce_flavour": flavour,
                "ce_queue_name": queue,
                "ce_state": "ACTIVE",
                "ce_jobmanager": "fork",
            }
            for flavour, url, queue in places
        ],
    }
