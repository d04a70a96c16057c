"""Each bench has settings, a dataclass with the documentation of each; free of torch, for the command line shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from restorekit.text.choices import Choice

OPS = ("blur:kernel=gaussian:2", "average:factor=4", "denoise")
_OUT = Path("bench")
_FULL = "Seven noises instead of four and 519 samples instead of 99"
_LIMIT = Choice("Pictures of each folder, the first by name.", least=1)
_STEPS = "Noise levels; default: the solver's own."


@dataclass(frozen=True, kw_only=True)
class ExamSettings:
    """Settings of the bench of exact posteriors. None: all there are, and of `steps` those of each solver."""

    solvers: Annotated[Sequence[str] | None, Choice("With settings, as dps:paper=true; default: all.")] = None
    problems: Annotated[Sequence[str] | None, Choice("denoise, inpaint, average, blur, dense, mixture-2, mixture-8, ring, speckle-LOOKS, counts-20, or an exam of your own as file.py:Exam, a file that is run as code; default: all.")] = None  # fmt: skip
    priors: Annotated[Sequence[str] | None, Choice("stationary, random, modes, ring; of speckle wide, narrow; default: all.")] = None  # fmt: skip
    sigmas: Annotated[Sequence[float] | None, Choice("Noise sigma_y of linear problems, on pictures of deviation 0.25; default: 0.002 to 0.3.")] = None  # fmt: skip
    steps: Annotated[Sequence[int] | None, Choice(_STEPS, least=2)] = None
    full: Annotated[bool, Choice(f"{_FULL} (hours; quick: minutes).")] = False
    seed: int = 0
    out: Annotated[Path, Choice("Folder for posterior.csv, .md and .tex; a run goes on where it stopped.")] = _OUT


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Settings of the bench of clean pictures."""

    data: Annotated[Sequence[Path], Choice("Folder of clean pictures.", form="DIR")]
    ops: Annotated[Sequence[str], Choice("As blur:kernel=motion:15:30@gaussian:0.02. Default: a blur, four times smaller, noise.", form="OP[@NOISE]")] = OPS  # fmt: skip
    solvers: Annotated[Sequence[str], Choice("With settings, as hqs:first=0.5. Default: hqs, diffpir, ddrm, pigdm, dps.")] = ("hqs", "diffpir", "ddrm", "pigdm", "dps")  # fmt: skip
    steps: Annotated[Sequence[int], Choice(_STEPS, least=1)] = ()
    nfe: Annotated[Sequence[int], Choice("Network calls: as many levels as stay within.", least=1)] = ()
    priors: Annotated[Sequence[str], Choice("As for `restore`. Default: natural-fast.")] = ("natural-fast",)
    samples: Annotated[int, Choice("Draws of each sampler; an optimiser gives one answer.", least=1)] = 1
    crop: Annotated[int, Choice("Side of the square from the middle, pixels; 0: whole pictures.", least=0)] = 128
    limit: Annotated[int | None, _LIMIT] = None
    seed: int = 0
    workers: Annotated[int, Choice("Processes; seconds are undisturbed with 1.", least=1)] = 2
    scheduler: str | None = None  # address of a dask cluster whose workers see the same files; it is trusted
    threads: Annotated[int | None, Choice("Of each process; default: its share of the cores.", least=1)] = None
    device: str = "auto"
    precision: str = "auto"  # of the network: auto, bf16 or fp32
    features: Annotated[Path | None, Choice("TorchScript network for FID and KID: float pictures (B, 3, H, W) in [0, 1] to (B, D). Default: features of the shipped prior, and not called FID.")] = None  # fmt: skip
    lpips: Annotated[str, Choice("alex, squeeze or vgg from the cache of torch.hub, such a weights file, none; auto: what is there.")] = "auto"  # fmt: skip
    out: Annotated[Path, Choice("Folder for images.csv, .json, .md and .html; a run goes on where it stopped.")] = _OUT


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """Settings of the bench of other libraries. None: all there are."""

    peers: Annotated[Sequence[str], Choice("azula-mmps, -tmpd, -diffpir; deepinv-mmps, -pigdm, -dps, -ddrm, -diffpir; bm3d; with settings, as azula-mmps:steps=40; or file.py:Peer, a file that is run as code; default: all.")] = ()  # fmt: skip
    solvers: Annotated[Sequence[str], Choice("Ours beside them; default: mmps, pigdm, dps, ddrm, diffpir.")] = ("mmps", "pigdm", "dps", "ddrm", "diffpir")  # fmt: skip
    problems: Annotated[Sequence[str] | None, Choice("Exams, as for `bench posterior`; default: all.")] = None
    priors: Annotated[Sequence[str] | None, Choice("Priors of the exams, as for `bench posterior`; default: all.")] = None  # fmt: skip
    sigmas: Annotated[Sequence[float] | None, Choice("Noise sigma_y of the exams; default: 0.002 to 0.3.")] = None
    exams: Annotated[bool, Choice("Exams with exact posteriors.")] = True
    full: Annotated[bool, Choice(f"{_FULL}.")] = False
    data: Annotated[Sequence[Path], Choice("Folder of clean pictures; default: exams alone.", form="DIR")] = ()
    ops: Annotated[Sequence[str], Choice("Of the pictures, as for `bench images`.", form="OP[@NOISE]")] = OPS
    network: Annotated[str, Choice("Prior of the pictures, as for `restore`.")] = "natural-fast"
    samples: Annotated[int, Choice("On pictures, of each sampler.", least=1)] = 4
    crop: Annotated[int, Choice("Side of the square from the middle of pictures, pixels; 0: whole pictures.", least=0)] = 96  # fmt: skip
    limit: Annotated[int | None, _LIMIT] = None
    seed: int = 0
    out: Annotated[Path, Choice("Folder for peers.csv, .md and .html; a run goes on where it stopped.")] = _OUT


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of the bench of one prior."""

    data: Annotated[Path, Choice("Pictures that it was not trained on.", form="DIR|ZIP")]
    limit: Annotated[int | None, Choice("Pictures of `data`, spread evenly over their names.", least=1)] = None
    sigmas: Annotated[tuple[float, ...] | None, Choice("Levels to denoise, as 0.05,0.1; none: do not. Default: four that suit the pixels.")] = None  # fmt: skip
    beside: Annotated[Sequence[str], Choice("Another prior on the same pictures.", form="PRIOR")] = ()
    crop: Annotated[int, Choice("Side of the middle that is denoised, pixels; 0: whole pictures.", least=0)] = 0
    bands: Annotated[int | None, Choice("1 (luminance) or 3; default: the most that the prior takes.", least=1)] = None
    samples: Annotated[str | None, Choice("Compare so many samples with the pictures, or those in a folder of `restorekit sample`.", form="N|DIR|ZIP")] = None  # fmt: skip
    solver: Annotated[str, Choice("Of the samples, as for `restorekit sample`.")] = "dpm++"
    steps: Annotated[int, Choice("Noise levels of the samples.", least=1, most=100_000)] = 50
    size: Annotated[tuple[int, int] | None, Choice("Of the samples; default: what the prior was trained on, or 64x64.", form="HxW")] = None  # fmt: skip
    label: Annotated[int | None, Choice("Class of the samples, for priors with classes.", least=0)] = None
    guidance: Annotated[float | None, Choice("Weight of the class against none.", least=0)] = None
    features: Annotated[str | None, Choice("Network that pictures are compared by: TorchScript, float (B, 3, H, W) in [0, 1] to (B, D); weights of torch-fidelity's Inception; or a prior. Default: natural, and not called FID.")] = None  # fmt: skip
    train: Annotated[Path | None, Choice("The training pictures: find the nearest to each sample.", form="DIR|ZIP")] = None  # fmt: skip
    train_limit: Annotated[int | None, Choice("Pictures of `train`, spread evenly.", least=1)] = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """Settings of a search for those of a solver."""

    data: Annotated[Path, Choice("Folder of clean pictures that are used for nothing else.")]
    op: Annotated[str, Choice("Forward model, as for `restore`.")]
    solver: Annotated[str, Choice("With settings that are to stay, as diffpir:zeta=1.")]
    noise: Annotated[str | None, Choice("Noise law, as for `restore`; default: gaussian:0.02, to denoise 0.1.")] = None
    prior: str = "natural"
    steps: Annotated[Sequence[int], Choice("Noise levels to try. Default: the solver's own.", least=1)] = ()
    ranges: Annotated[Sequence[str], Choice("What to search. Default: what the solver says.", form="NAME=LO,HI")] = ()
    score: Annotated[str, Choice("psnr, ssim or crps (all samples against the truth); auto: crps for samplers.")] = "auto"  # fmt: skip
    samples: Annotated[int | None, Choice("Draws per restoration. Default: 4 for crps, else 1.", least=1)] = None
    budget: Annotated[int, Choice("Restorations in all.", least=4)] = 60
    pictures: Annotated[int, Choice("At most so many pictures.", least=1)] = 8
    crop: Annotated[int, Choice("Centre crops of this side.", least=16)] = 128
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    out: Annotated[Path, Choice("Folder for tune.csv and tune.md; a run goes on where it stopped.")] = Path("tune")
