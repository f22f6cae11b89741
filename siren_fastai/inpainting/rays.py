"""Rays from each pixel of a hole in 16 directions: the first known pixel on each, and a filling blended from those.

An edge that crosses the hole meets known pixels of the same colour at both ends of the ray along it. Weighting a
direction by how well its two ends agree therefore continues edges, where a smooth surface blurs them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.inpainting.prefill import smooth_prefill

__all__ = ["RAYS", "blend", "cast_rays", "disagreement", "halved", "membrane", "ray_weights"]

WAYS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (2, -1), (1, 2), (-1, 2))  # (down, right) in pixels per step
RAYS = 2 * len(WAYS)  # a way and its opposite
TOLERANCE = 0.05  # of values in [0, 1]: ends that differ by less agree
UNKNOWN = 0.3  # the difference that is assumed where only one of the two rays meets a known pixel
SMOOTH_SHARE = 0.2  # of the smooth surface in the blend
TINY = 1e-9


def cast_rays(
    image: Tensor,  # (n, c, h, w) floats
    known: Tensor,  # (n, 1, h, w) bool
) -> tuple[Tensor, Tensor]:
    """Return what each ray meets first, for every unknown pixel in the order of `known.logical_not().nonzero()`.

    Ray i and ray i + 8 are opposite. A ray advances by whole steps, of which those of slope 2 skip pixels.
    Shapes: colours (p, 16, c), and distances (p, 16) in pixels: inf, with the colour 0, where a ray leaves the image.
    """
    values = torch.cat([image.masked_fill(~known, 0), torch.zeros_like(image[:, :1])], 1)
    ways = [*WAYS, *((-down, -right) for down, right in WAYS)]
    hole = (~known[:, 0]).nonzero(as_tuple=True)
    met = torch.stack([_scan(values, known, *way)[hole[0], :, hole[1], hole[2]] for way in ways], 1)
    return met[..., :-1], met[..., -1]


def disagreement(
    colors: Tensor,  # (p, 16, c), as from `cast_rays`
    distances: Tensor,  # (p, 16)
) -> Tensor:  # (p, 8)
    """Return the mean squared difference of the two ends of each line; 0.3 squared where one of them is missing."""
    a, b = colors.chunk(2, 1)
    missing = distances.isinf().unflatten(1, (2, -1)).any(1)
    return (a - b).square().mean(2).masked_fill(missing, UNKNOWN**2)


def ray_weights(
    distances: Tensor,  # (p, 16), as from `cast_rays`
    differences: Tensor,  # (p, 8), as from `disagreement`
) -> Tensor:  # (p, 17), all above 0
    """Return the weights of the rays, and of a smooth surface, not normalised: near ends that agree weigh most."""
    rays = ((1 / distances).unflatten(1, (2, -1)) / (differences + TOLERANCE**2)[:, None]).flatten(1)
    smooth = rays.sum(1, keepdim=True) * SMOOTH_SHARE / (1 - SMOOTH_SHARE)
    return torch.cat([rays, smooth], 1) + TINY


def blend(
    weights: Tensor,  # (p, 17), which sum to 1
    colors: Tensor,  # (p, 16, c), as from `cast_rays`
    smooth: Tensor,  # (p, c): the smooth surface
) -> Tensor:  # (p, c)
    """Return the weighted mean of what the rays met and the smooth surface."""
    return (weights[:, :-1, None] * colors).sum(1) + weights[:, -1:] * smooth


def halved(
    image: Tensor,  # (n, c, h, w) of even sides
    known: Tensor,  # (n, 1, h, w) bool
) -> tuple[Tensor, Tensor]:
    """Return the image at half its size, each pixel the mean of those known among four, and which has any."""
    share = F.avg_pool2d(known.float(), 2)
    return F.avg_pool2d(image.masked_fill(~known, 0), 2) / share.clamp_min(0.25), share > 0


def membrane(
    half: Tensor,  # (n, c, h / 2, w / 2): a filled image
    image: Tensor,  # (n, c, h, w)
    known: Tensor,  # (n, 1, h, w) bool
) -> Tensor:  # (n, c, h, w)
    """Return the filled image at full size, plus a smooth surface by which it meets the known pixels without a seam."""
    full = F.interpolate(half, scale_factor=2, mode="bilinear")
    return full + smooth_prefill(image - full, known)


def _scan(values: Tensor, known: Tensor, down: int, right: int) -> Tensor:
    """(n, c + 1, h, w): what each pixel meets first looking back, against (down, right), and its distance in the last
    channel."""
    if down == 0:
        return _scan(values.transpose(2, 3), known.transpose(2, 3), right, 0).transpose(2, 3)
    if down < 0:
        return _scan(values.flip(2), known.flip(2), -down, right).flip(2)
    n, c, h, w = values.shape
    met = values.new_zeros(n, c, h + 2 * down, w + 4)  # a border in which nothing is met
    met[:, -1] = math.inf
    step = values.new_tensor([0] * (c - 1) + [math.hypot(down, right)]).view(1, c, 1, 1)
    for top in range(0, h, down):
        rows = slice(top, min(top + down, h))
        count = rows.stop - rows.start
        before = met[:, :, top : top + count, 2 - right : 2 - right + w] + step
        met[:, :, top + down : top + down + count, 2 : 2 + w] = torch.where(
            known[:, :, rows], values[:, :, rows], before
        )
    return met[:, :, down : down + h, 2 : 2 + w]
