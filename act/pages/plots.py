"""Plots as SVG: geometry and words only, colours are classes. Made of markup of ours and of escaped text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from markupsafe import Markup

from act.db.history import Sample
from act.explain.words import clock

WIDTH, HEIGHT = 900, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 18, 30
_EDGE = 24  # words that begin or end nearer to an edge than this would stand over it
COLOURS = 10
MOST_POINTS = 300  # of a shape; more would make pages large, and be seen by nobody
MOST_TICKS = 8
_DAY_S = 86400
_TICKS_S = (60, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200,
            *(days * _DAY_S for days in (1, 2, 7, 14, 28, 91, 182, 365)))  # fmt: skip
# What means the same has the same colour in all plots; other names take what is left.
_COLOUR_OF = {
    "tosubmit": 0, "new": 0, "submitted": 1, "holding": 2, "cancelled": 2, "running": 3, "finishing": 4, "finished": 5,
    "ended well": 5, "created": 6, "failed": 7, "ended badly": 7, "quarantined": 8, "submitting": 9, "sent": 0,
    "starting": 1, "transferring": 4, "done": 6, "donefailed": 8, "toclean": 9,
}  # fmt: skip
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
_RULE = Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>')
_KEY = Markup('<li><i class="k{}"></i>{}: {}</li>')
_PLOT = Markup(
    '<figure><svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    '{rules}{shapes}{words}</svg><ul class="key">{key}</ul></figure>'
)


def stacked(title: str, samples: Sequence[Sample], keys: Sequence[str], *, step_s: int) -> Markup:
    """Levels on top of each other, the first key at the bottom. Gaps in ``samples`` stay gaps. "" without samples."""
    return _plot(title, samples, keys, step_s, _areas, _top_of_stack)


def lines(title: str, samples: Sequence[Sample], keys: Mapping[str, Sequence[str]], *, step_s: int) -> Markup:
    """One trace for each name, the sum of its keys."""
    summed = [
        Sample(s.at, {name: sum(s.figures.get(k, 0.0) for k in of) for name, of in keys.items()}) for s in samples
    ]
    return _plot(title, summed, list(keys), step_s, _traces, _highest)


class _Frame:
    """From time and value to the place in the picture."""

    def __init__(self, begin: float, end: float, top: float) -> None:
        self.begin, self.end, self.top = begin, max(end, begin + 1), top

    def x(self, at: float) -> float:
        return round(_LEFT + (at - self.begin) / (self.end - self.begin) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _BOTTOM - value / self.top * (HEIGHT - _TOP - _BOTTOM), 1)


def _plot(
    title: str, samples: Sequence[Sample], keys: Sequence[str], step_s: int,
    draw: Callable[[_Frame, Sequence[Sequence[Sample]], Mapping[str, int]], Markup],
    highest: Callable[[Sequence[Sample], Iterable[str]], float],
) -> Markup:  # fmt: skip
    if not samples or not keys:
        return Markup("")
    seen = [k for k in keys if any(s.figures.get(k) for s in samples)] or keys[:1]
    used = _colours(seen)
    drawn, drawn_s = _thinned(samples, used, step_s)
    frame = _Frame(samples[0].at, samples[-1].at, _round(highest(drawn, used)))
    last = samples[-1].figures
    key = Markup("").join(_KEY.format(colour, k, _short(last.get(k, 0.0))) for k, colour in used.items())
    told = ", ".join(f"{k} {_short(last.get(k, 0.0))}" for k in used)
    return _PLOT.format(
        width=WIDTH, height=HEIGHT, label=f"{title}, from {clock(frame.begin)} to {clock(frame.end)} UTC. "
        f"At the end: {told}", rules=_rules(frame), shapes=draw(frame, _runs(drawn, drawn_s), used),
        words=_words(frame), key=key,
    )  # fmt: skip


def _colours(keys: Sequence[str]) -> dict[str, int]:
    """Of each key its own colour, where no key before it has the same; else one that is left."""
    own: dict[int, str] = {}
    for key in keys:
        if key in _COLOUR_OF:
            own.setdefault(_COLOUR_OF[key], key)
    found = {key: colour for colour, key in own.items()}
    free = [c for c in range(COLOURS) if c not in own] or list(range(COLOURS))
    others = [k for k in keys if k not in found]
    return {k: found[k] if k in found else free[others.index(k) % len(free)] for k in keys}


def _thinned(samples: Sequence[Sample], keys: Iterable[str], step_s: int) -> tuple[Sequence[Sample], int]:
    """As many as can be told apart, and the seconds between them: the means of neighbours where there are more."""
    together = math.ceil((samples[-1].at - samples[0].at) / step_s / MOST_POINTS)
    if together <= 1:
        return samples, step_s
    wide_s = together * step_s
    found = []
    for number, group in groupby(samples, key=lambda s: int(s.at // wide_s)):
        near = list(group)
        means = {k: sum(s.figures.get(k, 0.0) for s in near) / len(near) for k in keys}
        found.append(Sample(max(number * wide_s, samples[0].at), means))
    return found, wide_s


def _runs(samples: Sequence[Sample], step_s: int) -> list[list[Sample]]:
    """Samples without a gap between them."""
    runs: list[list[Sample]] = []
    for sample in samples:
        if runs and sample.at - runs[-1][-1].at <= 1.5 * step_s:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return runs


def _areas(frame: _Frame, runs: Sequence[Sequence[Sample]], keys: Mapping[str, int]) -> Markup:
    shape = Markup('<path class="area f{}" d="{}"/>')
    shapes = Markup("")
    for run in runs:
        below = [0.0] * len(run)
        for key, colour in keys.items():
            above = [b + s.figures.get(key, 0.0) for b, s in zip(below, run, strict=True)]
            if any(a > b for a, b in zip(above, below, strict=True)):
                up = [f"{frame.x(s.at)},{frame.y(v)}" for s, v in zip(run, above, strict=True)]
                down = [f"{frame.x(s.at)},{frame.y(v)}" for s, v in zip(run, below, strict=True)]
                shapes += shape.format(colour, "M" + "L".join([*up, *reversed(down)]) + "Z")
            below = above
    return shapes


def _traces(frame: _Frame, runs: Sequence[Sequence[Sample]], keys: Mapping[str, int]) -> Markup:
    shape = Markup('<path class="trace s{}" d="{}"/>')
    shapes = Markup("")
    for run in runs:
        for key, colour in keys.items():
            points = [f"{frame.x(s.at)},{frame.y(s.figures.get(key, 0.0))}" for s in run]
            shapes += shape.format(colour, "M" + "L".join(points if len(points) > 1 else points * 2))
    return shapes


def _top_of_stack(samples: Sequence[Sample], keys: Iterable[str]) -> float:
    return max(sum(s.figures.get(k, 0.0) for k in keys) for s in samples)


def _highest(samples: Sequence[Sample], keys: Iterable[str]) -> float:
    return max(s.figures.get(k, 0.0) for s in samples for k in keys)


def _round(value: float) -> float:
    """The next number that is good to read, and so is its half."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(f * unit for f in (1, 2, 3, 4, 5, 6, 8, 10) if value <= f * unit * 1.0001)


def _rules(frame: _Frame) -> Markup:
    return Markup("").join(_RULE.format(_LEFT, WIDTH - _RIGHT, frame.y(frame.top * n / 2)) for n in range(3))


def _words(frame: _Frame) -> Markup:
    text = Markup("")
    for n in range(3):
        value = frame.top * n / 2
        text += _TEXT.format(_LEFT - 6, frame.y(value) + 4, "end", _short(value))
    each = next((t for t in _TICKS_S if (frame.end - frame.begin) / t <= MOST_TICKS), _TICKS_S[-1])
    for at in range(math.ceil(frame.begin / each) * each, int(frame.end) + 1, each):
        x = frame.x(at)
        anchor = "start" if x < _LEFT + _EDGE else "end" if x > WIDTH - _RIGHT - _EDGE else "middle"
        text += _TEXT.format(x, HEIGHT - 6, anchor, _clock(at, each))
    return text


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * factor:
            return f"{value / factor:.0f}{unit}"
        if value >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _clock(at: float, each_s: int) -> str:
    """As exact as times that are so far apart need."""
    form = "%H:%M" if each_s < _DAY_S else "%b %d" if each_s < 28 * _DAY_S else "%b %Y"
    return time.strftime(form, time.gmtime(at))
