"""The parts of `restorekit priors eval` against what is known: formulas, loops, sets made to be alike or not."""

from __future__ import annotations

import io as memory
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor, nn

from restorekit.bench.priors.eval_neighbours import NEXT, Nearest, neighbours, turn, turns, unturn
from restorekit.bench.priors.eval_pictures import PictureSet, as_bands, windows
from restorekit.bench.priors.eval_sets import FeatureNet, set_row
from restorekit.errors import BadInput
from restorekit.metrics.precision_recall import precision_recall, radii

RNG = np.random.default_rng(0)


def points(n: int, d: int = 3, at: float = 0.0, std: float = 1.0, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return at + std * torch.randn(n, d, generator=rng, dtype=torch.float64)


def png(x: np.ndarray) -> bytes:
    out = memory.BytesIO()
    Image.fromarray(x).save(out, "png")
    return out.getvalue()


def pictures(count: int, h: int = 20, w: int = 24, seed: int = 0) -> list[np.ndarray]:
    """Smooth random colour pictures, all different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 5, 6, 3), np.uint8)
    return [np.asarray(Image.fromarray(s).resize((w, h), Image.Resampling.BICUBIC)) for s in small]


def folder(path: Path, made: list[np.ndarray]) -> Path:
    path.mkdir(parents=True)
    for i, x in enumerate(made):
        (path / f"{i:03d}.png").write_bytes(png(x))
    return path


class Colours(nn.Module):
    """Mean and deviation of each band: features with a formula."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


NET = FeatureNet(Colours(), "colours", "0" * 64, False)


# --- precision and recall ---


def _by_the_definition(data: np.ndarray, samples: np.ndarray, k: int) -> tuple[float, float]:
    def inside(points: np.ndarray, centres: np.ndarray) -> float:
        hits = 0
        for p in points:
            for c in centres:
                others = sorted(np.linalg.norm(centres - c, axis=1))  # the first is c itself
                hits += bool(np.linalg.norm(p - c) <= others[k])
                if np.linalg.norm(p - c) <= others[k]:
                    break
        return hits / len(points)

    return inside(samples, data), inside(data, samples)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_the_definition(k: int) -> None:
    data, samples = points(40), points(30, at=0.8, std=0.7, seed=1)
    found = precision_recall(data, samples, k)
    assert found == pytest.approx(_by_the_definition(data.numpy(), samples.numpy(), k))
    assert 0 < found[1] < found[0] < 1  # so that both sides are told apart


def test_equal_sets_have_both_and_apart_ones_neither() -> None:
    a = points(700)  # more than a block of distances
    assert precision_recall(a, a.clone()) == (1, 1)
    assert precision_recall(a, a + 100) == (0, 0)


def test_a_dropped_mode_costs_recall_and_bad_samples_cost_precision() -> None:
    modes = torch.cat([points(100, at=-10), points(100, at=10, seed=1)])
    half = points(200, at=10, seed=2)
    precision, recall = precision_recall(modes, half)
    assert precision > 0.8
    assert 0.3 < recall < 0.52  # half of the data are in the other mode
    precision, recall = precision_recall(half, modes)
    assert 0.3 < precision < 0.52
    assert recall > 0.8


def test_the_radius_leaves_the_point_itself_out() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(line, 1).tolist() == [1, 1, 2, 4]
    assert radii(line, 3).tolist() == [7, 6, 4, 7]
    with pytest.raises(BadInput, match="at least 5"):
        radii(line, 4)


# --- distances of sets ---


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    sa, sb = np.cov(a.T), np.cov(b.T)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(sa + sb - 2 * np.real(sqrtm(sa @ sb))))


def _kernel(a: np.ndarray, b: np.ndarray) -> float:
    n, kernel = len(a), lambda s, t: (s @ t.T / s.shape[1] + 1) ** 3
    off = lambda m: (m.sum() - np.trace(m)) / (n * (n - 1))
    return float(off(kernel(a, a)) + off(kernel(b, b)) - 2 * kernel(a, b).mean())


def test_distances_of_sets_are_those_of_their_formulas() -> None:
    data, found = points(60, 5), points(90, 5, at=0.4, std=1.3, seed=1)
    before = torch.random.get_rng_state()
    row = set_row("x", found, data)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (row.name, row.n) == ("x", 90)
    assert row.frechet == pytest.approx(_frechet(found.numpy(), data.numpy()), rel=1e-8)
    assert row.kernel == pytest.approx(_kernel(found[:60].numpy(), data.numpy()), rel=1e-8)
    assert (row.precision, row.recall) == precision_recall(data, found[:60])
    assert set_row("x", found, data) == row


def test_equal_sets_are_nearer_than_different_ones() -> None:
    data = points(80, 4)
    same, law, other = (set_row("x", f, data) for f in (data, points(80, 4, seed=1), points(80, 4, at=2, seed=1)))
    assert same.frechet == pytest.approx(0, abs=1e-8)
    assert (same.precision, same.recall) == (1, 1)
    assert same.frechet < law.frechet < 0.1 * other.frechet
    assert law.kernel < 0.1 * other.kernel
    assert law.precision > 0.7 > other.precision
    assert law.recall > 0.7 > other.recall
    with pytest.raises(BadInput, match="too few"):
        set_row("x", data[:3], data)


# --- feature networks ---


def test_features_of_the_shipped_prior_are_not_called_fid() -> None:
    net = FeatureNet.of("natural-fast", (16, 16))
    assert net.fid == "Fréchet distance (not FID)"
    assert net.kid == "kernel distance (not KID)"
    assert len(net.sha256) == 64
    grey = RNG.random((3, 1, 16, 16)).astype(np.float32)
    found = net(grey)
    assert found.shape == (3, net.dimension)
    assert found.dtype == torch.float64
    torch.testing.assert_close(net(np.repeat(grey, 3, 1), batch=2), found, rtol=1e-4, atol=1e-5)


def test_the_published_inception_is_given_bytes_and_asked_for_features(tmp_path: Path) -> None:
    class Published(nn.Module):
        def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
            assert img.dtype == torch.uint8
            flat = img.float().flatten(1)
            return flat[:, :4] if return_features else flat.sum(1, keepdim=True)

    torch.jit.script(Published()).save(str(tmp_path / "i.pt"))  # type: ignore[union-attr]
    net = FeatureNet.of(str(tmp_path / "i.pt"), (4, 4))
    assert (net.fid, net.kid, net.dimension) == ("FID", "KID", 4)
    x = (np.arange(48).reshape(1, 3, 4, 4) / 255).astype(np.float32)
    assert net(x).tolist() == [[0, 1, 2, 3]]


def test_other_networks_are_not_fid_and_nan_is_refused(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - 0.5).mean((2, 3)).sqrt()

    torch.jit.trace(Colours(), torch.rand(2, 3, 8, 8)).save(str(tmp_path / "c.pt"))  # type: ignore[union-attr]
    torch.jit.trace(Broken(), torch.rand(2, 3, 8, 8)).save(str(tmp_path / "b.pt"))  # type: ignore[union-attr]
    assert "not FID" in FeatureNet.of(str(tmp_path / "c.pt"), (8, 8)).fid
    with pytest.raises(BadInput, match="gives NaN"):
        FeatureNet.of(str(tmp_path / "b.pt"), (8, 8))(np.zeros((2, 3, 8, 8), np.float32))
    (tmp_path / "pt_inception-2015-12-05.pth").write_bytes(b"no")
    with pytest.raises(BadInput, match=r"torch-fidelity|not the weights"):
        FeatureNet.of(str(tmp_path / "pt_inception-2015-12-05.pth"), (8, 8))
    (tmp_path / "x.pt").write_bytes(b"no")
    with pytest.raises(BadInput, match="not a TorchScript file"):
        FeatureNet.of(str(tmp_path / "x.pt"), (8, 8))
    with pytest.raises(BadInput, match="no such file; give a TorchScript network"):
        FeatureNet.of("nope.pt", (8, 8))


# --- pictures ---


def test_a_folder_and_its_zip_are_one_set(tmp_path: Path) -> None:
    made = pictures(7)
    place = folder(tmp_path / "a", made)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for path in sorted(place.iterdir()):
            z.write(path, path.name)
    a, b = PictureSet.read(place), PictureSet.read(tmp_path / "a.zip")
    assert a.names == b.names
    assert a.sha256 == b.sha256
    assert all((x == y).all() and (x == m).all() for x, y, m in zip(a.pictures, b.pictures, made))
    some = PictureSet.read(place, 3)
    assert some.names == ("000.png", "002.png", "004.png")  # spread over the names
    assert PictureSet.read(tmp_path / "a.zip", 3).sha256 == some.sha256 != a.sha256
    assert a.some(3).names == some.names
    assert a.some(99).names == a.names


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", pictures(2))
    (place / "z.png").write_bytes(b"no picture")
    found = PictureSet.read(place)
    assert len(found) == 2
    assert found.broken[0].startswith("z.png: ")
    with pytest.raises(BadInput, match="no such file or folder"):
        PictureSet.read(tmp_path / "nope")
    folder(tmp_path / "b", []).joinpath("z.png").write_bytes(b"no")
    with pytest.raises(BadInput, match=r"no pictures that can be read; the first: z\.png"):
        PictureSet.read(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as z:
        z.writestr("a.png", png(pictures(1)[0]))
    data = bytearray((tmp_path / "c.zip").read_bytes())
    data[60] ^= 255  # in the picture, whose checksum is in the zip
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(BadInput, match="a zip that cannot be read"):
        PictureSet.read(tmp_path / "c.zip")


def test_crops_are_functions_of_the_name_and_fit(tmp_path: Path) -> None:
    made = pictures(6)
    found = PictureSet.read(folder(tmp_path / "a", made))
    crops = found.crops((8, 10), 3)
    assert crops.shape == (6, 3, 8, 10)
    np.testing.assert_array_equal(PictureSet.read(tmp_path / "a", 3).crops((8, 10), 3), crops[::2])
    for x, crop in zip(made, crops):  # somewhere in its picture
        view = np.lib.stride_tricks.sliding_window_view(x.transpose(2, 0, 1) / 255, (8, 10), (1, 2))
        assert np.isclose(view, crop[:, None, None], atol=1e-6).all((0, 3, 4)).any()
    corners = [np.isclose(x[:8, :10].transpose(2, 0, 1) / 255, c, atol=1e-6).all() for x, c in zip(made, crops)]
    assert not all(corners)
    np.testing.assert_allclose(found.crops((20, 24), 1)[0, 0], made[0] @ [0.299, 0.587, 0.114] / 255, atol=1e-6)
    with pytest.raises(BadInput, match="give `size=20x24`"):
        found.crops((21, 24), 3)
    with pytest.raises(BadInput, match="give `bands=1` or 3"):
        as_bands(made[0], 4)
    middle = dict(found.centres(6, 3))["000.png"]
    np.testing.assert_allclose(middle, made[0][7:13, 9:15].transpose(2, 0, 1) / 255, atol=1e-6)
    assert [x.shape for _, x in found.centres(0, 1)] == [(1, 20, 24)] * 6


@pytest.mark.parametrize("shape", [(8, 10), (16, 20), (17, 29), (8, 11)])
def test_windows_cover_the_picture(shape: tuple[int, int]) -> None:
    seen = np.zeros(shape, int)
    for rows, columns in windows(shape, (8, 10)):
        assert seen[rows, columns].shape == (8, 10)
        seen[rows, columns] += 1
    assert seen.min() == 1
    assert (shape[0] % 8 + shape[1] % 10 > 0) or seen.max() == 1


# --- neighbours ---


def test_turns_are_eight_and_have_their_inverses() -> None:
    x = np.arange(9.0).reshape(1, 3, 3)
    seen = {turn(x, t).tobytes() for t in turns((3, 3))}
    assert len(seen) == 8
    assert all((unturn(turn(x, t), t) == x).all() for t in range(8))
    wide = np.arange(6.0).reshape(1, 2, 3)
    assert {turn(wide, t).shape for t in turns((2, 3))} == {(1, 2, 3)}
    assert len({turn(wide, t).tobytes() for t in turns((2, 3))}) == 4


def test_the_nearest_are_those_of_a_loop() -> None:
    queries, keys, sizes = points(2 * 5, 4).view(2, 5, 4), points(11, 4, seed=1), [2, 1, 3, 1, 4]
    nearest = Nearest(queries, keep=4)
    nearest.add(keys[:3], sizes[:2])
    nearest.add(keys[3:], sizes[2:])
    for i in range(5):
        found = []
        for number, first in enumerate(np.cumsum([0, *sizes[:-1]])):
            options = [
                (float((queries[t, i] - keys[first + w]).norm()), number, w, t)
                for w in range(sizes[number])
                for t in (0, 1)
            ]
            found.append(min(options))
        expected = sorted(found)[:4]
        np.testing.assert_allclose(nearest.distances[i], [e[0] for e in expected], rtol=1e-9)
        assert nearest.found[i].tolist() == [list(e[1:]) for e in expected]
        assert nearest.ratios[i] == pytest.approx(expected[0][0] / np.mean([e[0] for e in expected[1:]]))


def test_copies_stand_out_even_turned_and_from_a_larger_picture(tmp_path: Path) -> None:
    train = PictureSet.read(folder(tmp_path / "train", pictures(60, 16, 32)))
    held = np.stack([as_bands(x, 3) for x in pictures(12, 16, 16, seed=1)])
    new = np.stack([as_bands(x, 3) for x in pictures(10, 16, 16, seed=2)])
    copies = np.stack([turn(as_bands(train.pictures[i][:, 16 * (i % 2) :][:, :16], 3), i) for i in range(2, 10)])
    noisy = (copies + 0.01 * RNG.standard_normal(copies.shape)).astype(np.float32)
    told: list[tuple[int, int]] = []
    found = neighbours(np.concatenate([new, noisy]), held, train, NET, lambda *c: told.append(c))
    assert found.seen == 120
    assert told[-1] == (60, 60)
    for nearest in (found.features["samples"], found.pixels["samples"]):
        assert nearest.found[10:, 0, 0].tolist() == list(range(2, 10))
        assert nearest.distances.shape == (18, NEXT + 1)
    assert found.pixels["samples"].found[10:, 0, 1].tolist() == [i % 2 for i in range(2, 10)]
    pixels = found.figures()["pixels"]
    assert pixels["samples"]["below"] >= 8  # the copies, and a new one by chance
    assert pixels["samples"]["below"] <= 10
    assert pixels["held out"]["below"] == 1  # of 12 the least is below the quantile between it and the next
    assert pixels["samples"]["ratio_least"] < 0.1 < pixels["held out"]["ratio_least"]
    assert pixels["samples"]["least"] == pytest.approx(0.01, rel=0.1)  # the noise, root mean square
    assert set(found.order()[:8].tolist()) == set(range(10, 18))

    clean = neighbours(new, held, train, NET).figures()["pixels"]
    assert clean["samples"]["below"] <= 2
    strip = found.strip(rows=3)
    assert strip.shape == (3, 3 * 18 - 2, 9 * 18 - 2)
    first = int(found.order()[0])
    sample, by_features, by_pixels = (strip[:, :16, 18 * c : 18 * c + 16] for c in (0, 2, 6))
    np.testing.assert_array_equal(sample, found.samples[first])
    np.testing.assert_allclose(by_pixels, copies[first - 10], atol=1e-6)  # turned as the sample is
    assert by_features.shape == (3, 16, 16)


def test_neighbours_refuse_what_is_too_small(tmp_path: Path) -> None:
    few = PictureSet.read(folder(tmp_path / "a", pictures(2)))
    x = np.zeros((4, 3, 16, 16), np.float32)
    with pytest.raises(BadInput, match="at least 3"):
        neighbours(x, x, few, NET)
    with pytest.raises(BadInput, match="give `size=20x24`"):
        neighbours(np.zeros((4, 3, 32, 32), np.float32), x, few, NET)


def test_equal_pictures_have_no_ratio_to_speak_of() -> None:
    same = Nearest(torch.zeros(1, 2, 4))
    same.add(torch.zeros(3, 4), [1, 1, 1])
    assert same.ratios.tolist() == [1, 1]
