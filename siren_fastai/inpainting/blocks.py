"""Parts of the inpainting networks: each takes features and their mask, and returns both.

The mask says which positions are known. Only partial convolutions read and change it; others pass it on.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.inpainting.convolutions import SLOPE, GatedConv2d, PartialConv2d, same_padding

__all__ = ["NORMS", "Attention", "Chain", "ConvUnit", "LinearBottleneck", "Merge", "Residual", "residual_block"]

GROUPS = 8  # of a group normalisation, at most
NORMS = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(GROUPS, channels), channels),
    "none": None,
}
HEAD = 32  # channels per head of attention
MAX_TOKENS = 4096  # that attention reads; larger images have their keys and values averaged

Pair = tuple[Tensor, Tensor]


class ConvUnit(nn.Module):
    """A convolution of some kind, a normalisation and, unless it is linear, a leaky ReLU of slope 0.2.

    Shapes: (n, n_in, h, w) -> (n, n_out, h, w), h and w divided by the stride.
    """

    def __init__(
        self,
        n_in: int,  # channels
        n_out: int,  # channels
        conv: str = "plain",  # "plain", "gated" or "partial"
        norm: str = "batch",  # a key of `NORMS`
        stride: int = 1,  # pixels
        dilation: int = 1,  # pixels from one weight of the kernel to the next
        linear: bool = False,  # without the leaky ReLU; not for gated convolutions, which have their own
    ):
        super().__init__()
        self.kind, self.layer, self.linear = conv, (3, stride, dilation), linear
        after = None if NORMS[norm] is None else NORMS[norm](n_out)
        if conv == "gated":
            self.conv = GatedConv2d(n_in, n_out, *self.layer, norm=after)
        elif conv == "partial":
            self.conv, self.norm = PartialConv2d(n_in, n_out, *self.layer, bias=after is None), after or nn.Identity()
        else:
            self.conv = nn.Conv2d(n_in, n_out, 3, stride, same_padding(3, dilation), dilation, bias=after is None)
            self.norm = after or nn.Identity()

    def forward(self, x: Tensor, mask: Tensor) -> Pair:
        if self.kind == "gated":
            return self.conv(x), mask
        x, mask = self.conv(x, mask) if self.kind == "partial" else (self.conv(x), mask)
        x = self.norm(x)
        return x if self.linear else F.leaky_relu(x, SLOPE), mask


class Chain(nn.ModuleList):
    """Parts one after the other."""

    def forward(self, x: Tensor, mask: Tensor) -> Pair:
        for part in self:
            x, mask = part(x, mask)
        return x, mask


class Residual(nn.Module):
    """`x + part(x)`, for a part that keeps the shape."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: Tensor, mask: Tensor) -> Pair:
        out, mask = self.part(x, mask)
        return x + out, mask


def residual_block(
    width: int,  # channels
    conv: str = "plain",  # as for `ConvUnit`
    norm: str = "batch",
) -> Residual:
    """Return a block of two convolutions whose result is added to what came in; it starts as the identity."""
    last = ConvUnit(width, width, "plain" if conv == "gated" else conv, norm, linear=True)
    for parameter in (last.conv if norm == "none" else last.norm).parameters():
        nn.init.zeros_(parameter)
    return Residual(Chain([ConvUnit(width, width, conv, norm), last]))


class Merge(nn.Module):
    """Double the size of deep features and join them with those of the encoder's level, if it has a skip.

    A 1x1 convolution first reduces the deep features. They are enlarged by repeating for partial convolutions, and
    bilinearly for others.
    Shapes: (n, deep, h, w) -> (n, 2 width, 2h, 2w) with a skip of (n, width, 2h, 2w), and (n, width, 2h, 2w) without.
    """

    def __init__(
        self,
        deep: int,  # channels of the deeper level
        width: int,  # channels of this one
        partial: bool,  # whether masks count
    ):
        super().__init__()
        self.reduce, self.partial = nn.Conv2d(deep, width, 1), partial
        self.layers = [(1, 1, 1), (1 if partial else 2, 0.5, 1)]

    def forward(self, x: Tensor, mask: Tensor, skip: Pair | None) -> Pair:
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="nearest" if self.partial else "bilinear")
        if self.partial:
            mask = mask.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if skip is None:
            return x, mask
        if self.partial:  # each channel has the mask of where it came from
            mask = torch.cat([mask.expand_as(x), skip[1].expand_as(skip[0])], 1)
        return torch.cat([x, skip[0]], 1), mask


class Attention(nn.Module):
    """Self-attention: each position adds what it finds in similar ones, wherever they are.

    Memory is bounded: beyond 4096 positions (512 x 512 pixels at an eighth of the size), keys and values are averaged
    over squares. The output layer starts at 0, so that an untrained one changes nothing.
    Shapes: (n, channels, h, w) -> the same.
    Source: Zhang et al. 2019, arXiv:1805.08318, sec. 3, with the softmax of scaled products.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(1, channels // HEAD) if channels % HEAD == 0 else 1
        self.norm, self.query = nn.GroupNorm(1, channels), nn.Conv2d(channels, channels, 1)
        self.key_value, self.out = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight), nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Pair:
        normed = self.norm(x)
        side = max(1, math.ceil(math.sqrt(x.shape[2] * x.shape[3] / MAX_TOKENS)))
        read = normed if side == 1 else F.avg_pool2d(normed, side, ceil_mode=True)
        query, key_value = self._tokens(self.query(normed)), self.key_value(read)
        key, value = (self._tokens(part) for part in key_value.chunk(2, 1))
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(found.transpose(2, 3).reshape(x.shape)), mask

    def _tokens(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, heads, h w, c / heads)."""
        return x.reshape(len(x), self.heads, x.shape[1] // self.heads, -1).transpose(2, 3)


class LinearBottleneck(nn.Module):
    """All features to a short code by a linear layer, and back by another. Afterwards every position is known.

    Shapes: (n, *shape) -> the same.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],  # (channels, height, width) of the features
        code_size: int,  # values
    ):
        super().__init__()
        self.shape, n = shape, math.prod(shape)
        self.encode, self.decode = nn.Linear(n, code_size), nn.Linear(code_size, n)

    def forward(self, x: Tensor, mask: Tensor) -> Pair:
        x = F.leaky_relu(self.decode(self.encode(x.flatten(1))), SLOPE)
        return x.view(-1, *self.shape), torch.ones_like(mask)
