"""Convolutions for images with holes: gated, partial and dilated, and how far a chain of them sees.

Sources: gated: Yu et al. 2019, arXiv:1806.03589, sec. 3.1. Partial: Liu et al. 2018, arXiv:1804.07723, sec. 3.1.
Dilated: Yu and Koltun 2016, arXiv:1511.07122.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GatedConv2d", "PartialConv2d", "receptive_field", "same_padding"]

SLOPE = 0.2  # of the leaky ReLU, for negative values


def same_padding(
    kernel_size: int,  # pixels, odd
    dilation: int = 1,  # pixels from one weight of the kernel to the next
) -> int:
    """Return the padding that keeps the size at a stride of 1, dilation (kernel_size - 1) / 2.

    Raises: ValueError for an even kernel, which has no such padding.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"`kernel_size` must be odd to keep the size, got {kernel_size}")
    return dilation * (kernel_size - 1) // 2


def receptive_field(
    layers: Iterable[tuple[int, float, int]],  # (kernel size, stride, dilation), first to last
) -> int:  # pixels
    """Return the side of the square of input pixels that one output pixel depends on, at most.

    Without upsampling it is 1 + sum of dilation (kernel_size - 1) times the strides before. Pooling counts as a
    convolution. Upsampling by 2 has stride 1/2, and a kernel of 1 if it repeats values or 2 if it is bilinear: how many
    pixels are seen then differs from pixel to pixel, and the greatest number counts.
    """
    field = 1
    for kernel_size, stride, dilation in reversed(list(layers)):
        if stride < 1:
            factor = round(1 / stride)
            field = (field + factor - 2) // factor + kernel_size
        else:
            field = (field - 1) * stride + dilation * (kernel_size - 1) + 1
    return field


class GatedConv2d(nn.Module):
    """phi(features) * sigmoid(gate), both convolutions of the input: the network learns which pixels to use.

    One convolution computes both. phi is a normalisation, if there is one, and a leaky ReLU of slope 0.2.
    Shapes: (n, n_in, h, w) -> (n, n_out, h, w), or a fraction of the size with a stride.
    """

    def __init__(
        self,
        n_in: int,  # channels
        n_out: int,  # channels
        kernel_size: int = 3,  # pixels, odd
        stride: int = 1,  # pixels
        dilation: int = 1,  # pixels from one weight of the kernel to the next
        norm: nn.Module | None = None,  # of the features, before the activation
    ):
        super().__init__()
        padding = same_padding(kernel_size, dilation)
        self.conv = nn.Conv2d(n_in, 2 * n_out, kernel_size, stride, padding, dilation)  # features, then gates
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, x: Tensor) -> Tensor:
        # halves of the channels aren't dense in memory: without a copy the rest would take three times as long on a CPU
        halves = self.conv(x).chunk(2, dim=1)
        features, gate = (half.contiguous(memory_format=torch.channels_last) for half in halves)
        return F.leaky_relu(self.norm(features), SLOPE) * gate.sigmoid()


class PartialConv2d(nn.Module):
    """A convolution that reads known pixels only, scaled by how many there are, and the mask that follows.

    Where a window has known values, the output is W (x * mask) |window| / sum(mask) + bias and becomes known; elsewhere
    it is 0 and stays unknown. The padding counts as unknown: at the image's border the factor is above 1, as in the
    paper's code. |window| is kernel_size^2 times the mask's channels.
    Shapes: (n, n_in, h, w) and a mask (n, 1, h, w) or (n, n_in, h, w), bool or 0 and 1 -> (n, n_out, h, w) and a bool
    mask (n, 1, h, w); h and w are divided by a stride.
    Raises: ValueError for a mask of another shape.
    """

    def __init__(
        self,
        n_in: int,  # channels
        n_out: int,  # channels
        kernel_size: int = 3,  # pixels, odd
        stride: int = 1,  # pixels
        dilation: int = 1,  # pixels from one weight of the kernel to the next
        bias: bool = True,
    ):
        super().__init__()
        padding = same_padding(kernel_size, dilation)
        self.conv = nn.Conv2d(n_in, n_out, kernel_size, stride, padding, dilation, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if mask.shape not in ((len(x), 1, *x.shape[2:]), x.shape):
            raise ValueError(f"`mask` must be {(len(x), 1, *x.shape[2:])} or {tuple(x.shape)}, got {tuple(mask.shape)}")
        known = mask.bool()
        count = self._count(known)
        out = self.conv(x.masked_fill(~known, 0))
        window = self.conv.kernel_size[0] ** 2 * mask.shape[1]
        out = out * (window / count.clamp_min(1)).to(out.dtype)
        out = out if self.bias is None else out + self.bias.to(out.dtype)[:, None, None]
        return out.masked_fill(count == 0, 0), count > 0

    @torch.no_grad()
    def _count(self, known: Tensor) -> Tensor:
        """How many values of each window are known, (n, 1, h, w) float32: exact, so neither autocast nor rounding."""
        conv = self.conv
        with torch.autocast(known.device.type, enabled=False):
            ones = torch.ones(1, 1, *conv.kernel_size, device=known.device)
            counts = known.sum(1, keepdim=True, dtype=torch.float32)
            return F.conv2d(counts, ones, None, conv.stride, conv.padding, conv.dilation).round()
