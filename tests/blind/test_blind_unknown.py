"""Kernels of any form, of which nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from PIL import Image
from skimage import data

import restorekit
from restorekit.blind.families import Estimate, Families
from restorekit.blind.kernel_forms import aligned, centred, reach_of, without_noise
from restorekit.blind.marginal import Frames, nonnegative, slopes, slopes_adjoint
from restorekit.blind.plausible import Plausible
from restorekit.blind.pyramid import Pyramid
from restorekit.blind.sharp_edges import SharpEdges
from restorekit.blind.steepness import steepness
from restorekit.blind.unknown import AnyKernel, FoundKernel, as_white
from restorekit.errors import BadInput
from restorekit.files.overwrite import overwriting
from restorekit.inference.likelihood import Gaussian
from restorekit.notes import Notes
from restorekit.tasks.blind_kernel import BlindKernel, blind_kernel, light_tells_it, with_misfit
from restorekit.tasks.observation import observe

SIGMA_Y = 0.01
SMALL = AnyKernel(searches=(SharpEdges(9),), levels=(1.5, 1.0))


def bent() -> np.ndarray:
    """A corner, which is no line, disc or Gaussian."""
    k = np.zeros((7, 7))
    k[1:6, 1] = 1
    k[5, 1:6] = 1
    return k / k.sum()


def blurred(size: int = 96, seed: int = 0) -> np.ndarray:
    """(1, size, size), where all of the kernel lies on the picture."""
    x = data.camera()[60 : 60 + size + 6, 180 : 180 + size + 6] / 255
    y = scipy.signal.fftconvolve(x, bent(), mode="valid")
    return (y + SIGMA_Y * np.random.default_rng(seed).standard_normal(y.shape))[None]


def likeness(found: np.ndarray, true: np.ndarray) -> float:
    side = max(*found.shape, *true.shape)
    a, b = centred(found, side), centred(true, side)
    a = aligned(a, b)
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_adjoint_of_slopes() -> None:
    x, v = (
        torch.randn(*s, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) for s in ((6, 8), (2, 6, 8))
    )
    assert float((slopes(x) * v).sum()) == pytest.approx(float((x * slopes_adjoint(v)).sum()))


def test_what_is_blurred_is_the_convolution() -> None:
    x, k = np.random.default_rng(0).random((14, 15)), bent()[:5]
    frames = Frames((10, 9), (5, 7))
    y = frames.blurred(frames.spectrum(torch.from_numpy(k)) * frames.spectrum(torch.from_numpy(x)))
    np.testing.assert_allclose(y, scipy.signal.convolve2d(x, k, mode="valid"), atol=1e-12)


def test_taps_of_at_least_0_as_scipy_finds_them() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    expected, _ = scipy.optimize.nnls(a, b)
    assert (expected == 0).any()
    found = nonnegative(torch.from_numpy(a.T @ a), torch.from_numpy(a.T @ b), torch.ones(8, dtype=torch.float64), 2000)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_bent_kernel_is_found_by_edges_alone_and_mended() -> None:
    picture = Pyramid.of(blurred()[0], np.ones((96, 96)))
    found = SharpEdges(9)(picture)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    assert likeness(found, bent()) > 0.75
    assert likeness(np.ones((1, 1)), bent()) < 0.5  # of no blur at all, for comparison
    mended = SMALL.mended(picture, SIGMA_Y, found)
    assert mended.sum() == pytest.approx(1)
    assert likeness(mended, bent()) > 0.75


def test_searches_that_differ_say_that_the_kernel_may_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    y = blurred()
    kernels = {9: centred(bent(), 9), 11: centred(bent(), 9)}
    monkeypatch.setattr(SharpEdges, "__call__", lambda search, _: kernels[search.size])
    monkeypatch.setattr(AnyKernel, "mended", lambda *_: kernels[9])
    search = AnyKernel(searches=(SharpEdges(9), SharpEdges(11)))
    same = search(y, SIGMA_Y)
    np.testing.assert_allclose(centred(same.kernel, 9), kernels[9], atol=1e-9)
    assert same.error < 1e-6
    assert same.misfit < 1e-6
    assert same.alike == pytest.approx(1)
    assert same.gain > 20
    kernels[11] = scipy.ndimage.uniform_filter(kernels[9], 2)
    implausible = search(y, SIGMA_Y)
    assert implausible.error < 0.02
    monkeypatch.setattr(Plausible, "score", lambda *_: 0.0)
    as_plausible = search(y, SIGMA_Y)
    assert as_plausible.error > 0.1
    assert as_plausible.misfit > 10 * implausible.misfit


def test_faint_edges_are_asked_where_there_is_little_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def search(of: SharpEdges, _: Pyramid) -> np.ndarray:
        asked.append(of.least)
        return centred(bent(), 9)

    monkeypatch.setattr(SharpEdges, "__call__", search)
    monkeypatch.setattr(AnyKernel, "mended", lambda *_: centred(bent(), 9))
    both = AnyKernel(searches=(SharpEdges(9),), faint=(SharpEdges(9, least=0.015),))
    for sigma_y, faint in ((0.003, True), (0.01, False)):
        asked.clear()
        both(blurred(), sigma_y)
        assert (0.015 in asked) == faint


def test_pixels_that_do_not_count_say_nothing() -> None:
    y = blurred()
    seen, other = np.ones(y.shape[1:], bool), y.copy()
    seen[40:46, 40:46] = False
    other[:, 40:46, 40:46] = 5.0
    one, two = (SMALL(v, SIGMA_Y, seen).kernel for v in (y, other))
    np.testing.assert_allclose(one, two, atol=1e-6)
    spoilt = SMALL(other, SIGMA_Y).kernel
    assert spoilt.shape != one.shape or np.abs(spoilt - one).max() > 0.01


def test_smooth_errors_count_less_than_rough_ones() -> None:
    rough = np.random.default_rng(0).standard_normal((64, 64))
    assert as_white(rough) == pytest.approx(rough.std(), rel=0.05)
    smooth = scipy.ndimage.gaussian_filter(rough, 2)
    assert as_white(smooth) < 0.5 * smooth.std()


def test_a_kernel_turned_by_half_and_no_blur_are_less_plausible() -> None:
    y = blurred()[0]
    plausible = Plausible(Pyramid.of(y, np.ones_like(y)), SIGMA_Y)
    right, turned = bent(), bent()[::-1, ::-1]
    assert plausible.spectral(turned) == pytest.approx(plausible.spectral(right), abs=0.1)
    assert plausible.energy(turned) > plausible.energy(right)
    assert plausible.spectral(np.ones((1, 1))) > plausible.spectral(right) + 10


def test_the_best_picture_of_the_right_kernel_is_sharper_than_the_measurement() -> None:
    x = data.camera()[63:159, 183:279] / 255
    y = blurred()[0]
    sharp, _ = Plausible(Pyramid.of(y, np.ones_like(y)), SIGMA_Y).sharp(bent())
    assert sharp.shape == y.shape
    assert ((sharp - x) ** 2).mean() < 0.5 * ((y - x) ** 2).mean()


def test_a_sharp_picture_has_no_blur(monkeypatch: pytest.MonkeyPatch) -> None:
    x = data.camera()[60:156, 180:276] / 255 + SIGMA_Y * np.random.default_rng(0).standard_normal((96, 96))
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    read = observe(torch.from_numpy(x[None]).float(), "blur", "auto", None, "linear", Notes())
    found = blind_kernel(read, SIGMA_Y, search=SMALL)
    assert found.none
    assert not found.sure
    assert found.kernel.shape == (1, 1)
    assert "it is sharp, or its blur cannot be told" in str(found.doubt)


def test_noise_taps_go_and_faint_ones_that_hang_together_stay() -> None:
    k = np.zeros((15, 15))
    k[7, 4:8] = 1.0
    k[7, 8:10] = 0.05  # the faint end of a line
    k[1, 1] = 0.05  # alone
    kept = without_noise(k, 0.1, 0.03, 0.02)
    assert kept[7, 9] > 0
    assert kept[1, 1] == 0
    assert kept.sum() == pytest.approx(1)
    assert reach_of(np.eye(5) / 5) == 2


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (0.5 + SIGMA_Y * np.random.default_rng(0).standard_normal((1, 96, 96)), "too few edges above its noise"),
        (blurred()[:, :50], "at least 64x64 are needed"),
    ],
)
def test_a_picture_that_does_not_tell_is_refused(picture: np.ndarray, said: str) -> None:
    read = observe(torch.from_numpy(picture).float(), "blur", "auto", None, "linear", Notes())
    with pytest.raises(BadInput, match="the blur is not known: .*" + said):
        blind_kernel(read, SIGMA_Y, search=SMALL)


def test_a_page_of_text_is_too_steep_to_be_blurred(monkeypatch: pytest.MonkeyPatch) -> None:
    page, kernel = data.page()[:120, :200] / 255, centred(np.pad(bent(), 12), 31)
    seen = np.ones(page.shape, bool)
    wide = scipy.ndimage.gaussian_filter(kernel, 2)
    soft = scipy.signal.fftconvolve(np.pad(page, 15, mode="edge"), wide, mode="valid")
    assert steepness(page[None], wide, SIGMA_Y, seen) > 1.5
    assert steepness(soft[None], wide, SIGMA_Y, seen) < 0.5
    assert steepness(page[None], wide, SIGMA_Y, ~seen) == 0
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(AnyKernel, "__call__", lambda *_: FoundKernel(wide, wide / 10, 0.98, 60.0))
    for values, none in ((page, True), (soft, False)):
        read = observe(torch.from_numpy(values[None]).float(), "blur", "auto", None, "linear", Notes())
        assert blind_kernel(read, SIGMA_Y, search=SMALL).none == none


def test_edges_along_a_motion_stay_steep() -> None:
    page, kernel = data.page()[:120, :200] / 255, np.full((3, 7), 1 / 21)  # found wider across than it is
    seen = np.ones((120, 194), bool)
    along = scipy.signal.fftconvolve(page, np.full((1, 7), 1 / 7), mode="valid")
    assert steepness(along[None], kernel, SIGMA_Y, seen) < 1
    assert steepness(page[None, :, 3:-3], kernel, SIGMA_Y, seen) > 1.5


def test_halves_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read = observe(torch.from_numpy(blurred()).float(), "blur", "auto", None, "linear", Notes())
    monkeypatch.setattr(AnyKernel, "__call__", lambda *_: FoundKernel(bent(), bent(), 0.1, 5.0))
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    with pytest.raises(BadInput, match="nothing in common"):
        blind_kernel(read, SIGMA_Y, search=SMALL)


def test_where_no_blur_explains_the_picture_as_well_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    read = observe(torch.from_numpy(blurred()).float(), "blur", "auto", None, "linear", Notes())
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    for gain, alike, shape, said in (
        (2.0, 0.9, (1, 1), "it is sharp, or its blur cannot be told"),
        (-330.0, 0.5, (1, 1), "it is sharp, or its blur cannot be told"),  # a search that failed looks like that
        (40.0, 0.45, (7, 7), "the two halves of the picture tell different ones"),
        (35.0, 0.9, (7, 7), "little better than no blur"),
        (35.0, 0.45, (1, 1), "it is sharp, or its blur cannot be told"),  # nothing speaks for it, as of sharp stripes
        (40.0, 0.9, (7, 7), None),
    ):
        monkeypatch.setattr(
            AnyKernel, "__call__", lambda *_, like=alike, gain=gain: FoundKernel(bent(), bent(), like, gain)
        )
        found = blind_kernel(read, SIGMA_Y, search=SMALL)
        assert found.kernel.shape == shape
        assert (found.doubt is None) == (said is None)
        assert said is None or said in str(found.doubt)


def test_a_kernel_as_narrow_as_photographs_differ_by_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sharp photographs kernels with one large tap are found, which explain them far better than none."""
    read = observe(torch.from_numpy(blurred()).float(), "blur", "auto", None, "linear", Notes())
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    soft = np.pad([[0.0, 0.1, 0.05], [0.15, 0.4, 0.15], [0.05, 0.1, 0.0]], 2)
    for kernel, none in ((soft, True), (bent(), False)):
        monkeypatch.setattr(AnyKernel, "__call__", lambda *_, k=kernel: FoundKernel(k, k / 10, 0.9, 140.0))
        assert blind_kernel(read, SIGMA_Y, search=SMALL).none == none


def test_halves_that_contradict_are_no_sharp_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    read = observe(torch.from_numpy(blurred()).float(), "blur", "auto", None, "linear", Notes())
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    monkeypatch.setattr(AnyKernel, "__call__", lambda *_: FoundKernel(bent(), bent(), 0.1, -330.0))
    with pytest.raises(BadInput, match="nothing in common"):
        blind_kernel(read, SIGMA_Y, search=SMALL)


def test_where_the_search_fails_a_straight_motion_is_still_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    read = observe(torch.from_numpy(blurred()).float(), "blur", "auto", None, "linear", Notes())
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(AnyKernel, "__call__", lambda *_: FoundKernel(bent(), bent(), 0.9, -126.0))
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 60.0))
    assert blind_kernel(read, SIGMA_Y, search=SMALL).text == "a line"


def test_a_picture_in_which_no_blur_is_seen_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    monkeypatch.setattr(AnyKernel, "__call__", lambda *_: FoundKernel(bent(), bent(), 0.9, 2.0))
    y = torch.from_numpy(blurred()).float()
    found = restorekit.deblur(y, prior="natural-fast", noise="gaussian:0.02", notes=(notes := Notes()))
    assert found.nfe == 0
    torch.testing.assert_close(found.samples[0], y.to(found.samples), rtol=0, atol=1e-6)
    assert any("no blur is seen" in text for text in notes.texts)
    assert "its blur cannot be told" in found.notes[-1]


def test_a_blur_of_values_is_searched_for_in_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    y = np.rint(255 * blurred().clip(0, 1)).astype(np.uint8)
    Image.fromarray(y[0] if len(y) == 1 else np.moveaxis(y, 0, -1)).save(tmp_path / "y.png")
    seen: list[bool] = []

    def search(_: AnyKernel, values: np.ndarray, *__: object) -> FoundKernel:
        seen.append(bool(np.allclose(values, y / 255, atol=1e-6)))
        return FoundKernel(bent(), bent() / 100, 0.9, 40.0)

    monkeypatch.setattr("restorekit.tasks.blind_kernel._named", lambda *_: None)
    monkeypatch.setattr(Families, "__call__", lambda *_: Estimate(bent(), "a line", 5.0))
    monkeypatch.setattr(AnyKernel, "__call__", search)
    monkeypatch.setattr("restorekit.tasks.deblur.simulated", lambda *_: True)
    found = restorekit.deblur(tmp_path / "y.png", prior="natural-fast", noise="gaussian:0.02", steps=2, notes=Notes())
    assert seen == [False, True]
    assert any("transfer: linear" in text or "values" in text for text in found.notes)
    wrong, contested = "the light of the picture tells another", "pictures explain the values of the file better"
    for light, doubt in ((61.0, wrong), (59.0, ""), (90.0, contested)):  # in ln p, beside 60 of the values
        gains = iter([light, 60.0])
        monkeypatch.setattr(AnyKernel, "__call__", lambda *_, g=gains: FoundKernel(bent(), bent() / 100, 0.9, next(g)))
        found = restorekit.deblur(
            tmp_path / "y.png", prior="natural-fast", noise="gaussian:0.02", steps=2, notes=Notes()
        )
        assert [text for text in (wrong, contested) if text in found.notes[-1]] == [doubt] * bool(doubt)
    for alike, kept in ((0.9, True), (0.45, False)):  # a kernel of light stays where its halves are alike
        gains = iter([60.0, -330.0])  # in light, and in values, where nothing is found
        monkeypatch.setattr(
            AnyKernel, "__call__", lambda *_, a=alike, g=gains: FoundKernel(bent(), bent() / 100, a, next(g))
        )
        found = restorekit.deblur(
            tmp_path / "y.png", prior="natural-fast", noise="gaussian:0.02", steps=2, notes=Notes()
        )
        assert any("no blur is seen" in text for text in found.notes) != kept
        assert (found.nfe > 0) == kept


@pytest.mark.parametrize(
    ("light", "values", "taken"),
    [
        ((355.0, 0.9), (269.0, 0.9), True),  # sharp stripes, whose values pictures explain better
        ((355.0, 0.45), (66.0, 0.7), True),  # doubted, and still the likelier one
        ((304.0, 0.64), (298.0, 0.66), False),  # values that were blurred: about as likely
        ((61.0, 0.9), (180.0, 0.9), False),
        ((60.0, 0.9), None, True),
        ((60.0, 0.45), None, False),
        (None, (66.0, 0.7), False),
    ],
)
def test_light_is_kept_where_it_tells_its_kernel_surely(
    light: tuple[float, float] | None, values: tuple[float, float] | None, taken: bool
) -> None:
    def found(what: tuple[float, float] | None) -> BlindKernel:
        gain, alike = what or (400.0, 0.9)
        return BlindKernel(FoundKernel(bent(), bent() / 100, alike, gain), none=what is None)

    assert light_tells_it(found(light), found(values)) == taken


def test_the_error_of_the_kernel_counts_as_noise() -> None:
    assert float(with_misfit(Gaussian(0.01), 0.005).sigma) == pytest.approx(np.hypot(0.01, 0.005), rel=1e-3)
    varying = with_misfit(Gaussian(torch.tensor([0.01, 0.02])), 0.005)
    assert isinstance(varying.sigma, torch.Tensor)
    torch.testing.assert_close(varying.sigma, torch.tensor([0.01, 0.02]).square().add(0.005**2).sqrt())
    own = FoundKernel(bent(), bent(), 0.9, 60.0, 0.005)
    assert BlindKernel(own).misfit == 0.005
    assert BlindKernel(own, Estimate(bent(), "a line", 60.0)).misfit == 0
    assert BlindKernel(own).doubt is None
    assert "halves" in str(BlindKernel(FoundKernel(bent(), bent(), 0.4, 60.0)).doubt)
    assert BlindKernel(FoundKernel(bent(), bent(), 0.65, 60.0)).doubt is None
    assert "halves" in str(BlindKernel(FoundKernel(bent(), bent(), 0.65, 60.0), small=True).doubt)
    assert "little better than no blur" in str(BlindKernel(FoundKernel(bent(), bent(), 0.9, 35.0)).doubt)


def test_a_found_kernel_that_is_given_again_is_as_far_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", blurred()[0].astype(np.float32))
    found = FoundKernel(bent(), bent() / 100, 0.9, 60.0, 0.005)
    monkeypatch.setattr("restorekit.tasks.deblur.blind_kernel", lambda *_: BlindKernel(found))
    told = {"prior": "natural-fast", "noise": "gaussian:0.01", "steps": 2}
    first = restorekit.deblur(tmp_path / "y.npy", notes=Notes(), **told)
    first.save(tmp_path / "x.npy")
    with overwriting(False), pytest.raises(BadInput, match=r"x_kernel\.npy belongs to x\.npy, and would be replaced"):
        restorekit.deblur(tmp_path / "y.npy", notes=Notes(), out=tmp_path / "x.tif", **told)
    assert "alike to 0.90" in BlindKernel(found).text
    counted = "noise: gaussian:0.01118, with what the error of the kernel does to the picture"
    assert counted in first.notes
    assert any("may lie a few pixels off" in text for text in first.notes)
    kernel = tmp_path / "x_kernel.npy"
    again = restorekit.deblur(tmp_path / "y.npy", kernel=kernel, notes=Notes(), **told)
    assert counted in again.notes
    assert any("found by an earlier run" in text for text in again.notes)
    torch.testing.assert_close(again.samples, first.samples)
    drawn = restorekit.deblur(
        tmp_path / "y.npy", kernel=tmp_path / "x_kernel.png", notes=Notes(), **told
    )  # is enlarged
    torch.testing.assert_close(drawn.samples, first.samples)
    np.save(kernel, np.load(kernel) * 2)  # another file, of which the record knows nothing
    assert counted not in restorekit.deblur(tmp_path / "y.npy", kernel=kernel, notes=Notes(), **told).notes


def test_the_largest_group_of_taps_stays_however_many_there_are() -> None:
    scattered = np.zeros((9, 9))
    scattered[::2, ::2] = 1.0  # 25 taps, each below a tenth of the sum
    kept = without_noise(scattered, 0.05, 0.05, 0.1)
    assert kept.sum() == pytest.approx(1)
    scattered[4, 4] = 2.0
    assert without_noise(scattered, 0.05, 0.05, 0.1)[4, 4] == 1
