"""HTCondor's own reading of what it is asked for, written down a second time from its manual, for tests."""

from __future__ import annotations


def words(raw: str) -> list[str]:
    """Arguments, or settings of an environment, in the raw form of the new syntax: separated by blanks; between single
    quotes blanks are plain, and two single quotes are one."""
    found: list[str] = []
    word: str | None = None
    quoted = False
    signs = iter(zip(raw, [*raw[1:], ""], strict=False))
    for sign, following in signs:
        if sign == "'" and quoted and following == "'":
            word = f"{word}'"
            next(signs)
        elif sign == "'":
            quoted, word = not quoted, word or ""
        elif sign.isspace() and not quoted:
            found, word = (found if word is None else [*found, word]), None
        else:
            word = (word or "") + sign
    return found if word is None else [*found, word]
