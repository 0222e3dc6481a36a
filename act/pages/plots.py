"""Plots as SVG: geometry and words only, colours are classes. Made of markup of ours and of escaped text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from act.db.history import Sample

WIDTH, HEIGHT = 900, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 8, 24
COLOURS = 10
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
_RULE = Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>')
_KEY = Markup('<li><i class="k{}"></i>{}: {}</li>')
_PLOT = Markup(
    '<figure><svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    '{rules}{shapes}{words}</svg><ul class="key">{key}</ul></figure>'
)

Points = Sequence[tuple[float, Mapping[str, float]]]


def stacked(title: str, samples: Sequence[Sample], keys: Sequence[str], *, step_s: int) -> Markup:
    """Levels on top of each other, the first key at the bottom. Gaps in ``samples`` stay gaps. "" without samples."""
    return _plot(title, samples, keys, step_s, _areas, _top_of_stack)


def lines(
    title: str, samples: Sequence[Sample], keys: Mapping[str, Sequence[str]], *, step_s: int, per_s: float = 1.0
) -> Markup:
    """One trace for each name, the sum of its keys. per_s: what counts are multiplied with, such as 60 / step_s."""
    summed = [
        Sample(s.at, {name: per_s * sum(s.figures.get(k, 0.0) for k in of) for name, of in keys.items()})
        for s in samples
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
    draw: Callable[[_Frame, Sequence[Sequence[Sample]], Sequence[str]], Markup],
    highest: Callable[[Sequence[Sample], Sequence[str]], float],
) -> Markup:  # fmt: skip
    used = [k for k in keys if any(s.figures.get(k) for s in samples)] or list(keys[:1])
    if not samples or not keys:
        return Markup("")
    frame = _Frame(samples[0].at, samples[-1].at, _round(highest(samples, used)))
    last = samples[-1].figures
    key = Markup("").join(_KEY.format(n % COLOURS, k, _short(last.get(k, 0.0))) for n, k in enumerate(used))
    told = ", ".join(f"{k} {_short(last.get(k, 0.0))}" for k in used)
    return _PLOT.format(
        width=WIDTH, height=HEIGHT, label=f"{title}, from {_clock(frame.begin, step_s)} to {_clock(frame.end, step_s)} "
        f"UTC. At the end: {told}", rules=_rules(frame), shapes=draw(frame, _runs(samples, step_s), used),
        words=_words(frame, step_s), key=key,
    )  # fmt: skip


def _runs(samples: Sequence[Sample], step_s: int) -> list[list[Sample]]:
    """Samples without a gap between them."""
    runs: list[list[Sample]] = []
    for sample in samples:
        if runs and sample.at - runs[-1][-1].at <= 1.5 * step_s:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return runs


def _areas(frame: _Frame, runs: Sequence[Sequence[Sample]], keys: Sequence[str]) -> Markup:
    shape = Markup('<path class="area f{}" d="{}"/>')
    shapes = Markup("")
    for run in runs:
        below = [0.0] * len(run)
        for n, key in enumerate(keys):
            above = [b + s.figures.get(key, 0.0) for b, s in zip(below, run, strict=True)]
            if any(a > b for a, b in zip(above, below, strict=True)):
                up = [f"{frame.x(s.at)},{frame.y(v)}" for s, v in zip(run, above, strict=True)]
                down = [f"{frame.x(s.at)},{frame.y(v)}" for s, v in zip(run, below, strict=True)]
                shapes += shape.format(n % COLOURS, "M" + "L".join([*up, *reversed(down)]) + "Z")
            below = above
    return shapes


def _traces(frame: _Frame, runs: Sequence[Sequence[Sample]], keys: Sequence[str]) -> Markup:
    shape = Markup('<path class="trace s{}" d="{}"/>')
    shapes = Markup("")
    for run in runs:
        for n, key in enumerate(keys):
            points = [f"{frame.x(s.at)},{frame.y(s.figures.get(key, 0.0))}" for s in run]
            shapes += shape.format(n % COLOURS, "M" + "L".join(points if len(points) > 1 else points * 2))
    return shapes


def _top_of_stack(samples: Sequence[Sample], keys: Sequence[str]) -> float:
    return max(sum(s.figures.get(k, 0.0) for k in keys) for s in samples)


def _highest(samples: Sequence[Sample], keys: Sequence[str]) -> float:
    return max(s.figures.get(k, 0.0) for s in samples for k in keys)


def _round(value: float) -> float:
    """The next number that is good to read: 1, 2 or 5 with zeros."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(f * unit for f in (1, 2, 5, 10) if value <= f * unit * 1.0001)


def _rules(frame: _Frame) -> Markup:
    return Markup("").join(_RULE.format(_LEFT, WIDTH - _RIGHT, frame.y(frame.top * n / 2)) for n in range(3))


def _words(frame: _Frame, step_s: int) -> Markup:
    text = Markup("")
    for n in range(3):
        value = frame.top * n / 2
        text += _TEXT.format(_LEFT - 6, frame.y(value) + 4, "end", _short(value))
    for n, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        at = frame.begin + (frame.end - frame.begin) * n / 4
        text += _TEXT.format(frame.x(at), HEIGHT - 6, anchor, _clock(at, step_s))
    return text


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * factor:
            return f"{value / factor:.0f}{unit}"
        if value >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _clock(at: float, step_s: int) -> str:
    return time.strftime("%H:%M" if step_s < 3600 else "%b %d %H h" if step_s < 86400 else "%b %d", time.gmtime(at))
