from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from restorekit.errors import BadInput
from restorekit.report.density import density
from restorekit.report.despeckled import BandPage, block_mean, page, render
from restorekit.sar.assessment import Wanted, assess
from restorekit.sar.speckle import draw
from tests.support.reports import NASTY, Reader


def made(h: int = 96, w: int = 120, looks: float = 4.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.where(np.arange(w) < w // 2, 1.0, 3.0) * np.ones((h, w))
    valid = np.ones((h, w), bool)
    valid[:10, :10] = False
    y = np.where(valid, x * draw((h, w), looks, None, np.random.default_rng(0)), np.nan)
    return y, x, valid


def pictures(text: str) -> list[np.ndarray]:
    uris = [a["src"] for tag, a in Reader(text).elements if tag == "img" and a["src"].startswith("data:image/png")]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(u.partition(",")[2]))).convert("RGB")) for u in uris]


def test_a_page_holds_everything_and_fetches_nothing() -> None:
    y, x, valid = made()
    text = page(y, x, valid, None, std=0.1 * x, facts={"prior": NASTY}, name=NASTY)
    found = Reader(text)
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "<script>alert" not in text
    assert NASTY in found.text
    assert len(pictures(text)) == 4
    for words in ("Measured", "Restored", "Ratio", "Std", "MoI", "should be", "looks effective", "black too"):
        assert words in found.text, words
    assert [t for t, _ in found.elements].count("svg") == 1
    assert len(pictures(page(y, x, valid, 4))) == 3


def test_the_figures_are_those_of_the_assessment() -> None:
    y, x, valid = made()
    found = assess(y, x, valid, Wanted())
    text = Reader(page(y, x, valid, None)).text
    for one in found.figures:
        assert one.title in text
        assert one.text in text
        assert one.should in text
    assert f"{found.looks:.2f}, measured" in text
    assert "7.00, given" in Reader(page(y, x, valid, 7)).text


def test_pictures_share_a_scale_and_invalid_pixels_are_black() -> None:
    y, x, valid = made()
    measured, restored, ratio = (p[..., 0].astype(float) for p in pictures(page(y, x, valid, 4)))
    assert not measured[:10, :10].any()
    assert not ratio[:10, :10].any()
    # Two flat halves: as bright on average in both, up to the clipping of the hundredth that is brightest.
    for part in (np.s_[20:, :60], np.s_[20:, 60:]):
        assert measured[part].mean() == pytest.approx(restored[part].mean(), abs=8)
    # Nothing of the two halves in the ratio: 25 / sqrt(n) is a fifth of a grey level for a spread of 50.
    assert ratio[20:, :60].mean() == pytest.approx(ratio[20:, 60:].mean(), abs=4)


def test_large_scenes_are_shown_by_means_of_intensity() -> None:
    x = np.zeros((30, 2500))
    x[:, ::3] = 9.0
    assert pictures(page(x + 1, x + 1, np.ones(x.shape, bool), 1))[0].shape[:2] == (10, 834)
    valid = np.random.default_rng(0).random((7, 11)) > 0.3
    values = np.random.default_rng(1).random((7, 11))
    means, there = block_mean(np.where(valid, values, np.nan), valid, 3)
    assert means.shape == there.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            block = np.s_[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
            assert there[i, j] == valid[block].any()
            assert means[i, j] == pytest.approx(values[block][valid[block]].mean() if there[i, j] else 0)


def test_every_band_has_its_own_part() -> None:
    y, x, valid = made()
    bands = [BandPage(name, y, x, valid, assess(y, x, valid, Wanted())) for name in ("VV", NASTY)]
    text = render(bands, name="scene.tif", over="restorekit metrics sar", command="restorekit metrics sar a b")
    found = Reader(text)
    assert [t for t, _ in found.elements].count("section") == 2
    assert len(pictures(text)) == 6
    assert "<script>alert" not in text
    assert "restorekit metrics sar a b" in found.text


def numbers(text: str, kind: str) -> list[tuple[float, float]]:
    points = re.search(rf'<polyline points="([^"]*)" class="{kind}"', text)
    assert points is not None
    return [(float(x), float(y)) for x, y in (p.split(",") for p in points[1].split())]


@pytest.mark.parametrize("looks", [0.5, 1, 4.4, 200])
def test_histogram_of_speckle_lies_on_its_law(looks: float) -> None:
    values = np.random.default_rng(0).gamma(looks, 1 / looks, 400_000)
    text = density(values, looks)
    steps, law = numbers(text, "series s0"), numbers(text, "series law s1")
    heights = np.interp([x for x, _ in steps], [x for x, _ in law], [y for _, y in law])
    # Pixels of 244: the step of a bin beside the slope of the law. The first bins of few looks hold a pole.
    off = [abs(a - y) for a, (_, y) in zip(heights, steps)][8:]
    assert np.median(off) < 4
    wrong = numbers(density(0.5 * values, looks), "series s0")
    assert np.median([abs(a - y) for a, (_, y) in zip(heights, wrong)][8:]) > (0.5 if looks < 100 else -1)
    assert all(0 <= x <= 480 and 0 <= y <= 300 for x, y in [*steps, *law])


def test_what_lies_beyond_is_said() -> None:
    assert "10.0% beyond" in density(np.concatenate([np.ones(90), np.full(10, 1e6)]), 1)
    assert "beyond" not in density(np.ones(100), 1)
    assert math.isfinite(len(density(np.zeros(0), 4)))


def test_a_scene_that_looks_cannot_be_measured_in() -> None:
    with pytest.raises(BadInput, match="`looks`"):
        page(np.ones((10, 10)), np.ones((10, 10)), np.ones((10, 10), bool), None)
    assert "left out" in Reader(page(np.ones((10, 10)), np.ones((10, 10)), np.ones((10, 10), bool), 4)).text
