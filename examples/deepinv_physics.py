"""A measurement made with deepinv, restored with our solver and our prior; writes deepinv_physics.png.

deepinv comes with `pip install ".[deepinv]"`; this also runs beside a torch without CUDA.
"""

from __future__ import annotations

import torch
from skimage import data

from restorekit import Problem, load_prior, restore
from restorekit.files.picture import write_picture
from restorekit.interop.deepinv import import_deepinv, likelihood_from, measurement_from, operator_from
from restorekit.metrics.fidelity import psnr
from restorekit.solvers import DiffPIR

SHAPE = (3, 96, 96)


if __name__ == "__main__":
    deepinv = import_deepinv()
    photo = torch.tensor(data.astronaut()[None, :96, 170:266] / 255.0).float().permute(0, 3, 1, 2)
    torch.manual_seed(0)  # deepinv draws its noise from the global generator
    physics = deepinv.physics.Downsampling(
        SHAPE, filter="bilinear", factor=2, padding="circular", noise_model=deepinv.physics.GaussianNoise(0.02)
    )
    measured = physics(photo)

    problem = Problem(measurement_from(measured), operator_from(physics, SHAPE), likelihood_from(physics))
    result = restore(problem, load_prior("natural"), DiffPIR(), steps=20)

    least_squares = physics.A_dagger(measured)
    before, after = (psnr(photo[0].numpy(), x[0].numpy()) for x in (least_squares, result.samples))
    print(f"measured: {tuple(measured.shape)} of {tuple(photo.shape)}, sigma {float(physics.noise_model.sigma):g}")
    print(f"deepinv's pseudo-inverse: {before:.2f} dB, restored: {after:.2f} dB")
    panels = torch.cat([photo[0], least_squares[0], result.samples[0]], -1)
    write_picture("deepinv_physics.png", panels.clamp(0, 1).numpy())
    print("deepinv_physics.png: truth, pseudo-inverse, restored")
