"""The parts of a report: markup that cannot be broken into, tables, pictures, and the page around them."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from restorekit.metrics.fidelity import coverage, spread_skill
from restorekit.report import pictures, template
from restorekit.report.comparison import render
from restorekit.report.table import Mean, PageTable, TableColumn, TableRow
from tests.support.reports import NASTY, Reader, comparison, table_html


def decoded(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_only_what_came_out_of_a_template_is_markup() -> None:
    markup = str(template.environment().from_string('<b title="{{ x }}">{{ x }}</b>{{ y }}').render(x=NASTY, y="<"))
    assert "&lt;script&gt;" in markup
    assert not re.search(r"<(?!/?b)", markup)
    read = Reader(markup)
    assert read.elements == [("b", {"title": NASTY})]
    assert read.text == f"{NASTY}<"
    assert template.soft("a:b=1,<c") == "a:<wbr>b=1,<wbr>&lt;c"


def test_the_policy_names_the_style_and_script_of_the_page() -> None:
    page = render(comparison())
    policy = next(m["content"] for m in Reader(page).all("meta") if "content" in m and "default-src" in m["content"])
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (inside,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "--aspect: 1.5" in page


def test_everything_is_inside_the_page() -> None:
    page = render(comparison())
    read = Reader(page)
    names = {name for name, _ in read.elements}
    assert not names & {"iframe", "object", "embed", "base", "form", "audio", "video", "source"}
    assert [e["href"] for e in read.all("link")] == ["data:,"]
    assert all(e["href"].startswith("#solver-") for e in read.all("a"))
    assert {e["href"][1:] for e in read.all("a")} == {e["id"] for e in read.all("article")}
    assert not [e for _, e in read.elements if {"style", "srcset", "onclick"} & set(e)]
    outside_of_data = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert not re.search(r"https?:|url\(|@import|\bsrc=\"(?!\")|//\w+\.\w", outside_of_data)
    sizes = [decoded(e["src"]).shape[:2] for e in read.all("img")]
    assert sizes.count((60, 90)) == len(sizes) - 3  # the others are the colour bars
    assert sizes.count((1, 256)) == 3
    assert all(e["alt"] and e["width"] and e["height"] for e in read.all("img"))


def test_names_reasons_settings_and_command_are_there_as_text() -> None:
    c = comparison()
    read = Reader(render(c))
    assert read.text.count(NASTY) >= 4
    assert f"refused: no SVD {NASTY}" in read.text
    assert "An optimiser: one answer" in read.text
    assert c.command in read.text
    assert [e["data-solver"] for e in read.all("article")] == ["hqs", "mmps:a=1,b=2", "mmps"]
    assert "65535" not in read.text
    assert "255 in the file" in read.text


def test_pictures_are_those_of_the_results() -> None:
    c = comparison()
    images = {e["alt"]: e["src"] for e in Reader(render(c)).all("img")}
    mmps = c.results[2]
    for name, x in (
        ("Measurement", c.measured),
        ("mmps, sample 3", mmps.samples[2]),
        ("mmps, mean of the samples", mmps.mean),
    ):
        expected = np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
        np.testing.assert_array_equal(decoded(images[name]), expected)
    assert "mmps, standard deviation" in images
    assert "hqs, standard deviation" not in images
    assert "hqs, absolute error of the answer" in images


def test_without_a_truth_nothing_is_said_of_it() -> None:
    c = comparison(truth=False)
    read = Reader(render(c))
    assert "PSNR" not in read.text
    assert "Truth" not in read.text
    assert not [e for e in read.all("img") if "error" in e["alt"] and "colour scale" not in e["alt"]]


@pytest.mark.parametrize(("bands", "said"), [(1, ""), (2, "band 1 is shown"), (5, "bands 1 to 3 of 5 are shown")])
def test_other_numbers_of_bands(bands: int, said: str) -> None:
    c = comparison(bands)
    read = Reader(render(c))
    assert said in read.text
    assert ("shown." in read.text) == bool(said)
    shown = decoded(next(e["src"] for e in read.all("img") if e["alt"] == "mmps, sample 2"))
    expected = c.results[2].samples[1][:3] if bands > 2 else np.repeat(c.results[2].samples[1][:1], 3, 0)
    np.testing.assert_array_equal(shown, np.rint(255 * np.clip(expected, 0, 1)).transpose(1, 2, 0))


def test_a_page_that_would_be_too_large_shows_smaller_pictures_and_says_so() -> None:
    c = comparison(h=300, w=450)
    whole, small = render(c), render(c, largest=900_000)
    assert len(whole) > 2_000_000
    assert "Pictures are shown" not in whole
    assert len(small) <= 900_000
    share = re.search(r"Pictures are shown at (\d+)% of their 450 × 300 pixels", small)
    assert share is not None
    measured = decoded(next(e["src"] for e in Reader(small).all("img") if e["alt"] == "Measurement"))
    assert measured.shape[1] == pytest.approx(450 * int(share[1]) / 100, abs=5)
    figures = re.compile(r'data-value="([^"]*)"')
    assert figures.findall(whole) == figures.findall(small)  # of the whole pictures


def test_colours_are_as_far_apart_as_the_values() -> None:
    colours = pictures.colours()
    lightness = rgb2lab(colours[None] / 255)[0, :, 0]
    steps = np.diff(lightness[::5])
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 1.6 * steps.mean()
    assert lightness[0] < 12
    assert lightness[-1] > 90


def test_a_map_is_coloured_by_its_values() -> None:
    values = np.array([[0.0, 0.05, 0.1], [0.2, -1.0, 0.025]])
    shown = decoded(pictures.map_uri(values, 0.1))
    index = np.rint(255 * np.clip(values / 0.1, 0, 1)).astype(int)
    np.testing.assert_array_equal(shown, pictures.colours()[index])


@pytest.mark.parametrize(
    ("value", "end"), [(0.12, 0.15), (0.1, 0.1), (0.76, 1.0), (3.1, 5.0), (0.0, 1.0), (np.inf, 1.0)]
)
def test_scales_end_at_numbers_that_read_well(value: float, end: float) -> None:
    assert pictures.round_up(value) == pytest.approx(end)


def test_one_wild_map_does_not_darken_the_others() -> None:
    maps = [np.full((8, 8), v) for v in (0.04, 0.05, 0.06)]
    assert pictures.Scale.of(maps, "").top == pytest.approx(0.075)
    assert pictures.Scale.of([*maps, np.full((8, 8), 20.0)], "").top == pytest.approx(0.2)
    assert pictures.Scale.of([np.full((8, 8), 20.0)], "").top == 1
    assert pictures.Scale.of([], "").top == 1


def test_shrinking_takes_means() -> None:
    x = np.random.default_rng(0).random((3, 40, 60)).astype(np.float32)
    means = x.reshape(3, 10, 4, 15, 4).mean((2, 4))
    np.testing.assert_allclose(pictures.shrunk(x, 15), means, atol=1e-5)
    assert pictures.shrunk(x, 60) is x


def test_a_table_marks_the_best_and_only_where_there_is_a_choice() -> None:
    columns = [TableColumn("name", digits=None), TableColumn("a", best="high"), TableColumn("b", best=1.0), TableColumn("c", best="low"),
               TableColumn("d"), TableColumn("e", digits=1, best="high")]  # fmt: skip
    rows = [
        TableRow(["x", 3.0, 0.5, float("nan"), 1, 2.04]),
        TableRow(["y", float("inf"), 1.1, 2.0, 2, 2.01]),
        TableRow(["z"], note="<no>"),
    ]
    page = table_html(PageTable(columns, rows, "t"))
    best = re.findall(r'<td class="num best" data-value="([^"]*)"', page)
    assert best == ["inf", "1.1"]  # c has one number, d is not judged, the values of e look the same
    assert "<b>∞</b>" in page
    assert "–" in page
    assert '<td colspan="5" class="note"><span>&lt;no&gt;</span></td>' in page


def test_a_mean_is_shown_with_its_error_and_sorted_by_its_value() -> None:
    rows = [
        TableRow(["a", Mean(1.234, 0.05)]),
        TableRow(["b", Mean(3.0, float("nan"))]),
        TableRow(["c", Mean(3.0, 0.25)]),
    ]
    columns = [TableColumn("solver", digits=None), TableColumn("x", digits=1, best="high")]
    text = table_html(PageTable(columns, rows, "caption"))
    assert "1.2 ± 0.1" in text or "1.2 ± 0.0" in text
    assert 'data-value="1.234"' in text
    assert "<b>3.0</b>" in text
    assert "<b>3.0 ± 0.2</b>" in text


@pytest.mark.parametrize("n", [2, 4, 16])
def test_spread_and_coverage_of_draws_like_the_truth_are_as_expected(n: int) -> None:
    rng = np.random.default_rng(n)
    centre, scale = rng.random((3, 90, 90)), rng.uniform(0.01, 0.1, (3, 90, 90))
    truth = centre + scale * rng.standard_normal(centre.shape)
    samples = centre + scale * rng.standard_normal((n, *centre.shape))
    assert spread_skill(samples, truth) == pytest.approx(1, abs=0.03)
    assert coverage(samples, truth) == pytest.approx(0.9, abs=0.01)
    narrow = centre + 0.5 * scale * rng.standard_normal(samples.shape)
    assert spread_skill(narrow, truth) < 0.75
    assert coverage(narrow, truth) < 0.85
    assert np.isnan([spread_skill(samples[:1], truth), coverage(samples[:1], truth)]).all()
