"""The small version of DALL-E's image encoder that note 002 begins with.

Source: Ramesh et al. 2021, arXiv:2102.12092, appendix A.1, and the encoder of its public code. There it names codebook
entries; here the output is flattened and mapped to a plain code, without a codebook.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.shapes import check_count, check_image_shape, check_images

__all__ = ["DalleEncoder"]

WIDTHS = (1, 2, 4, 8)  # of the groups, times n_hid
SHRINK = 8  # three poolings of 2


class DalleEncoder(nn.Module):
    """Four groups of residual blocks with pooling in between, a 1x1 convolution, then a linear layer to the code.

    With the defaults it has 1 725 264 parameters, for images of 1 x 32 x 32.
    Shapes: (n, channels, height, width) -> (n, code_size).
    Raises: ValueError for images whose sides are not multiples of 8, or a `n_hid` that is none of 4.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 32, 32),  # (channels, height, width) of the images
        code_size: int = 128,  # values per code
        n_hid: int = 64,  # channels of the first group; the later ones have 2, 4 and 8 times as many
        n_blk_per_group: int = 1,  # residual blocks
        vocab_size: int = 128,  # channels before the linear layer
        space_to_depth: bool = True,  # pool by 2x2 pixels as channels and a 1x1 convolution; False is max-pooling
        act_fn: str = "gelu",
    ):
        super().__init__()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        channels, height, width = self.shape
        if height % SHRINK or width % SHRINK:
            raise ValueError(f"this encoder needs sides that are multiples of {SHRINK} pixels, got {height} x {width}")
        if check_count("n_hid", n_hid) % 4:
            raise ValueError(f"`n_hid` must be a multiple of 4, got {n_hid}")
        gain = 1 / (len(WIDTHS) * check_count("n_blk_per_group", n_blk_per_group)) ** 2
        layers, n_in = [_conv(channels, n_hid, 7)], n_hid
        for group, n_out in enumerate(n_hid * factor for factor in WIDTHS):
            blocks = [_Block(n_out if i else n_in, n_out, gain, act_fn) for i in range(n_blk_per_group)]
            pool = [] if group == len(WIDTHS) - 1 else [_pool(n_out, space_to_depth)]
            layers, n_in = [*layers, *blocks, *pool], n_out
        layers += [activation_layer(act_fn), _conv(n_in, vocab_size, 1)]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(vocab_size * (height // SHRINK) * (width // SHRINK), code_size)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.flatten(self.convolutions(check_images(images, self.shape)), 1))


class _Block(nn.Module):
    """`x + gain f(x)` with a bottleneck of a quarter of the channels, or a 1x1 convolution of x where channels grow."""

    def __init__(self, n_in: int, n_out: int, gain: float, act_fn: str):
        super().__init__()
        inner, self.gain = n_out // 4, gain
        self.identity = nn.Identity() if n_in == n_out else _conv(n_in, n_out, 1)
        convolutions = [_conv(n_in, inner, 3), _conv(inner, inner, 3), _conv(inner, inner, 3), _conv(inner, n_out, 1)]
        self.residual = nn.Sequential(*(m for conv in convolutions for m in (activation_layer(act_fn), conv)))

    def forward(self, x: Tensor) -> Tensor:
        return self.identity(x) + self.gain * self.residual(x)


class _SpaceToDepth(nn.Sequential):
    """Half the size: 2x2 pixels become channels, which a 1x1 convolution reduces."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pixel_unshuffle(x, 2))


def _pool(channels: int, space_to_depth: bool) -> nn.Module:
    return _SpaceToDepth(_conv(4 * channels, channels, 1)) if space_to_depth else nn.MaxPool2d(2)


def _conv(n_in: int, n_out: int, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the size, drawn as the public code does: N(0, 1/(n_in k^2)), without bias at first."""
    conv = nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)
    nn.init.normal_(conv.weight, std=1 / math.sqrt(n_in * kernel_size**2))
    nn.init.zeros_(conv.bias)
    return conv
