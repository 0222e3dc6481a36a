"""Plots say what the figures say, and nothing that a page is given becomes markup."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from lxml import etree

from act.db.history import Sample
from act.pages import plots, render

HOSTILE = "<script>alert(1)</script>\"'&"


def samples(*values: float, step_s: int = 60, key: str = "running") -> list[Sample]:
    return [Sample(1000 * 60 + n * step_s, {key: v} if v else {}) for n, v in enumerate(values)]


def shapes(plot: str, kind: str) -> list[str]:
    """The paths of a plot."""
    return re.findall(rf'<path class="{kind} [fs]\d" d="([^"]*)"/>', plot)


def test_areas_lie_on_each_other() -> None:
    told = [Sample(60, {"running": 10.0, "submitted": 5.0}), Sample(120, {"running": 20.0, "submitted": 0.0})]
    below, above = shapes(plots.stacked("Jobs", told, ["submitted", "running"], step_s=60), "area")
    ys = [float(point.partition(",")[2]) for point in re.findall(r"[\d.]+,[\d.]+", above)]
    assert below.startswith("M56.0,")
    assert ys[0] > ys[1]  # 15 and then 20: upwards
    assert ys[3] < ys[2]  # from 0 to 5 below them


def test_a_time_in_which_nobody_looked_is_a_gap() -> None:
    told = [s for n, s in enumerate(samples(1, 1, 1, 1, 1, 1)) if n not in (2, 3)]
    assert len(shapes(plots.lines("Jobs", told, {"a": ["running"]}, step_s=60), "trace")) == 2
    whole = samples(1, 1, 1, 1)
    assert len(shapes(plots.lines("Jobs", whole, {"a": ["running"]}, step_s=60), "trace")) == 1


def test_of_a_long_time_neighbours_are_drawn_as_their_mean() -> None:
    day = samples(*(10.0 * (n % 5) for n in range(1440)))
    (path,) = shapes(plots.lines("Jobs", day, {"a": ["running"]}, step_s=60), "trace")
    points = re.findall(r"([\d.]+),([\d.]+)", path)
    assert 200 <= len(points) <= plots.MOST_POINTS + 1
    assert {y for _, y in points} == {"18.0"}  # all of the height, for 20 of 20


def test_in_a_long_time_too_what_nobody_saw_is_a_gap() -> None:
    day = [s for n, s in enumerate(samples(*[5.0] * 1440)) if not 600 <= n < 700]
    assert len(shapes(plots.lines("Jobs", day, {"a": ["running"]}, step_s=60), "trace")) == 2


def test_a_sample_without_a_figure_is_zero_and_no_gap() -> None:
    (path,) = shapes(plots.lines("Jobs", samples(2, 0, 2), {"a": ["running"]}, step_s=60), "trace")
    first, middle, last = (float(p.partition(",")[2]) for p in re.findall(r"[\d.]+,[\d.]+", path))
    assert first == last < middle


def test_counts_of_several_keys_are_one_trace() -> None:
    told = [Sample(60, {"+failed": 2.0, "+lost": 1.0}), Sample(120, {"+failed": 3.0})]
    plot = plots.lines("Ends", told, {"badly": ["+failed", "+lost"]}, step_s=60)
    assert len(shapes(plot, "trace")) == 1 and "badly: 3" in plot


def test_the_plot_is_told_in_words_too() -> None:
    plot = plots.stacked("Attempts", samples(1, 1200), ["running"], step_s=60)
    assert 'role="img"' in plot and "At the end: running 1.2k" in plot


def test_without_samples_nothing_is_drawn() -> None:
    assert plots.stacked("Jobs", [], ["running"], step_s=60) == ""


def test_names_in_plots_are_text() -> None:
    told = samples(1, 2, key=HOSTILE)
    for plot in (
        plots.stacked(HOSTILE, told, [HOSTILE], step_s=60),
        plots.lines(HOSTILE, told, {HOSTILE: [HOSTILE]}, step_s=60),
    ):
        assert "<script" not in plot
        assert etree.fromstring(plot).xpath("//li")[0].xpath("string()").startswith(HOSTILE)


def test_nothing_that_a_template_is_given_is_markup() -> None:
    page = render.render("error.html", now=0.0, title=HOSTILE, text=HOSTILE)
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert(1)") == 3


def test_no_template_lets_markup_through() -> None:
    """But for the style of the report, which is ours."""
    environment = render._environment()
    assert environment.autoescape is True
    for name in environment.list_templates():
        source = environment.loader.get_source(environment, name)[0] if environment.loader else ""
        assert not re.search(r"\|\s*safe\b|autoescape|\bstyle=|\bon[a-z]+=|javascript:", source), name


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.0994, "9.9 %"), (0.5, "50 %"), (1.0, "100 %")]
)
def test_parts_are_told_as_people_read_them(value: float, words: str) -> None:
    assert render.percent(value) == words


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [("drain", None, "draining"), ("max_jobs", 5, "max_jobs 5"), ("probe", None, "one job at a time")],
)
def test_orders_are_told_in_a_few_words(what: str, value: int | None, words: str) -> None:
    assert render.order_phrase(SimpleNamespace(what=what, value=value)) == words


def test_every_state_has_a_tone() -> None:
    assert [render.tone(s) for s in ("running", "failed", "done", "holding", "tosubmit")] == [
        "run", "bad", "good", "warn", "plain"
    ]  # fmt: skip
