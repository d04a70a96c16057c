"""A row of the table of peers: one method in one exam, or on one picture, with its figures or with the reason why not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

import numpy as np
import torch

from restorekit.bench.images.image_cases import Clean
from restorekit.bench.peers.peer import Peer
from restorekit.bench.posterior.exam import Exam
from restorekit.bench.posterior.exams import checked
from restorekit.bench.posterior.figures import Figures, judge
from restorekit.bench.posterior.run_exam import Passes, Size
from restorekit.errors import BadInput, Unsupported
from restorekit.inference.denoiser import Denoiser
from restorekit.inference.problem import Problem
from restorekit.metrics.fidelity import coverage, crps, psnr, spread_skill, ssim
from restorekit.text.degradation import Degradation

EXAM, PICTURE, OURS = "exam", "picture", "restorekit"
KEYS = ("part", "problem", "prior", "sigma_y", "picture", "method", "settings", "size", "seed",
        "library", "version", "restorekit", "torch", "machine")  # fmt: skip
NUMBERS = tuple(f.name for f in fields(Figures) if f.name not in ("ranks", "p"))
COST = ("forward", "backward", "last", "seconds")
PIXELS = ("psnr", "psnr_mean", "ssim", "crps", "spread_skill", "inside", "misfit")
VALUES = (*COST, *(n + e for n in NUMBERS for e in ("", "_se")), *PIXELS, "refused")
FAILS = "fails: "  # what a library raised; such a row is tried again, a refusal is not
Row = dict[str, str]


@dataclass(frozen=True)
class Item:
    """A method is given an item: `measure` takes it and answers with values by the names of VALUES."""

    part: str
    problem: str
    prior: str
    sigma_y: str
    picture: str
    measure: Callable[[Peer, int], Mapping[str, float]]  # (method, seed)


def values(item: Item, peer: Peer, seed: int) -> list[Any]:
    """Return VALUES of a row. What the method does not take, or where it fails, is the last of them."""
    try:
        with np.errstate(all="ignore"):
            found: Mapping[str, Any] = item.measure(peer, seed)
    except Unsupported as error:
        found = {"refused": one_line(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 (one peer that fails must not take the others with it)
        found = {"refused": FAILS + (one_line(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {one_line(error)}")}  # fmt: skip
    return [*(float(found.get(name, math.nan)) for name in VALUES[:-1]), found.get("refused", "")]


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split())[:200] or "no message"


def _asked(peer: Peer, problem: Problem, denoise: Passes, count: int, seed: int) -> torch.Tensor:
    """Return the samples, checked: what a library of another mind gives back is not believed."""
    x = peer.sample(problem, denoise, count, seed).detach()
    expected = (count, *problem.operator.image_shape)
    if tuple(x.shape) != expected:
        raise BadInput(f"gave {tuple(x.shape)}, expected {expected}")
    if not bool(x.isfinite().all()):
        raise BadInput("its samples diverged")
    return x


def cost(passes: Passes, count: int, seconds: float) -> dict[str, float]:
    """Return, per sample, forward and backward passes, the least noise level that the denoiser was asked at, and CPU seconds."""
    last = passes.least if math.isfinite(passes.least) else math.nan
    return {"forward": passes.forward / count, "backward": passes.backward / count, "last": last, "seconds": seconds / count}  # fmt: skip


def in_exam(exam: Exam, name: str, size: Size, peer: Peer, seed: int) -> dict[str, float]:
    """Return the figures of samples against the exact posterior: of several measurements, each given alone."""
    y = checked(exam, size.draws, seed, name)[1]
    samples = size.samples if peer.draws else 1
    if peer.library != OURS and getattr(exam.prior, "units", None) is not None:
        raise Unsupported(f"{peer.library} is given pictures on [0, 1], this exam has numbers of another kind")
    peer.check(exam.problem(y[:1]))
    passes, began = Passes(exam.prior), time.process_time()
    x = torch.stack([_asked(peer, exam.problem(y[i : i + 1]), passes, samples, seed + 7919 * i) for i in range(len(y))])
    spent = cost(passes, len(y) * samples, time.process_time() - began)
    figures = judge(exam, y, x, seed)
    pairs = {n: getattr(figures, n) for n in NUMBERS}
    return spent | {n: f.value for n, f in pairs.items()} | {f"{n}_se": f.error for n, f in pairs.items()}


def on_picture(
    task: Degradation, clean: Clean, prior: Callable[[int], Denoiser], samples: int, peer: Peer, seed: int
) -> dict[str, float]:
    """Return the figures of samples on a measurement of one clean picture; `prior` gives the denoiser of so many bands."""
    truth = clean.pixels
    problem = task.measure(truth, clean.name, seed)
    peer.check(problem)
    count = samples if peer.draws else 1
    passes, began = Passes(prior(len(truth))), time.process_time()
    x = _asked(peer, problem, passes, count, seed).float()
    found = cost(passes, count, time.process_time() - began)
    shown, mean = x.clamp(0, 1).numpy(), x.mean(0).clamp(0, 1).numpy()
    found |= {"psnr": fmean(psnr(s, truth) for s in shown), "ssim": fmean(ssim(s, truth) for s in shown)}
    found |= {"misfit": fmean(problem.misfit(one[None]) for one in x)}
    if count > 1:
        drawn = x.numpy()
        found |= {"psnr_mean": psnr(mean, truth), "crps": crps(drawn, truth)}
        found |= {"spread_skill": spread_skill(drawn, truth), "inside": coverage(drawn, truth)}
    return found
