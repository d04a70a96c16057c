"""Quality against cost as SVG: the front, the axes, names that cover nothing, and files that stand alone."""

from __future__ import annotations

import math
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from restorekit.report.labels import Box, place
from restorekit.report.plot import Point, log_ticks, pareto, pareto_front, ticks
from tests.support.reports import NASTY

POINTS = [Point("a", 1, 30), Point("a", 10, 33), Point("b", 2, 29), Point("b", 20, 33), Point("c", 5, 31, 0.5)]


def test_the_front_is_what_nothing_beats_at_its_cost() -> None:
    assert pareto_front(POINTS) == [POINTS[0], POINTS[4], POINTS[1]]
    assert pareto_front(POINTS, "low") == [POINTS[0], POINTS[2]]
    assert pareto_front([Point("a", 1, 2), Point("b", 1, 3)]) == [Point("b", 1, 3)]


@pytest.mark.parametrize("span", [(0.0, 1.0), (21.3, 36.9), (-0.2, 1.6), (0.0301, 0.0312), (3.0, 2900.0)])
def test_ticks_are_round_and_inside(span: tuple[float, float]) -> None:
    found = ticks(*span)
    assert 3 <= len(found) <= 7
    assert all(span[0] - 1e-9 <= t <= span[1] + 1e-9 for t in found)
    assert all(len(f"{t:.6g}".replace("-", "").replace(".", "").strip("0")) <= 4 for t in found)


@pytest.mark.parametrize("span", [(3.0, 70.0), (0.11, 0.5), (1.0, 5000.0), (17.0, 58.0)])
def test_logarithmic_ticks_are_at_least_three_digits_of_one(span: tuple[float, float]) -> None:
    found = log_ticks(*span)
    assert 3 <= len(found) <= 9
    assert all(float(f"{t:.0e}") == pytest.approx(t) for t in found)


def test_crowded_names_cover_neither_points_nor_each_other() -> None:
    names = [f"solver-{i}" for i in range(8)]
    spots = [[(250.0 + 6 * (i % 4), 150.0 + 9 * i)] for i in range(8)]
    frame = Box(50, 10, 460, 300)
    boxes = []
    for name, p in zip(names, place(names, spots, frame, 13)):
        wide = 0.56 * 13 * len(name)
        left = p.x if p.anchor == "start" else p.x - wide if p.anchor == "end" else p.x - wide / 2
        boxes.append(Box(left, p.y - 10, left + wide, p.y + 3))
    assert all(a.shared(b) == 0 for a, b in combinations(boxes, 2))
    assert all(b.shared(Box(x - 3, y - 3, x + 3, y + 3)) == 0 for b in boxes for ((x, y),) in spots)
    assert all(b.shared(frame) == pytest.approx(b.area) for b in boxes)


def test_a_plot_alone_is_an_svg_that_says_what_it_shows() -> None:
    text = pareto([*POINTS, Point(NASTY, 3, 28)], x="calls", y="PSNR, dB", title="A <title>")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", "c", "calls", "PSNR, dB", "A <title>"} <= set(texts)
    assert "prefers-color-scheme: dark" in text
    assert "<b>" not in text
    marks = [e for e in root.iter() if e.get("class") in ("mark", "mark on")]
    assert len(marks) == 6
    assert sum(e.get("class") == "mark on" for e in marks) == 3
    assert "c: PSNR, dB 31 ± 0.5, calls 5" in [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    inside = pareto(POINTS, x="calls", y="PSNR", alone=False)
    assert isinstance(inside, Markup)
    assert "<style" not in inside
    assert "style=" not in inside  # which a page's policy would not let through


def test_better_is_up_and_dearer_is_right() -> None:
    text = pareto([Point("a", 1, 30), Point("a", 100, 33)], x="calls", y="PSNR")
    (x1, y1), (x2, y2) = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', text)
    assert float(x1) < float(x2)
    assert float(y1) > float(y2)


@pytest.mark.parametrize("wrong", [[], [Point("a", 0, 1)], [Point("a", 1, math.nan)], [Point("a", math.inf, 1)]])
def test_what_cannot_be_drawn_is_refused(wrong: list[Point]) -> None:
    with pytest.raises(ValueError, match="a plot needs points"):
        pareto(wrong, x="x", y="y")


def test_one_point_is_a_plot() -> None:
    assert "a: y 1, x 1" in pareto([Point("a", 1, 1)], x="x", y="y")
