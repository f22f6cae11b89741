"""The Kali set: fractals from p <- |p| / (p . p), then p <- p - parameter, repeated at each pixel.

Source: the fractal posted by Kali at fractalforums.com in 2011; its modes and random parameters are those of the
generator that note 002 of the studies trained on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["ACCUMULATE", "EPSILON", "kali"]

ACCUMULATE = ("none", "mean", "max", "min", "submin", "alternate")
EPSILON = 1e-6  # added to p . p; without it, |p'|^2 is 1 / |p|^2


def kali(
    shape: tuple[int, int, int],  # (channels, height, width)
    param: Sequence[float],  # what is subtracted, one number per channel
    iterations: int = 5,  # 1 or more
    scale: float = 1.0,  # of the positions, which are on [-1, 1]
    offset: Sequence[float] = (0.0, 0.0, 0.0),  # of the positions, one number per channel
    accumulate: str = "none",  # what becomes of the points of all iterations, one of `ACCUMULATE`
    exponent: float = 0.0,  # k above 0: exp(-k p) instead of each point
    sine: float = 0.0,  # k above 0: then sin(k p)
    mix: Sequence[Sequence[float]] | None = None,  # (channels, channels): the weights of each new channel
    antialias: int = 1,  # n: the mean of n x n grids, each moved by 1/n of a pixel
    device: torch.device | str = "cpu",
) -> Tensor:  # (channels, height, width) float64 in [0, 1]
    """A Kali fractal. x is the first channel, from left to right, y the second, the others begin at 0.

    Only sums, products, quotients and the like are used, in a fixed order, which IEEE 754 rounds the same everywhere;
    but `exponent` and `sine` may differ in the last bit from machine to machine.
    Modes, with n iterations: "none" the last point p; "mean" sum(p) / n; "max" max(p) / n; "min" n min(p); "submin"
    what remains of n, from which each p is taken, down to 0, / n; "alternate" 2 (p_1 - p_2 + p_3 - ...) / n.
    Raises: ValueError for numbers of parameters, offsets or weights that don't fit the channels, an unknown mode, or
        less than 1 iteration.
    """
    if accumulate not in ACCUMULATE:
        raise ValueError(f"`accumulate` must be one of {ACCUMULATE}, got {accumulate!r}")
    _check(shape, param, offset, mix, iterations, antialias)
    total = None
    for down in range(antialias):
        for right in range(antialias):
            space = _space(shape, scale, offset, (down / antialias, right / antialias), device)
            image = _accumulated(space, param, iterations, accumulate, exponent, sine)
            image = image if mix is None else _mixed(image, mix)
            total = image if total is None else total + image
    return (total / antialias**2).clamp_(0, 1)


def _space(shape, scale: float, offset: Sequence[float], moved: tuple[float, float], device) -> Tensor:
    """The points to begin with, (c, h, w)."""
    space = torch.zeros(shape, dtype=torch.float64, device=device)
    for channel, (n, part) in enumerate(zip((shape[2], shape[1]), (moved[1], moved[0]), strict=True)):
        axis = (2 * (torch.arange(n, dtype=torch.float64, device=device) + part) - (n - 1)) / max(1, n - 1)
        if channel < shape[0]:
            space[channel] = axis if channel == 0 else axis[:, None]
    for channel, shift in zip(space, offset, strict=True):
        channel.mul_(scale).add_(shift)
    return space


def _accumulated(p: Tensor, param, iterations: int, accumulate: str, exponent: float, sine: float) -> Tensor:
    """The points (c, h, w) after the iterations, accumulated; `p` is overwritten."""
    n = iterations
    total = torch.full_like(p, n) if accumulate in ("min", "submin") else torch.zeros_like(p)
    param = torch.tensor([float(x) for x in param], dtype=p.dtype, device=p.device)[:, None, None]
    length, square = torch.empty_like(p[0]), torch.empty_like(p[0])
    for i in range(n):
        p = p.sub_(param) if i else p
        torch.mul(p[0], p[0], out=length)
        for channel in p[1:]:
            length.add_(torch.mul(channel, channel, out=square))
        p.abs_().div_(length.add_(EPSILON))
        a = torch.exp(-exponent * p) if exponent else p
        a = torch.sin(sine * a) if sine else a
        total = _STEPS[accumulate](total, a, i)
    return {"none": total, "min": total * n, "alternate": 2 * (total / n)}.get(accumulate, total / n)


_STEPS = {
    "none": lambda total, a, i: a,
    "mean": lambda total, a, i: total.add_(a),
    "max": lambda total, a, i: torch.maximum(total, a, out=total),
    "min": lambda total, a, i: torch.minimum(total, a, out=total),
    "submin": lambda total, a, i: total.sub_(torch.minimum(total, a)),
    "alternate": lambda total, a, i: total.sub_(a) if i % 2 else total.add_(a),
}


def _mixed(image: Tensor, mix: Sequence[Sequence[float]]) -> Tensor:
    """Weighted sums of the channels, added one by one: a matrix product would choose its own order."""
    rows = []
    for weights in mix:
        row = image[0] * weights[0]
        for channel, weight in zip(image[1:], weights[1:], strict=True):
            row = row + channel * weight
        rows.append(row)
    return torch.stack(rows)


def _check(shape, param, offset, mix, iterations: int, antialias: int) -> None:
    channels = shape[0]
    if len(param) != channels or len(offset) != channels:
        raise ValueError(f"`param` and `offset` must hold {channels} numbers, got {len(param)} and {len(offset)}")
    if mix is not None and (len(mix) != channels or any(len(row) != channels for row in mix)):
        raise ValueError(f"`mix` must be {channels}x{channels}, got rows of {[len(row) for row in mix]}")
    for name, value in (("iterations", iterations), ("antialias", antialias)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be an integer of 1 or more, got {value!r}")
