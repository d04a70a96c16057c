"""What `hashes.py` runs: command lines, and calls of what `restorekit` makes public. Each runs in a folder of its own.

Nothing here may import a module of restorekit that is not public, as the same file is run against other commits.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np

FAST = "--prior natural-fast --steps 3"
TINY = "--prior ../train-unet/run/prior.safetensors --steps 3"
SAR = "--looks 4 --domain intensity --executor serial"

# A line is a name and the arguments of one command; ../in holds the inputs, ../NAME what another case has written.
COMMANDS = f"""
train-unet: train unet --config ../in/unet.yaml --data ../in/photos --out run --quiet
train-unet-resume: train unet --config ../in/unet.yaml --data ../in/photos --out ../train-unet/run --resume --quiet --set optim.steps=6
train-codec: train codec --config ../in/codec.yaml --data ../in/photos --out run --quiet
train-fftd: train fftd --config ../in/fftd.yaml --data ../in/photos --out run --quiet
train-sar: train unet --config ../in/sar.yaml --data ../in/radar --out run --quiet
train-pisdm: train pisdm --data ../in/photos --out run --quiet --set data.crop=16 --set model.side=16 --set model.width=16 --set model.depth=3 --set model.head=8 --set model.state=4 --set optim.steps=1 --set optim.batch=1
train-bad-key: train unet --config ../in/unet.yaml --data ../in/photos --out run --set optim.stpes=4
train-no-data: train unet --config ../in/unet.yaml --data ../in/none --out run
restore-denoise: restore ../in/noisy.png o.png --op denoise --noise gaussian:0.08 {FAST}
restore-average: restore ../in/small.png o.png --op average:factor=2,size=23x27 --noise gaussian:0.01 {FAST} --samples 3
restore-blur-transfer: restore ../in/blurred.png o.png --op blur:kernel=../in/kernel.npy --noise gaussian:0.01 --transfer srgb {FAST}
restore-inpaint: restore ../in/holes.png o.tif --op inpaint:mask=../in/mask.png --noise gaussian:0.01 --solver ddrm {FAST}
restore-decimate: restore ../in/small.png o.png --op decimate:factor=2 --noise gaussian:0.02 --solver pigdm {FAST}
restore-grey: restore ../in/grey.png o.png --op grey --noise gaussian:0.05 --solver ddnm+ {FAST}
restore-saturate: restore ../in/noisy.png o.png --op saturate --noise gaussian:0.05 --solver dps {FAST}
restore-hadamard: restore ../degrade-hadamard/y.npy o.png --op hadamard:size=40x48,ratio=0.5 --noise gaussian:0.01 {FAST}
restore-own: restore ../in/noisy.png o.png --op ../in/own.py:Half:gain=0.8 --noise gaussian:0.05 --solver ../in/own.py:Mine:zeta=0 {FAST}
restore-begin: restore ../in/noisy.png o.png --op denoise --noise gaussian:0.08 --begin ../in/clean.png --start 0.15 {FAST}
restore-flips: restore ../in/noisy.npy o.npy --op denoise --noise gaussian:0.1 --flips 2 --precision fp32 --tile 16 {FAST}
restore-coarse: restore ../in/grey.png o.png --op denoise --noise gaussian:0.1 --prior mamba-cascade --coarse --steps 2
restore-latent: restore ../in/noisy.png o.png --op denoise --noise gaussian:0.1 --prior ../train-fftd/run/prior.safetensors --solver dps --steps 2
restore-no-op: restore ../in/noisy.png o.png
restore-bad-op: restore ../in/noisy.png o.png --op blurr:kernel=gaussian:2
restore-bad-solver: restore ../in/noisy.png o.png --op denoise --solver diffpirr
restore-bad-setting: restore ../in/noisy.png o.png --op denoise --solver diffpir:zetta=1 --noise gaussian:0.1
restore-ddrm-nonlinear: restore ../in/noisy.png o.png --op saturate --solver ddrm --noise gaussian:0.1
denoise-default: denoise ../in/noisy.png o.png
denoise-tiny: denoise ../in/noisy.png o.png --noise gaussian:0.08 {TINY}
denoise-samples: denoise ../in/noisy.png o.png --noise gaussian:0.08 --samples 3 {FAST}
denoise-samples-auto: denoise ../in/grey16.png o.png --samples 3 --level 0.5 --seed 4 {FAST}
denoise-calibration: denoise ../in/noisy.png o.png --noise gaussian:0.1 --samples 3 --prior natural-fast --solver mmps --steps 2 --calibration ../calibrate/c.json
denoise-jpeg: denoise ../in/noisy.jpg o.png {FAST}
denoise-rgb16: denoise ../in/rgb16.tif o.tif --noise auto {FAST}
denoise-float: denoise ../in/float.tif o.tif {FAST} --samples 2
denoise-range: denoise ../in/kelvin.tif o.tif --range 280,300 {FAST}
denoise-range-missing: denoise ../in/kelvin.tif o.tif {FAST}
denoise-nan: denoise ../in/nan.tif o.tif --noise gaussian:0.02 {FAST} --samples 2
denoise-five: denoise ../in/five.npy o.npy --noise gaussian:0.1 {FAST}
denoise-alpha: denoise ../in/alpha.png o.png --noise gaussian:0.08 {FAST}
denoise-geo: denoise ../in/geo.tif o.tif --noise gaussian:0.03 {FAST} --samples 2
denoise-geo-mask: denoise ../in/geo_mask.tif o.tif {FAST}
denoise-poisson: denoise ../in/noisy.png o.png --noise poisson:60 {FAST}
denoise-gamma: denoise ../in/grey16.png o.tif --noise gamma:8 {FAST}
denoise-log: denoise ../in/db.tif o.tif --noise gamma:4,domain=log --prior sar --steps 3
denoise-missing: denoise ../in/none.png o.png
denoise-broken: denoise ../in/broken.png o.png
denoise-text: denoise ../in/text.tif o.png
denoise-suffix: denoise ../in/noisy.png o.xyz
denoise-itself: denoise ../in/noisy.png ../in/noisy.png
denoise-bad-noise: denoise ../in/noisy.png o.png --noise gauss:0.1
denoise-bad-prior: denoise ../in/noisy.png o.png --prior naturall
denoise-bad-option: denoise ../in/noisy.png o.png --sample 3
denoise-bad-device: denoise ../in/noisy.png o.png --device tpu
denoise-no-folder: denoise ../in/noisy.png none/o.png {FAST}
inpaint: inpaint ../in/holes.png o.png --mask ../in/mask.png {FAST}
inpaint-samples: inpaint ../in/holes.png o.tif --mask ../in/mask.png --samples 3 --noise gaussian:0.02 {FAST}
inpaint-tiny: inpaint ../in/holes.png o.png --mask ../in/mask.png --solver dps {TINY}
inpaint-size: inpaint ../in/holes.png o.png --mask ../in/mask_short.png {FAST}
inpaint-no-mask: inpaint ../in/holes.png o.png
deblur: deblur ../in/blurred.png o.png --kernel ../in/kernel.npy --noise gaussian:0.01 {FAST}
deblur-png-kernel: deblur ../in/blurred.tif o.tif --kernel ../in/kernel.png --boundary circular {FAST}
deblur-csv-kernel: deblur ../in/blurred.png o.png --kernel ../in/kernel.csv --boundary reflect --transfer linear {FAST} --samples 2
deblur-named: deblur ../in/blurred.png o.png --kernel motion:5:0 --boundary free --noise gaussian:0.02 {FAST}
deblur-error: deblur ../in/blurred.tif o.tif --kernel uniform:5 --kernel-error auto --noise gaussian:0.01 {FAST}
deblur-estimate: deblur ../in/blurred.tif o.tif --kernel estimate --noise gaussian:0.01 {FAST}
deblur-geo: deblur ../in/geo.tif o.tif --kernel gaussian:1 {FAST}
deblur-bad-kernel: deblur ../in/blurred.png o.png --kernel gausian:1
upscale: upscale ../in/small.png o.png {FAST}
upscale-kernel: upscale ../in/small.png o.tif --factor 3 --kernel gaussian:1 {FAST} --samples 2
upscale-area: upscale ../in/small.png o.png --filter area {FAST}
upscale-like: upscale ../in/small.png o.png --factor 2.5 --like opencv {FAST}
upscale-geo: upscale ../in/geo.tif o.tif {FAST}
colorize: colorize ../in/grey.png o.png {FAST} --samples 2
colorize-colour: colorize ../in/noisy.png o.png {FAST}
compare: compare ../in/noisy.png o.html --op denoise --noise gaussian:0.08 --truth ../in/clean.png --prior natural-fast --steps 2 --samples 2 --solver hqs --solver mmps
compare-bad-solver: compare ../in/noisy.png o.html --op denoise --noise gaussian:0.08 --solver phase
compare-default: compare ../in/small.png o.html --op average:factor=2 --prior natural-fast --steps 2 --samples 2 --trajectory 2
compare-refused: compare ../in/grey.png o.html --op saturate --noise gaussian:0.1 --solver ddrm --solver dps --prior natural-fast --steps 2 --samples 2
degrade-blur: degrade ../in/clean.png y.tif --op blur:kernel=motion:7:30 --noise gaussian:0.02 --dtype uint16
degrade-hadamard: degrade ../in/clean.png y.npy --op hadamard:size=40x48,ratio=0.5
degrade-poisson: degrade ../in/clean.png y.png --noise poisson:30 --seed 3
degrade-swath: degrade ../in/clean.png y.tif --noise gamma:1 --correlated iw2 --dtype float32
degrade-geo: degrade ../in/geo.tif y.tif --op average:factor=2
degrade-bad-dtype: degrade ../in/clean.png y.tif --dtype int3
fuse: fuse ../in/optical.tif ../in/db.tif o.tif --trust-grid --despeckle lee --looks 4
fuse-hqs: fuse ../in/optical.tif ../in/db.tif o.tif --trust-grid --match histogram --bands 3,2,1
fuse-diffusion: fuse ../in/optical.tif ../in/two.tif o.tif --trust-grid --sar-band 2 --solver diffusion --despeckle none --looks 4 --domain intensity --prior natural-fast
fuse-grid: fuse ../in/optical.tif ../in/db.tif o.tif
fuse-size: fuse ../in/clean.png ../in/power.npy o.png --domain intensity
despeckle: despeckle ../in/power.npy o.npy --steps 3 --samples 2 --report r.html {SAR}
despeckle-hqs: despeckle ../in/db.tif o.tif --solver hqs --executor serial --block 64 --tile 16 --looks 4
despeckle-sar-dps: despeckle ../in/two.tif o.tif --solver sar-dps --bands 1 --steps 3 --samples 2 {SAR}
despeckle-paper: despeckle ../in/power.npy o.tif --solver paper --steps 2 --samples 1 {SAR}
despeckle-lee: despeckle ../in/two.tif o.tif --solver lee:size=5 --keep-dtype {SAR}
despeckle-frost: despeckle ../in/power.npy o.npy --solver frost --targets off {SAR}
despeckle-complex: despeckle ../in/complex.npy o.npy --solver hqs --decorrelate whiten --executor serial --looks 1
despeckle-grain: despeckle ../in/power.npy o.npy --solver hqs --grain 0.3,0.2 --targets 1e-4 {SAR}
despeckle-preview: despeckle ../in/two.tif o.tif --solver hqs --preview 8,8,32,32 --interop-snap {SAR}
despeckle-tiny: despeckle ../in/power.npy o.npy --prior ../train-sar/run/prior.safetensors --solver mmps --steps 2 --samples 2 {SAR}
despeckle-processes: despeckle ../in/power.npy o.npy --solver lee --executor processes --workers 2 --looks 4 --domain intensity --tile 64 --block 64
despeckle-auto: despeckle ../in/db.tif o.tif --solver gamma-map
despeckle-bad-preview: despeckle ../in/two.tif o.tif --solver hqs --preview 40,40,32,32 {SAR}
despeckle-bad-solver: despeckle ../in/two.tif o.tif --solver leee
derain: derain ../in/rainy.png o.png --derained ../in/derained.png --report r.html {FAST}
derain-plain: derain ../in/rainy.png o.png --samples 3 {FAST}
derain-paper: derain ../in/rainy.png o.tif --derained ../in/derained.png --rain ../in/rain.tif --solver paper {FAST}
derain-mask: derain ../in/rainy.png o.png --derained ../in/derained.png --mask ../in/mask.png --weak --feather 2 {FAST}
derain-size: derain ../in/rainy.png o.png --derained ../in/small.png
metrics: metrics ../in/noisy.png ../in/clean.png --json
metrics-crop: metrics pictures ../in/noisy.png ../in/clean.png --names psnr,ssim --crop 4
metrics-size: metrics ../in/noisy.png ../in/small.png
metrics-sar: metrics sar ../in/power.npy ../despeckle/o.npy --truth ../in/truth.npy --domain intensity --looks 4 --json --report r.html
metrics-sar-window: metrics sar ../in/db.tif ../despeckle-hqs/o.tif --window 2,2,20,20
metrics-fusion: metrics fusion ../in/optical.tif ../in/db.tif ../fuse/o.tif --despeckle lee --looks 4 --json
check-blur: check blur:kernel=motion:5:20,boundary=circular --size 1x8x9
check-free: check blur:kernel=gaussian:1,boundary=free --size 1x12x9
check-average: check average:factor=3 --dtype float32
check-resize: check resize:factor=2.5,filter=lanczos --size 1x16x16
check-decimate: check decimate:factor=2 --size 1x16x16
check-phase: check phase --size 1x6x5
check-own: check ../in/own.py:Half:gain=0.5
check-bad: check nothing
priors-list: priors list
priors-show: priors show natural
priors-show-own: priors show ../train-unet/run/prior.safetensors
priors-verify: priors verify natural-fast
priors-verify-sar: priors verify sar
priors-verify-own: priors verify ../train-unet/run/prior.safetensors
priors-eval: priors eval natural-fast --data ../in/photos --limit 4 --sigmas 0.1 --out r.json --samples 4 --steps 2 --size 16x16 --train ../in/many
priors-eval-md: priors eval natural-fast --data ../in/photos --limit 2 --sigmas 0.05,0.2 --beside ../train-unet/run/prior.safetensors --out r.md
sample: sample natural-fast --n 3 --steps 3 --size 16x24 --out o.png --folder each
sample-ddpm: sample natural-fast --n 2 --steps 2 --size 16x16 --solver ddpm --bands 1 --out o.tif --seed 2
sample-heun: sample ../train-unet/run/prior.safetensors --n 2 --steps 2 --solver heun:churn=20 --out o.png
sample-latent: sample fftd-cats --n 1 --steps 1 --out o.png
sample-cascade: sample mamba-cascade --n 1 --steps 2 --size 32x32 --out o.png
sample-bad-solver: sample natural-fast --solver euler --out o.png
solvers: solvers
bench-posterior: bench posterior --solver hqs --solver mmps --problem denoise --prior stationary --sigma 0.1 --steps 4 --out .
bench-images: bench images --data ../in/photos --op average:factor=2@gaussian:0.02 --solver hqs --solver mmps --steps 2 --samples 2 --limit 2 --crop 16 --workers 1 --threads 1 --out .
bench-peers: bench peers --peer none
tune: tune --data ../in/photos --op average:factor=2 --solver diffpir --steps 2 --budget 6 --pictures 2 --crop 16 --threads 1 --prior natural-fast --out .
calibrate: calibrate --data ../in/many --task denoise --noise gaussian:0.1 --prior natural-fast --solver mmps --steps 2 --samples 3 --crop 16 --threads 1 --out c.json
calibrate-few: calibrate --data ../in/photos --task denoise --noise gaussian:0.1 --prior natural-fast --solver mmps --steps 2 --samples 3 --crop 16 --threads 1 --out c.json
cite: cite
cite-some: cite ddrm mmps
cite-bad: cite nobody
version: --version
nothing:
unknown: retsore
"""

HELP = ["", "restore", "denoise", "inpaint", "deblur", "upscale", "colorize", "compare", "degrade", "fuse", "despeckle", "derain",
        "metrics", "metrics pictures", "metrics sar", "metrics fusion", "check", "train", "priors", "priors list", "priors show",
        "priors verify", "priors eval", "sample", "solvers", "bench", "bench posterior", "bench images", "bench peers", "tune",
        "calibrate", "cite"]  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {
    "daps": {"inner": 3}, "smc": {"particles": 4}, "enkg": {"particles": 8}, "exchange": {"sweeps": 3}, "sitcom": {"inner": 2}, "pnpdm": {"inner": 2},
}  # fmt: skip


def commands() -> list[tuple[str, list[str]]]:
    """Return (name, arguments) of every command, those that others read from first."""
    lines = [line.partition(":") for line in COMMANDS.strip().splitlines()]
    listed = [(name, shlex.split(rest)) for name, _, rest in lines]
    ahead = ("calibrate", "degrade-hadamard")
    listed.sort(key=lambda case: case[0] not in ahead)
    return [*listed, *((f"help {c}".strip(), [*c.split(), "--help"]) for c in HELP)]


class Stationary:
    """The exact E[x0 | x] of a stationary Gaussian prior of mean 0.5: (B, C, H, W) -> (B, C, H, W)."""

    def __call__(self, x: Any, sigma: Any, /) -> Any:
        import torch

        i, j = torch.fft.fftfreq(x.shape[-2])[:, None], torch.fft.fftfreq(x.shape[-1])[None]
        power = (0.5 / (0.02 + i**2 + j**2)).to(x) * 0.02
        noise = torch.as_tensor(sigma).to(x).reshape(-1, 1, 1, 1) ** 2
        return 0.5 + torch.fft.ifft2(torch.fft.fft2(x - 0.5) * power / (power + noise)).real


def truth(bands: int = 1) -> Any:
    import torch

    return torch.from_numpy(0.5 + 0.2 * np.random.default_rng(5).standard_normal((1, bands, 16, 16))).float()


def operators() -> dict[str, Any]:
    import torch

    from restorekit import operators as ops

    taps = torch.tensor([[1.0, 2, 1], [2, 5, 3], [1, 2, 1]])
    mask = torch.from_numpy(np.random.default_rng(6).random((1, 16, 16)) > 0.4).float()
    s = (1, 16, 16)
    return {
        "identity": ops.Identity(s), "inpaint": ops.Inpaint(s, mask), "circular": ops.CircularBlur(s, taps / taps.sum()),
        "reflect": ops.ReflectBlur(s, taps / taps.sum()), "free": ops.FreeBlur(s, taps / taps.sum()), "average": ops.BlockAverage(s, 2),
        "decimate": ops.Decimate(s, 2), "decimation": ops.CircularDecimation(s, 2, taps / taps.sum()), "hadamard": ops.Hadamard(s, 0.5),
        "grey": ops.Grey((3, 16, 16)), "saturate": ops.Saturate(s, 1.2), "phase": ops.PhaseRetrieval(s),
        "stack": ops.Stack(s, (ops.Identity(s), ops.BlockAverage(s, 2))),
    }  # fmt: skip


def apply(name: str) -> None:
    a = operators()[name]
    x = truth(3 if name == "grey" else 1)
    y = a(x)
    np.save("y.npy", y.numpy())
    for call in ("adjoint", "pinv", "estimate"):
        if hasattr(a, call):
            try:
                np.save(f"{call}.npy", getattr(a, call)(y).numpy())
            except Exception as error:  # noqa: BLE001
                print(call, type(error).__name__, error)
    print(a.title, tuple(y.shape), round(float(a.spectral_norm(y)), 5))


def solve(name: str) -> None:
    """One solver on six problems; what it refuses is printed."""
    import torch

    import restorekit
    from restorekit.solvers import SOLVERS

    rng, ops = torch.Generator().manual_seed(7), operators()
    for kind in ("identity", "inpaint", "circular", "average", "saturate", "poisson", "gamma"):
        law = {"poisson": restorekit.Poisson(50.0), "gamma": restorekit.Gamma(4.0)}.get(kind, restorekit.Gaussian(0.05))
        a = ops.get(kind, ops["identity"])
        y = law.sample(a(truth().clamp(min=0.05)), rng)
        try:
            solver, problem = SOLVERS[name](**SETTINGS.get(name, {})), restorekit.Problem(y, a, law)
            try:
                found = restorekit.restore(problem, Stationary(), solver, steps=4, samples=2, seed=0)
            except (restorekit.BadInput, restorekit.Unsupported) as error:
                print(kind, type(error).__name__, error)
                found = restorekit.restore(
                    problem, Stationary(), solver, steps=4, seed=0
                )  # of an optimiser, one answer
        except (restorekit.BadInput, restorekit.Unsupported) as error:
            print(kind, type(error).__name__, error)
            continue
        np.save(f"{kind}.npy", found.samples.numpy())
        print(kind, found.nfe, json.dumps(found.settings, sort_keys=True, default=str))


def prior(name: str) -> None:
    import torch

    import restorekit

    loaded: Any = restorekit.load_prior(name)
    bands = 1 if name in ("sar", "mamba-cascade") else 3
    if name == "fftd-cats":
        loaded = loaded.for_bands(3)
        z = loaded.encode(torch.from_numpy(np.random.default_rng(8).random((1, 3, 64, 64))).float())
        np.save("z.npy", z.detach().numpy())
        np.save("z0.npy", loaded.denoise(z, 0.5).detach().numpy())
        np.save("x.npy", loaded.decode(z).detach().numpy())
        return
    x = truth(bands).repeat(1, 1, 2, 2)
    with torch.no_grad():
        for sigma in (0.02, 0.3):
            np.save(f"{sigma}.npy", loaded(x, sigma).float().numpy())
    problem = restorekit.Problem(x, restorekit.operators.Identity(tuple(x.shape[1:])), restorekit.Gaussian(0.1))
    np.save(
        "mmps.npy", restorekit.restore(problem, loaded, restorekit.solvers.SOLVERS["mmps"](), steps=2).samples.numpy()
    )


def public() -> None:
    import restorekit

    print(*sorted(restorekit.__all__))
    print(*sorted(restorekit.operators.__all__))
    print(*sorted(restorekit.solvers.__all__), *restorekit.solvers.SOLVERS)


def calls(root: list[str]) -> list[tuple[str, Callable[[], None]]]:
    """Return (name, call) of every Python case; `root` holds the names of the solvers."""
    listed: list[tuple[str, Callable[[], None]]] = [("python public", public)]
    listed += [(f"python solver {n}", lambda n=n: solve(n)) for n in root]
    listed += [(f"python operator {n}", lambda n=n: apply(n)) for n in operators()]
    listed += [
        (f"python prior {n}", lambda n=n: prior(n))
        for n in ("natural", "natural-fast", "sar", "fftd-cats", "mamba-cascade")
    ]
    return listed
