"""Pictures and patches of a run: what is read, skipped, cached, and drawn."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from restorekit.priors.formats.checkpoint import read_spec
from restorekit.training.config import Data, NoiseLevels, read_config
from restorekit.training.data import cache as decoding
from restorekit.training.data.cache import Pictures
from restorekit.training.data.patches import Patches, log_intensity
from restorekit.training.loop import train
from tests.support.training_runs import TINY, mixed_pictures, same_weights


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return mixed_pictures(tmp_path / "pictures")


def patches(source: Pictures, seed: int = 0, flips: bool = True, **noise: float) -> Patches:
    return Patches(source, Data(crop=16, flips=flips), NoiseLevels(**noise), seed)


def test_a_folder_and_its_zip_are_the_same_pictures(pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for path in sorted(pictures.rglob("*")):
            z.write(path, path.relative_to(pictures))
    first, second = Pictures.open(pictures, tmp_path / "one"), Pictures.open(archive, tmp_path / "two")
    assert len(first) == 6
    assert first.shapes.tolist() == [[20, 31], [40, 17], [25, 33], [18, 18], [9, 50], [24, 24]]
    assert first.fingerprint == second.fingerprint
    assert bytes(first.pixels) == bytes(second.pixels)
    grey = np.asarray(iio.imread(pictures / "b.png"))
    assert all(np.array_equal(first[1][..., band], grey) for band in range(3))
    assert np.array_equal(first[3][..., 0], iio.imread(pictures / "deep/c.png") >> 8)
    assert np.array_equal(first[0], iio.imread(pictures / "a.png"))
    assert len(first.at_least(18)) == 4  # those of 17 and of 9 pixels are too small
    with pytest.raises(ValueError, match="crop=99; choose a smaller crop"):
        first.at_least(99)
    with pytest.raises(ValueError, match=r"smaller than data\.crop x data\.shrink = 33 x 3; choose"):
        first.at_least(33, 3)
    assert first.at_least(6, 3).shapes.tolist() == first.at_least(18).shapes.tolist()


@pytest.mark.parametrize("source", ["empty", "missing", "broken"])
def test_unusable_sources_are_told_in_one_line(source: str, tmp_path: Path) -> None:
    folder = tmp_path / source
    if source != "missing":
        folder.mkdir()
    if source == "broken":
        (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing of the kind")
    with pytest.raises(ValueError) as caught:
        Pictures.open(folder, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert ("bad.png" if source == "broken" else source) in str(caught.value)
    assert not (tmp_path / "cache" / "pictures.json").exists()  # a later call does not take half a cache for a whole


def test_broken_files_are_skipped_counted_and_told(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Pictures.open(pictures, tmp_path / "whole")
    cut = (pictures / "a.png").read_bytes()
    (pictures / "cut.png").write_bytes(cut[: len(cut) // 2])
    (pictures / "garbage.jpg").write_bytes(b"nothing of the kind")
    (pictures / "empty.png").write_bytes(b"")
    iio.imwrite(pictures / "float.tif", np.zeros((30, 30), np.float32))
    rest = Pictures.open(pictures, tmp_path / "rest")
    assert rest.fingerprint == whole.fingerprint
    assert rest.names == whole.names
    assert bytes(rest.pixels) == bytes(whole.pixels)
    assert [name.partition(":")[0] for name in rest.broken] == ["cut.png", "empty.png", "float.tif", "garbage.jpg"]
    assert "4 of 10 pictures skipped: cut.png: " in caplog.text
    assert "and 1 more" in caplog.text


def test_small_pictures_are_left_out_counted_and_told(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    config = read_config(tmp_path / "tiny.yaml", **{"optim.steps": 1, "data.crop": 8, "data.shrink": 3})
    path = train(config, pictures, tmp_path / "run", quiet=True)
    assert caplog.messages == ["4 of 6 pictures smaller than 24 left out: a.png; b.png; deep/c.png and 1 more"]
    whole = Pictures.open(pictures, tmp_path / "cache")
    rest = whole.at_least(24)
    assert (rest.names, rest.small) == (("d.tif", "f.png"), ("a.png", "b.png", "deep/c.png", "e.png"))
    assert rest.at_least(24).about("in") == rest.about("in")
    about = f"pictures: 2 pictures, sha256 {whole.fingerprint} of all 6, 4 smaller than 24 left out"
    assert read_spec(path).data == about
    assert whole.at_least(9).about("in") == f"in: 6 pictures, sha256 {whole.fingerprint}"
    assert (
        train(
            read_config(tmp_path / "tiny.yaml", **{"optim.steps": 2, "data.crop": 8, "data.shrink": 3}),
            pictures,
            tmp_path / "run",
            resume=True,
            quiet=True,
        )
        == path
    )


def test_several_sources_are_one(pictures: Path, tmp_path: Path) -> None:
    one = Pictures.open([pictures], tmp_path / "one")
    both = Pictures.open([pictures, pictures / "deep"], tmp_path / "both")
    assert len(both) == len(one) + 1
    assert both.names[-1] == "c.png"
    assert np.array_equal(both[-1], one[one.names.index("deep/c.png")])


@pytest.mark.filterwarnings("error")
def test_a_law_far_from_its_ends_stays_within_them(pictures: Path, tmp_path: Path) -> None:
    drawn = patches(Pictures.open(pictures, tmp_path / "cache").at_least(16), log_mean=1e3, wide=0.0)
    assert {drawn.item(i, False)[2] for i in range(4)} == {100.0}
    narrow = patches(drawn.pictures, log_std=1e-320, wide=0.0)
    assert narrow.item(0, False)[2] == pytest.approx(np.exp(-1.9))


def test_log_intensity_takes_grey_levels_for_amplitudes(pictures: Path, tmp_path: Path) -> None:
    level = np.array([0, 1, 64, 255], np.float32) / 255
    assert np.allclose(log_intensity(level), 2 * np.log((np.array([0, 1, 64, 255]) + 1) / 256), atol=1e-6)
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    plain = Patches(source, Data(crop=16, gain=0, contrast=0), NoiseLevels(), 0, "log-intensity")
    grey = Patches(source, Data(crop=16), NoiseLevels(), 0)
    for i in range(4):
        u, g = plain.item(i, True)[0], grey.item(i, True)[0]
        assert np.abs(128 * np.exp(u / 2) - 127.5 * g - 0.25 - 0.25).max() <= 0.2501  # half a level each way
    varied = Patches(source, Data(crop=16, gain=0.5, contrast=0), NoiseLevels(), 0, "log-intensity")
    shifts = np.array([(varied.item(i, True)[0] - plain.item(i, True)[0]).mean() for i in range(200)])
    assert abs(shifts.mean()) < 0.12
    assert abs(shifts.std() - 0.5) < 0.1
    stretched = Patches(source, Data(crop=16, gain=0, contrast=0.2), NoiseLevels(), 0, "log-intensity")
    u, v = plain.item(3, True)[0], stretched.item(3, True)[0]
    assert abs(u.mean() - v.mean()) < 1e-4
    assert np.allclose(v - v.mean(), v.std() / u.std() * (u - u.mean()), atol=1e-4)


def test_a_batch_is_a_function_of_seed_and_index(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    x0, noise, sigma = patches(source).batch(10, 6, grey=False)
    for i in range(6):
        alone = patches(source).batch(10 + i, 1, grey=False)
        assert torch.equal(alone[0][0], x0[i])
        assert torch.equal(alone[1][0], noise[i])
        assert float(alone[2][0]) == float(sigma[i])
    assert not torch.equal(patches(source, seed=1).batch(10, 6, grey=False)[1], noise)
    assert x0.shape == (6, 3, 16, 16)
    assert x0.dtype == noise.dtype == sigma.dtype == torch.float32
    assert 0 <= float(x0.min()) <= float(x0.max()) <= 1
    grey = patches(source).batch(10, 6, grey=True)[0]
    luma = (x0 * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(grey, luma, rtol=0, atol=1e-6)  # float32 sums of three


def test_noise_levels_follow_the_declared_law(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    narrow = patches(source, wide=0.0, sigma_min=1e-9, sigma_max=1e9)
    logs = np.log([narrow.item(i, True)[2] for i in range(1000)])
    assert abs(logs.mean() + 1.9) < 4 * 1.2 / np.sqrt(1000)  # four standard errors, here and below
    assert abs(logs.std() - 1.2) < 4 * 1.2 / np.sqrt(2000)


def test_a_share_of_the_noise_levels_is_log_uniform(pictures: Path, tmp_path: Path) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    mixed = patches(source, wide=0.3, log_mean=0.0, log_std=1e-6, sigma_min=np.exp(-3.0), sigma_max=np.exp(5.0))
    logs = np.log([mixed.item(i, True)[2] for i in range(1000)])
    wide = logs[np.abs(logs) > 1e-4]  # the others are at log_mean
    assert abs(len(wide) / 1000 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)  # four standard errors, here and below
    assert abs(wide.mean() - 1.0) < 4 * 8 / np.sqrt(12 * 300)
    assert -3 <= wide.min() < -2.7 < 4.7 < wide.max() <= 5


@pytest.mark.parametrize(("flips", "views"), [(True, 8), (False, 1)])
def test_flips_show_a_picture_in_all_eight_positions(flips: bool, views: int, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    iio.imwrite(tmp_path / "one" / "a.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    one = patches(Pictures.open(tmp_path / "one", tmp_path / "cache"), flips=flips)
    found = {one.item(i, True)[0].tobytes() for i in range(100)}  # one of eight is missed with chance 8 (7/8)^100
    assert len(found) == views


@pytest.mark.parametrize(("by_area", "share"), [(False, 0.5), (True, 0.8)])
def test_large_pictures_are_drawn_as_often_as_their_area_asks(by_area: bool, share: float, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    for name, side, level in (("a", 32, 255), ("b", 16, 0)):  # four times the area, 4 of 5 pixels
        iio.imwrite(tmp_path / "two" / f"{name}.png", np.full((side, side), level, np.uint8))
    source = Pictures.open(tmp_path / "two", tmp_path / "cache")
    drawn = replace(patches(source), data=Data(crop=16, by_area=by_area))
    large = np.mean([drawn.item(i, True)[0].mean() for i in range(400)])
    assert abs(large - share) < 4 * np.sqrt(share * (1 - share) / 400)  # four standard errors


def test_pictures_are_reduced_by_random_factors_as_far_as_they_are_large(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    for name, height in (("large", 64), ("small", 24)):  # brightness rises by 3 levels a row
        iio.imwrite(
            tmp_path / "steps" / f"{name}.png", np.repeat(3 * np.arange(height)[:, None], 64, 1).astype(np.uint8)
        )
    source = Pictures.open(tmp_path / "steps", tmp_path / "cache")
    slopes: dict[str, list[float]] = {"large": [], "small": []}
    drawn = replace(patches(source), data=Data(crop=16, flips=False, zoom=3.0))
    for i in range(200):
        x0 = drawn.item(i, True)[0][0]
        assert x0.shape == (16, 16)
        number = int(np.random.Generator(np.random.Philox(key=[0, i])).integers(2))
        slopes[Path(source.names[number]).stem].append(float((x0[11] - x0[4]).mean()) * 255 / 7 / 3)  # not at the rim
    assert 0.97 < min(slopes["large"]) < 1.1
    assert 2.7 < max(slopes["large"]) < 3.1
    assert abs(np.mean(np.log(slopes["large"])) - np.log(3) / 2) < 0.15  # ln of the factor is uniform
    assert max(slopes["small"]) < 1.6  # 24 rows


@pytest.mark.parametrize("settings", [{"by_area": True}, {"zoom": 1.5}])
def test_how_patches_are_drawn_is_a_function_of_seed_and_index(
    settings: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    source = Pictures.open(pictures, tmp_path / "cache").at_least(16)
    drawn = [replace(patches(source), data=Data(crop=16, **settings)) for _ in range(2)]
    x0 = drawn[0].batch(10, 6, grey=False)[0]
    assert all(torch.equal(drawn[1].batch(10 + i, 1, grey=False)[0][0], x0[i]) for i in reversed(range(6)))
    assert not torch.equal(*(p.batch(0, 40, grey=True)[0] for p in (drawn[0], patches(source))))


def test_moments_are_those_of_all_folders_and_sources(tmp_path: Path) -> None:
    for name, level in (("dark", 0), ("light", 255)):
        (tmp_path / name).mkdir()
        for i in range(3):
            iio.imwrite(tmp_path / name / f"{i}.png", np.full((16, 16), level, np.uint8))
    sources = Pictures.open([tmp_path / "dark", tmp_path / "light"], tmp_path / "cache")
    assert sources.sigma_data(2) == pytest.approx((0.5, 0.5))
    assert (list(sources.some(2)), list(sources.some(9))) == ([0, 3], [0, 1, 2, 3, 4, 5])
    assert replace(sources, leading=True).sigma_data(2) == (0, 0)  # as runs did that began before states kept them


def test_runs_may_share_a_cache(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the link of docs/training.md."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    config = read_config(tmp_path / "tiny.yaml", **{"optim.steps": 1})
    first = train(config, pictures, Path("runs/mamba-256-low"), quiet=True)
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    subprocess.run(re.findall(r"^mkdir .* ln -s .*$", text, re.MULTILINE)[0], shell=True, check=True)
    monkeypatch.setattr(decoding, "_decode", lambda *rest: pytest.fail("decoded again"))
    again = train(config, pictures, Path("runs/mamba-256"), quiet=True)
    assert (tmp_path / "runs" / "mamba-256" / "cache").is_symlink()
    assert same_weights(first, again)
    more = read_config(tmp_path / "tiny.yaml", **{"optim.steps": 2})
    train(more, pictures, Path("runs/mamba-256"), resume=True, quiet=True)


def test_any_change_of_the_source_is_noticed(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, decoded = decoding._decode, []
    monkeypatch.setattr(decoding, "_decode", lambda source, *rest: decoded.append(source) or plain(source, *rest))
    place, time = tmp_path / "place", (pictures / "a.png").stat().st_mtime_ns
    changes = {
        "nothing before": lambda: pictures,
        "place": lambda: Path(shutil.copytree(pictures, place)),  # names, sizes and times are copied
        "size": lambda: (place / "a.png").open("ab").write(b"x") and os.utime(place / "a.png", ns=(0, time)),
        "time": lambda: os.utime(place / "a.png", ns=(0, time - 1)),
        "name": lambda: (place / "a.png").rename(place / "aa.png"),
    }
    for change in changes.values():
        change()
        source, before = (place if place.exists() else pictures), len(decoded)
        for _ in range(2):  # the second time it is as it was
            Pictures.open(source, tmp_path / "cache")
        assert len(decoded) == before + 1
