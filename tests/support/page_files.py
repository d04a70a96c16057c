"""Small files of the names that pages of the documentation use."""

from __future__ import annotations

import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_files(folder: Path) -> None:
    import numpy as np
    import skimage.data
    from PIL import Image

    photo = Image.fromarray(skimage.data.astronaut()[40:80, 190:226])
    for name in ("noisy.png", "holes.png", "blurred.tif", "small.png", "in.png", "photo.png", "rainy.png"):
        photo.save(folder / name)
    photo.save(folder / "photo.jpg", quality=60)
    photo.point(lambda v: 0.9 * v).save(folder / "network.png")
    (folder / "photos").mkdir()
    photo.save(folder / "photos" / "astronaut.png")
    photo.convert("L").save(folder / "grey.png")
    np.save(folder / "log.npy", np.random.default_rng(0).normal(-2, 1, (16, 16)).astype(np.float32))
    Image.fromarray(np.random.default_rng(0).random((40, 36)) > 0.3).save(folder / "mask.png")
    Image.fromarray((np.eye(5) * 255).astype(np.uint8)).save(folder / "k.png")
    for name in ("photos.zip", "test.zip"):
        with zipfile.ZipFile(folder / name, "w") as pack:
            skimage_photo = Image.fromarray(skimage.data.astronaut()[:128, :128])
            for i in range(2):
                with pack.open(f"{i}.png", "w") as f:
                    skimage_photo.save(f, "PNG")
    for name in ("configs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    make_pair(folder)


def make_many(folder: Path) -> None:
    """photos/a.png and more/b.png, with masks, truths and blurred pictures of the same stems, and a file of settings."""
    import numpy as np
    from PIL import Image

    photo = Image.open(folder / "photos" / "astronaut.png")
    for name in ("more", "masks", "blurred", "truths"):
        (folder / name).mkdir()
    for place in ("photos/a.png", "more/b.png", "blurred/a.png", *(f"truths/{n}.png" for n in ("a", "b", "astronaut"))):
        photo.save(folder / place)
    for name in ("a.png", "astronaut_mask.png"):
        Image.fromarray(np.random.default_rng(0).random((40, 36)) > 0.3).save(folder / "masks" / name)
    (folder / "mine.yaml").write_text("noise: gaussian:0.1\nprior: natural-fast\n", encoding="utf-8")


def make_pair(folder: Path, side: int = 144) -> None:
    """scene.tif, with speckle, and optical.tif, of one place."""
    import numpy as np
    import skimage.data

    from tests.support.scenes import write_tiff

    photo = skimage.data.astronaut()[:side, 100 : 100 + side]
    truth = 0.02 + photo.mean(2) / 255
    speckle = np.random.default_rng(0).gamma(4.0, 0.25, truth.shape)
    write_tiff(folder / "scene.tif", (truth * speckle).astype(np.float32))
    write_tiff(folder / "optical.tif", np.ascontiguousarray(np.moveaxis(photo, 2, 0)), photometric="RGB")


def make_rain(folder: Path) -> None:
    """photo.png without rain, rainy.png, derained.png with some of it left, rain.png, mask.png."""
    import numpy as np
    import skimage.data

    from restorekit.files.picture import write_picture
    from restorekit.rain.streaks import Streaks, fallen

    x = skimage.data.astronaut()[40:88, 190:250].transpose(2, 0, 1) / 255
    r = Streaks(density=0.1)((48, 60), np.random.default_rng(0))
    written = {"photo": x, "rainy": fallen(x, r), "derained": fallen(x, 0.3 * r), "rain": r[None].clip(0, 1)}
    for name, picture in {**written, "mask": (r > 0.2)[None].astype(float)}.items():
        write_picture(folder / f"{name}.png", picture)


def make_scenes(folder: Path, side: int = 64) -> None:
    """scene.tif in dB with the grain of Sentinel-1, slc.tif complex, amplitude.npy of one look."""
    import numpy as np
    import rasterio

    from restorekit.sar.speckle import SWATHS, draw

    rng, shape = np.random.default_rng(0), (side, side)
    truth = np.where(np.arange(side) < side // 2, 0.02, 0.1) * np.ones(shape)
    decibel = 10 * np.log10(truth * draw(shape, 4, SWATHS["iw2"], rng))
    field = np.sqrt(truth) * SWATHS["iw2"].field(*shape, rng)
    for name, x in (("scene.tif", decibel.astype(np.float32)), ("slc.tif", field.astype(np.complex64))):
        with rasterio.open(
            folder / name, "w", driver="GTiff", height=side, width=side, count=1, dtype=x.dtype.name, crs="EPSG:32631",
            transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6),
        ) as d:  # fmt: skip
            d.write(x, 1)
    np.save(folder / "amplitude.npy", np.sqrt(truth * draw(shape, 1, None, rng)).astype(np.float32))


def make_raw(folder: Path) -> None:
    """photo.dng, a raw file with a noise profile, and mosaic.tif, one colour of each pixel of a picture."""
    import numpy as np
    import skimage.data
    import tifffile

    from restorekit.operators.mosaic import sites
    from tests.support.raw_files import write_dng

    x = skimage.data.astronaut()[20:100, 180:280].transpose(2, 0, 1) / 255
    seen = np.take_along_axis(x, sites("rggb", *x.shape[1:]).numpy()[None], 0)[0]
    tifffile.imwrite(folder / "mosaic.tif", (seen * 65535).astype(np.uint16))
    values = 64 + 959 * (seen**2.2 + 0.01 * np.random.default_rng(0).standard_normal(seen.shape))
    write_dng(folder / "photo.dng", values.clip(0, 1023).astype(np.uint16), neutral=(1, 1, 1), profile=(1e-6, 1e-4))


def make_moved(folder: Path) -> None:
    """blurred.tif, a picture that was moved, and k.png, a kernel that is a little too short."""
    import numpy as np
    import skimage.data
    from scipy import ndimage

    from restorekit.blind.families import motion
    from restorekit.files.picture import write_picture

    x = skimage.data.astronaut()[20:120, 180:280].transpose(2, 0, 1) / 255
    y = np.stack([ndimage.convolve(band, motion(13, 30)) for band in x])[:, 12:-12, 12:-12]
    y += 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    write_picture(folder / "blurred.tif", y.astype(np.float32))
    write_picture(folder / "k.png", motion(11, 30)[None] / motion(11, 30).max())


def make_products(folder: Path) -> None:
    """S1.SAFE, a GRD, umbra.nitf, a SICD, gcov.h5, a product of NISAR, and cube.zarr."""
    import h5py
    import numpy as np
    import rasterio
    import zarr

    from tests.support.safe_products import SafeImage, SafeVector, flat_calibration, write_safe
    from tests.support.sicd_files import write_sicd

    with rasterio.open(folder / "slc.tif") as d:
        z = d.read(1)
    write_sicd(folder / "umbra.nitf", z)
    dn, (h, w) = np.rint(1000 * abs(z)).astype(np.uint16), z.shape
    image = SafeImage(
        dn,
        calibration=flat_calibration(h, w),
        noise=[SafeVector(0, (0, w - 1), {"noise": (0.0, 0.0)})],
        merged=[("IW1", 0, w - 1)],
    )
    write_safe(folder, [image]).rename(folder / "S1.SAFE")
    with h5py.File(folder / "gcov.h5", "w") as f:
        f["science/LSAR/GCOV/grids/frequencyA/HVHV"] = abs(z) ** 2
    cube = zarr.open_group(folder / "cube.zarr", mode="w").create_array("vv", shape=z.shape, dtype="float32")
    cube[...] = abs(z) ** 2


def make_halves(folder: Path) -> None:
    """iq.tif, real and imaginary part of slc.tif, polar.tif, its magnitude and phase, stretched.png, the dB of scene.tif in bytes."""
    import imageio.v3 as imageio
    import numpy as np
    import rasterio

    with rasterio.open(folder / "slc.tif") as d:
        z, keep = d.read(1), {k: d.profile[k] for k in ("height", "width", "crs", "transform")}
    with rasterio.open(folder / "iq.tif", "w", driver="GTiff", count=2, dtype="float32", **keep) as out:
        out.write(np.stack([z.real, z.imag]).astype(np.float32))
    with rasterio.open(folder / "polar.tif", "w", driver="GTiff", count=2, dtype="float32", **keep) as out:
        out.write(np.stack([np.abs(z), np.angle(z)]).astype(np.float32))
    with rasterio.open(folder / "scene.tif") as d:
        decibel = d.read(1)
    imageio.imwrite(folder / "stretched.png", np.rint((decibel + 25) / 25 * 255).clip(0, 255).astype(np.uint8))


def make_dates(folder: Path, side: int = 72) -> None:
    """may.tif, june.tif and july.tif, intensities of one place, and stack.tif, whose bands are dates."""
    import numpy as np
    import rasterio

    rng = np.random.default_rng(0)
    truth = np.where(np.arange(side) < side // 2, 0.02, 0.1) * np.ones((side, side))
    dates = [(truth * rng.gamma(4, 1 / 4, truth.shape)).astype(np.float32) for _ in range(3)]
    for name, x in (*zip(("may", "june", "july"), (y[None] for y in dates)), ("stack", np.stack(dates))):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", height=side, width=side, count=len(x), dtype="float32", crs="EPSG:32631",
            transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6),
        ) as d:  # fmt: skip
            d.write(x)
