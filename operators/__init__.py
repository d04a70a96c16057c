"""This package holds the forward models: an operator is a frozen dataclass whose call is y = A(x), without noise."""

from restorekit.operators.base import LinearOperator, Operator, SVDOperator, conjugate_gradients
from restorekit.operators.blur import CircularBlur, FreeBlur, ReflectBlur, SymmetricBlur, blur
from restorekit.operators.coded import Coded
from restorekit.operators.colour import Grey
from restorekit.operators.combine import Compose, ComposeNonlinear, Stack, Weighted, compose
from restorekit.operators.diagonal import Identity, Inpaint
from restorekit.operators.downsample import BlockAverage, CircularDecimation, Decimate, SeparableDecimation, decimation
from restorekit.operators.gridblur import GridBlur
from restorekit.operators.hadamard import Hadamard
from restorekit.operators.jpeg import JPEG, JPEGAfter
from restorekit.operators.latent import Decoded
from restorekit.operators.matrix import Matrix
from restorekit.operators.mosaic import Mosaic
from restorekit.operators.nonlinear import PhaseRetrieval, Saturate
from restorekit.operators.resize import Resize
from restorekit.operators.verify import Check, check, report

__all__ = [
    "JPEG",
    "BlockAverage",
    "Check",
    "CircularBlur",
    "CircularDecimation",
    "Coded",
    "Compose",
    "ComposeNonlinear",
    "Decimate",
    "Decoded",
    "FreeBlur",
    "Grey",
    "GridBlur",
    "Hadamard",
    "Identity",
    "Inpaint",
    "JPEGAfter",
    "LinearOperator",
    "Matrix",
    "Mosaic",
    "Operator",
    "PhaseRetrieval",
    "ReflectBlur",
    "Resize",
    "SVDOperator",
    "Saturate",
    "SeparableDecimation",
    "Stack",
    "SymmetricBlur",
    "Weighted",
    "blur",
    "check",
    "compose",
    "conjugate_gradients",
    "decimation",
    "report",
]
