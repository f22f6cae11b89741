"""From values that draw an image well in the mean square to values that draw it with the lowest L1.

Projection onto fields minimises the squared error, in which a few sharp edges outweigh all flat ground. On tiles, 15
steps lower the L1 of the same fields by 15 %.
Source: Nesterov 2005, Smooth minimization of non-smooth functions, sec. 4: accelerated gradients of a Huber loss whose
width shrinks.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.autoencoder.color_fields import ColorFields

__all__ = ["draw_enlarged", "enlarged", "refined"]

WIDTHS = (0.1, 0.005)  # of the Huber loss, first and last, in units of colour in [0, 1]
STEP = 0.6  # of Newton's, along each value by itself: 0.77 and 1 diverge on a few tiles


@torch.no_grad()
def refined(
    fields: ColorFields,
    cell: int,  # pixels per side of a cell
    images: Tensor,  # (n, channels, height, width) in [0, 1]
    values: Tensor,  # (n, n_values) to start from
    steps: int,  # 0 returns `values`
) -> Tensor:  # (n, n_values)
    """Return values with a lower L1 between images and what the fields draw, clamped; never with a higher one."""
    if not steps:
        return values
    rate = STEP / fields.curvature(values)
    here = ahead = values
    for i in range(steps):
        width = WIDTHS[0] * (WIDTHS[1] / WIDTHS[0]) ** (i / max(1, steps - 1))
        error = draw_enlarged(fields, cell, ahead).clamp_(0, 1).sub_(images)
        there = ahead - rate * fields.gradient(ahead, F.avg_pool2d(error.clamp_(-width, width), cell))
        ahead, here = there + i / (i + 3) * (there - here), there
    before, after = (_l1(fields, cell, images, v) for v in (values, here))
    return torch.where((after < before)[:, None], here, values)


def draw_enlarged(fields: ColorFields, cell: int, values: Tensor) -> Tensor:
    """(n, channels, height, width): what the fields draw, each cell as so many pixels."""
    return enlarged(fields.synthesise(values), cell)


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Images with each pixel repeated along both axes."""
    return images if factor == 1 else images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _l1(fields: ColorFields, cell: int, images: Tensor, values: Tensor) -> Tensor:
    return (draw_enlarged(fields, cell, values).clamp(0, 1) - images).abs().mean((1, 2, 3))
