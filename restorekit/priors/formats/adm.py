"""ADM, the U-Net of Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021.

It is built from the names and shapes of its weights, which say everything but how attention is split into heads: width,
levels, blocks per level, where attention sits, how scales change, learned variance, classes.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn
from torch.nn import functional as F

Shapes = Mapping[str, Size]
GROUPS = 32


@dataclass(frozen=True)
class Heads:
    """Attention is split into heads of `channels`, or into `count` heads where channels is None.

    qkv_first: the "new attention order", q, k and v split before the heads; else the heads first.
    """

    channels: int | None = 64
    count: int = 4
    qkv_first: bool = False

    def of(self, width: int) -> int:
        """Return the number of heads for this width. Raises `ValueError` where it cannot be split so."""
        heads = self.count if self.channels is None else width // self.channels
        if heads < 1 or width % heads or (self.channels is not None and width % self.channels):
            wanted = f"heads of {self.channels}" if self.channels is not None else f"{self.count} heads"
            raise ValueError(f"attention over {width} channels cannot be split into {wanted}")
        return heads


def embed(t: Tensor, width: int) -> Tensor:
    """Return cos and sin of t (B,) at width // 2 frequencies, from 1 down to nearly 1 / 10000: (B, width)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10000) / half))
    angles = t.float()[:, None] * rates
    return F.pad(torch.cat([angles.cos(), angles.sin()], 1), (0, width % 2))


class ADMResidual(nn.Module):
    """It puts two convolutions about a skip; the time enters between them, as a shift or as scale and shift."""

    def __init__(self, shapes: Shapes, resample: nn.Module):
        super().__init__()
        outs, ins = shapes["in_layers.2.weight"][:2]
        modulation, time = shapes["emb_layers.1.weight"]
        self.resample, self.scaled = resample, modulation == 2 * outs
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, ins), nn.SiLU(), nn.Conv2d(ins, outs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, modulation))
        dropout = nn.Identity()  # in training only, but the layers are numbered with it
        last = nn.Conv2d(outs, outs, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, outs), nn.SiLU(), dropout, last)
        skip = shapes.get("skip_connection.weight")
        self.skip_connection = nn.Identity() if skip is None else nn.Conv2d(ins, outs, skip[-1], padding=skip[-1] // 2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.in_layers[2](self.resample(self.in_layers[:2](x)))
        modulation = self.emb_layers(time)[..., None, None]
        if self.scaled:
            scale, shift = modulation.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + modulation)
        return self.skip_connection(self.resample(x)) + h


class ADMAttention(nn.Module):
    """It lets every pixel attend to every pixel."""

    def __init__(self, width: int, heads: Heads):
        super().__init__()
        self.heads, self.qkv_first = heads.of(width), heads.qkv_first
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        qkv = self.qkv(self.norm(flat))
        split, axis = ((3, self.heads), 1) if self.qkv_first else ((self.heads, 3), 2)
        # (B, heads, pixels, channels) each; contiguous, or the product of all pixels with all would be held in memory.
        q, k, v = (part.contiguous() for part in qkv.unflatten(1, (*split, -1)).transpose(-1, -2).unbind(axis))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).flatten(1, 2)
        return (flat + self.proj_out(mixed)).view_as(x)


@dataclass(frozen=True)
class Layout:
    """The names of the weights tell how many levels there are, and how many residual blocks per level."""

    levels: int
    blocks: int
    layers: Mapping[str, dict[str, Size]]  # "input_blocks.3.0" -> what belongs to it

    @staticmethod
    def of(shapes: Shapes) -> Layout:
        """Return the layout of a state dict. Raises `ValueError` where its names are not those of an ADM."""
        layers: dict[str, dict[str, Size]] = {}
        for key, shape in shapes.items():
            if match := re.fullmatch(r"((?:input|output)_blocks\.\d+\.\d+|middle_block\.\d+)\.(.+)", key):
                layers.setdefault(match[1], {})[match[2]] = shape
        count = 1 + max((int(name.split(".")[1]) for name in layers if name.startswith("output")), default=-1)
        if not count or "time_embed.0.weight" not in shapes or "out.2.weight" not in shapes:
            raise ValueError("these are not the weights of a guided-diffusion U-Net")
        # Per level one step up: a convolution, a second residual block, or (pooling) nothing but a missing number.
        names = {name for name, inner in layers.items() if "conv.weight" in inner or "in_layers.2.weight" in inner}
        ups = sum(f"output_blocks.{i}.{j}" in names for i in range(count) for j in (1, 2))
        pooled = sum(f"input_blocks.{i}.0" not in layers for i in range(count))
        levels = 1 + max(ups, pooled)
        if count % levels or count // levels < 2:
            raise ValueError(f"{count} blocks do not make {levels} levels of an ADM")
        return Layout(levels, count // levels - 1, layers)

    def block(self, name: str, heads: Heads, change: nn.Module | None) -> nn.ModuleList:
        """Return the layers of a block in order; `change` halves or doubles the sides in its last layer."""
        layers: list[nn.Module] = []
        while inner := self.layers.get(f"{name}.{len(layers)}"):
            last = f"{name}.{len(layers) + 1}" not in self.layers
            if "qkv.weight" in inner:
                layers.append(ADMAttention(inner["qkv.weight"][1], heads))
            elif "op.weight" in inner:
                outs, ins = inner["op.weight"][:2]
                layers.append(nn.Sequential(OrderedDict(op=nn.Conv2d(ins, outs, 3, stride=2, padding=1))))
                change = None
            elif "conv.weight" in inner:
                outs, ins = inner["conv.weight"][:2]
                conv = nn.Conv2d(ins, outs, 3, padding=1)
                layers.append(nn.Sequential(OrderedDict(up=nn.Upsample(scale_factor=2), conv=conv)))
                change = None
            elif "in_layers.2.weight" in inner:
                changes = change is not None and last and (name.startswith("input") or bool(layers))
                layers.append(ADMResidual(inner, change if changes and change is not None else nn.Identity()))
                change = None if changes else change
            else:
                outs, ins = inner["weight"][:2]
                layers.append(nn.Conv2d(ins, outs, 3, padding=1))
        return nn.ModuleList([*layers, change] if change is not None else layers)


class ADM(nn.Module):
    """The network maps x_t (B, C, H, W) on [-1, 1] and steps t (B,) to eps (B, C, H, W), or with learned variance (B,
    2C, H, W).

    H and W must be multiples of `multiple`. label: the class, for a network with classes. time_scale: for one that was
    trained on stretched times. Parameters have the names of the checkpoints that OpenAI published. Raises `ValueError`
    where the shapes are not those of such a network.
    """

    def __init__(self, shapes: Shapes, heads: Heads, label: int | None = None, time_scale: float = 1.0):
        super().__init__()
        layout = Layout.of(shapes)
        time, self.width = shapes["time_embed.0.weight"]
        self.bands, self.outs = shapes["input_blocks.0.0.weight"][1], shapes["out.2.weight"][0]
        self.levels, self.blocks, self.label = layout.levels, layout.blocks, label
        self.time_scale = time_scale
        self.time_embed = nn.Sequential(nn.Linear(self.width, time), nn.SiLU(), nn.Linear(time, time))
        self.classes = shapes["label_emb.weight"][0] if "label_emb.weight" in shapes else None
        if self.classes is not None:
            self.label_emb = nn.Embedding(self.classes, time)
        count, per = layout.levels * (layout.blocks + 1), layout.blocks + 1
        downs = [nn.AvgPool2d(2) if i and i % per == 0 else None for i in range(count)]
        ups = [nn.Upsample(scale_factor=2) if i % per == per - 1 and i < count - 1 else None for i in range(count)]
        self.input_blocks = nn.ModuleList(layout.block(f"input_blocks.{i}", heads, c) for i, c in enumerate(downs))
        self.middle_block = layout.block("middle_block", heads, None)
        self.output_blocks = nn.ModuleList(layout.block(f"output_blocks.{i}", heads, c) for i, c in enumerate(ups))
        last = shapes["out.0.weight"][0]
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, last), nn.SiLU(), nn.Conv2d(last, self.outs, 3, padding=1))

    @property
    def multiple(self) -> int:
        """Return the number of which height and width must be multiples."""
        return 2 ** (self.levels - 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_embed(embed(self.time_scale * t, self.width))
        if self.classes is not None:
            time = time + self.label_emb(torch.full((len(x),), self.label or 0, device=x.device))

        def run(block: nn.Module, h: Tensor) -> Tensor:
            for layer in block.children():
                h = layer(h, time) if isinstance(layer, ADMResidual) else layer(h)
            return h

        h, kept = x, []
        for block in self.input_blocks:
            h = run(block, h)
            kept.append(h)
        h = run(self.middle_block, h)
        for block in self.output_blocks:
            h = run(block, torch.cat([h, kept.pop()], 1))
        return self.out(h)
