"""Explanations as plain lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from act.explain.story import Story
from act.explain.words import clock


def told(stories: Iterable[Story]) -> list[dict[str, Any]]:
    """Each story, and each of its parts after it, as a title and lines."""
    found: list[dict[str, Any]] = []
    for story in stories:
        since = f", since {clock(story.since)} UTC" if story.since is not None else ""
        found.append({"title": f"{story.title}: {story.state}{since}", "lines": list(_lines(story))})
        found += told(story.parts)
    return found


def _lines(story: Story) -> Iterator[str]:
    for label, text in story.facts:
        yield f"{label}: {text}"
    if turn := story.turn:
        acts = f"{turn.far} {turn.does}; {turn.daemon} hears of it" if turn.far else f"{turn.daemon} {turn.does}"
        yield f"Whose turn it is: {acts}"
    for hold in story.holds:
        yield f"What is in the way: {hold.why}: {hold.text}"
    for due in story.due:
        yield f"What happens next: {clock(due.at)} UTC{', at the latest' if due.last else ''}: {due.text}"
    for error in story.errors:
        yield f"Error: {error.text}"
    for step in story.history:
        yield f"{clock(step.at)} UTC {step.of} {step.text} [{step.who}]"
