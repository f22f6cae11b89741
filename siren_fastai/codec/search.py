"""The smallest file that reaches a PSNR, by a few encodes of different sizes."""

import math
from collections.abc import Callable
from dataclasses import replace

from siren_fastai.codec.result import Compressed

__all__ = ["MAX_TRIES", "first_bits_per_pixel", "search_psnr"]

MAX_TRIES = 5
TOLERANCE = 0.25  # dB above the target that are close enough
DB_PER_DOUBLING = 2.0  # what twice the bytes usually give
SLOPES = (0.8, 6.0)  # dB per doubling, between which measured ones are believed
MAX_DOUBLINGS = 3.0  # of the size, up or down, from one encode to the next
FIRST_BPP, FIRST_PSNR = 0.2, 27  # a usual point


def first_bits_per_pixel(target: float) -> float:
    """The bits per pixel to try first for a PSNR of `target` dB."""
    return FIRST_BPP * 2 ** ((target - FIRST_PSNR) / DB_PER_DOUBLING)


def search_psnr(
    encode: Callable[[float], Compressed],  # from a size in bytes to a file of at most that size
    limits: tuple[float, float],  # of the sizes, in bytes
    n_bytes: float,  # the first size
    target: float,  # in dB
) -> Compressed:
    """The smallest of a few encodes that reaches the PSNR, or the one with the highest PSNR if none does.

    Its report also has the target, whether it was reached, and the seconds of all encodes. Ctrl-C ends the search
    with the best so far; before any encode is done, it goes to the caller.
    """
    tried: list[Compressed] = []
    sizes: list[float] = []
    interrupted = False
    while len(sizes) < MAX_TRIES and not interrupted:
        n_bytes = min(limits[1], max(limits[0], n_bytes))
        if n_bytes in sizes:
            break
        sizes.append(n_bytes)
        try:
            tried.append(encode(n_bytes))
        except KeyboardInterrupt:
            if not tried:
                raise
            interrupted = True
            break
        interrupted = tried[-1].report["interrupted"]
        if 0 <= _best(tried, target).report["psnr"] - target <= TOLERANCE:
            break
        n_bytes = _next_size(tried, target + TOLERANCE / 2)
    best = _best(tried, target)
    outcome = {"target_psnr": target, "reached": best.report["psnr"] >= target, "interrupted": interrupted}
    return replace(best, report={**best.report, **outcome, "seconds": sum(c.report["seconds"] for c in tried)})


def _best(tried: list[Compressed], target: float) -> Compressed:
    """The smallest that reaches the target, else the one with the highest PSNR."""
    enough = [c for c in tried if c.report["psnr"] >= target]
    return min(enough, key=lambda c: len(c.data)) if enough else max(tried, key=lambda c: c.report["psnr"])


def _next_size(tried: list[Compressed], target: float) -> float:
    """By the line through the two nearest points in (PSNR, log bytes), or a usual slope."""
    points = sorted(((c.report["psnr"], len(c.data)) for c in tried), key=lambda p: abs(p[0] - target))
    (near, n_bytes), slope = points[0], DB_PER_DOUBLING
    if len(points) > 1 and points[1][1] != n_bytes:
        ratio = math.log2(points[1][1] / n_bytes)
        slope = min(SLOPES[1], max(SLOPES[0], (points[1][0] - near) / ratio))
    return n_bytes * 2 ** min(MAX_DOUBLINGS, max(-MAX_DOUBLINGS, (target - near) / slope))
