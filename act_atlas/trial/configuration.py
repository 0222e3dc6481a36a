"""The texts of a trial's configuration: both XML files, and the queues as CRIC tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

CORE = """<?xml version="1.0"?>
<config>
  <database><url>{database}</url></database>
  <paths>
    <state_dir>{base}/state</state_dir><store_dir>{base}/store</store_dir>
    <run_dir>{base}/run</run_dir>
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
  </executable>
  <joblog><dir>{base}/joblog</dir><urlprefix>file://{base}/joblog</urlprefix></joblog>
</config>
"""

RAW = frozenset({"extra", "queues"})  # XML elements, not text


def fill(template: str, **values: object) -> str:
    """A template with its values, escaped where they are text."""
    return template.format(**{k: v if k in RAW else escape(str(v)) for k, v in values.items()})


def cric_entry(name: str, places: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """A queue as CRIC tells it. places: (flavour, URL, CE queue) of its CEs."""
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
        "copytools": {"rucio": {}},
        "acopytools": {"pr": ["rucio"]},
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
