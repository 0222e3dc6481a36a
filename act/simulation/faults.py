"""Faults a simulator can be told to show: rules that are matched against requests and used up."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIONS = {
    "delay": "act at once, answer after `seconds`",
    "late": "hold the request for `seconds`, then act and answer: what a client that gave up does not see",
    "hang": "never act, never answer; give up the connection after `seconds` (0: when the server stops)",
    "refuse": "do not act, reset the connection",
    "error-before": "do not act, answer `status` with an empty body",
    "error-after": "act, answer `status` with an empty body",
    "cut-after": "act, reset the connection instead of answering",
    "truncate": "act, send half of the answer's body and close",
    "garbage": "act, answer with the right status and bytes that are no protocol",
    "empty": "act, answer with the right status and no body",
}
_DEFAULTS: dict[str, Any] = {
    "method": None, "path": "", "action": "", "status": 500, "seconds": 0.0, "times": None, "skip": 0
}  # fmt: skip


@dataclass
class Rule:
    """One fault. ``path`` is searched in path and query; ``skip`` matches pass first, then ``times`` (None: all)."""

    id: int
    method: str | None
    path: str
    action: str
    status: int
    seconds: float
    times: int | None
    skip: int
    hits: int = 0


class Faults:
    """Thread-safe list of rules; the first one that matches a request strikes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last = 0

    def add(self, rule: Mapping[str, Any]) -> int:
        """Add a rule (keys of `Rule` but id and hits) and return its id. Raises ValueError for a bad one."""
        unknown = set(rule) - set(_DEFAULTS)
        if unknown:
            raise ValueError(f"unknown key in fault rule: {', '.join(sorted(unknown))}")
        values = {**_DEFAULTS, **rule}
        if values["action"] not in ACTIONS:
            raise ValueError(f"unknown fault '{values['action']}' (known: {', '.join(ACTIONS)})")
        try:
            re.compile(values["path"])
        except re.error as e:
            raise ValueError(f"bad path expression '{values['path']}': {e}") from e
        with self._lock:
            self._last += 1
            self._rules.append(Rule(id=self._last, **values))
            return self._last

    def remove(self, rule_id: int) -> None:
        """Forget one rule."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.id != rule_id]

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def strike(self, method: str, target: str) -> Rule | None:
        """The rule that hits this request, if any; counts it."""
        with self._lock:
            for rule in self._rules:
                if rule.times == 0 or (rule.method and rule.method != method) or not re.search(rule.path, target):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.hits += 1
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def state(self) -> list[dict[str, Any]]:
        """The rules as they stand now."""
        with self._lock:
            return [dict(vars(rule)) for rule in self._rules]
