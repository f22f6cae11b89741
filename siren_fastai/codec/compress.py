"""A picture to a small file in one call: choose a network, fit it, quantise it, fine-tune, code, verify by decoding."""

import math
import time
from dataclasses import dataclass, field, replace

import torch
from fastai.callback.core import Callback
from fastai.torch_core import no_random
from torch import Tensor

from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.job import Job
from siren_fastai.codec.size import bits_per_pixel_of
from siren_fastai.images import load_image, to_uint8
from siren_fastai.names import DENOISERS
from siren_fastai.quality import bits_per_pixel, psnr, ssim
from siren_fastai.sirn.contents import Denoise
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.denoise import check_denoise, denoise
from siren_fastai.sirn.reader import TRUSTED

__all__ = ["Clusters", "Compressed", "compress"]

MOST = 24  # bits per pixel
DENOISER = 7  # bytes of a file that names one
TRIES, CLOSE = 5, 0.25  # encodes until a PSNR is met; dB above the target that are close enough
DB_PER_DOUBLING = 2.0  # what twice the bytes give, about
STRENGTHS = {"median": (1.0,), "bilateral": (0.02, 0.05), "tv": (0.01, 0.03), "nlm": (0.01, 0.03)}


@dataclass
class Compressed:
    """A compressed picture: the file's bytes, the picture that they decode to, and what happened.

    Shapes: image (h, w, c) float32 in [0, 1].
    """

    data: bytes
    image: Tensor
    report: dict = field(default_factory=dict)


def compress(
    image,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    quality: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    mean: bool = False,
    denoise: str | tuple[str, float] | None = None,
    clusters: Clusters | None = None,
    cbs: list[Callback] | None = None,
) -> Compressed:
    """Compress a picture into the bytes of a `.sirn` file, for exactly one target.

    image: a path, PIL image, array or tensor, gray or RGB, as `load_image` takes it.
    bpp: bits per pixel of the whole file at most. psnr: dB over all channels at least, by up to 5 encodes with the
        smallest file kept that has it. quality: 1 to 100, as bits per pixel (`shape.bits_per_pixel_of`), or the
        smallest possible file if that is larger.
    steps: training steps of 8192 pixels, the last 60 % with quantised weights. By default 110 times the network's
        width, at most 10 000: some 2900 at 3 kB, 7000 at 17 kB. A tenth more for each round (of two at most) in which
        the file is too large, and 40 % more each time (two at most) that training goes astray.
    mean: train on the difference from the mean colour, which the file then stores.
    denoise: smooth the decoded picture, by a method and strength of `sirn.denoise`, or the best one ("auto": none if
        none helps). clusters: labels as features, or a network for each cluster.
    cbs: further fastai callbacks for the fits.

    Ctrl-C ends training early, and the result is that of the best network so far: `report["interrupted"]` says so.
    The report has bytes, bpp, psnr and ssim of the 8-bit pixels that the file decodes to, the PSNR before quantising
    and before fine-tuning, widths, bits per tensor, steps and seconds. A PSNR that was not reached is told there.
    Raises: ValueError for no target or several, one out of range, or one too small for any network.
    """
    picture = load_image(image)
    bpp = _check_target(bpp, psnr, quality)
    if isinstance(denoise, tuple):
        check_denoise(*denoise)
    elif denoise not in (None, "auto"):
        told = f"None, 'auto' or (method, strength) with a method of {DENOISERS}"
        raise ValueError(f"`denoise` must be {told}, got {denoise!r}")
    if not (clusters is None or isinstance(clusters, Clusters)):
        raise TypeError(f"`clusters` must be None or Clusters(k, ...), got {clusters!r}")
    if steps is not None and (isinstance(steps, bool) or steps < 1):
        raise ValueError(f"`steps` must be 1 or more, got {steps!r}")
    reserve = DENOISER if denoise else 0
    job = Job(picture, steps, device, progress, mean, clusters, list(cbs or []), reserve)

    def encode(n_bytes: float) -> Compressed:
        with no_random(seed):
            return _finish(job, n_bytes, denoise)

    per_bit = picture.shape[0] * picture.shape[1] / 8
    if quality is not None:
        return encode(max(job.least_bytes(), bpp * per_bit))
    if psnr is None:
        return encode(bpp * per_bit)
    least = job.least_bytes()
    return _search(encode, (least, max(least, MOST * per_bit)), bpp * per_bit, psnr)


def _check_target(bpp, psnr, quality) -> float:
    """The bits per pixel to begin with."""
    if sum(x is not None for x in (bpp, psnr, quality)) != 1:
        raise ValueError("give exactly one target: `bpp`, `psnr` or `quality`")
    if psnr is not None:
        if not 10 <= psnr <= 60:
            raise ValueError(f"`psnr` must be from 10 to 60 dB, got {psnr!r}")
        return 0.2 * 2 ** ((psnr - 27) / DB_PER_DOUBLING)
    if quality is not None:
        return bits_per_pixel_of(quality)
    if not 0 < bpp <= MOST:
        raise ValueError(f"`bpp` must be above 0 and at most {MOST} bits per pixel, got {bpp!r}")
    return bpp


def _search(encode, limits: tuple[float, float], n_bytes: float, target: float) -> Compressed:
    """The smallest of a few encodes that has the PSNR, else the best one; sizes stay within the limits."""
    tried: list[Compressed] = []
    sizes: list[float] = []
    best, spent, interrupted = None, 0.0, False
    while len(sizes) < TRIES:
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
        spent += tried[-1].report["seconds"]
        enough = [c for c in tried if c.report["psnr"] >= target]
        best = min(enough, key=lambda c: len(c.data)) if enough else max(tried, key=lambda c: c.report["psnr"])
        interrupted = tried[-1].report["interrupted"]
        if interrupted or 0 <= best.report["psnr"] - target <= CLOSE:
            break
        n_bytes = _next_size(tried, target + CLOSE / 2)
    reached = best.report["psnr"] >= target
    told = {"target_psnr": target, "reached": reached, "seconds": spent, "interrupted": interrupted}
    return replace(best, report={**best.report, **told})


def _next_size(tried: list[Compressed], target: float) -> float:
    """By the line through the two nearest points in (PSNR, log bytes), or a usual slope."""
    points = sorted(((c.report["psnr"], len(c.data)) for c in tried), key=lambda p: abs(p[0] - target))
    (near, n_bytes), slope = points[0], DB_PER_DOUBLING
    if len(points) > 1 and points[1][1] != n_bytes:
        ratio = math.log2(points[1][1] / n_bytes)
        slope = min(6.0, max(0.8, (points[1][0] - near) / ratio))
    return n_bytes * 2 ** min(3.0, max(-3.0, (target - near) / slope))


def _finish(job: Job, n_bytes: float, smoothing) -> Compressed:
    """Encode, decode the very bytes, smooth if asked to, report."""
    started = time.perf_counter()
    data, report = job.encode(n_bytes)
    image, target = decompress(data, TRUSTED), to_uint8(job.picture)
    if smoothing:
        report["psnr_before_denoising"] = _quality(image, target)
        best = _smoothing(image, target, smoothing)
        if best is not None:
            data = job.write(best)
            image = decompress(data, TRUSTED)
        report["denoise"] = best and (best.method, best.strength)
    levels = to_uint8(image)
    whole = min(levels.shape[:2]) >= 7
    report |= {"bytes": len(data), "bpp": bits_per_pixel(len(data), image.shape), "psnr": _quality(image, target)}
    report |= {"ssim": ssim(levels / 255.0, target / 255.0) if whole else None}
    return Compressed(data, image, {**report, "seconds": time.perf_counter() - started})


def _quality(image: Tensor, target) -> float:
    return psnr(to_uint8(image) / 255.0, target / 255.0)


def _smoothing(image: Tensor, target, asked) -> Denoise | None:
    """The denoiser to use: the one that was named, or the best if it helps."""
    if asked != "auto":
        return Denoise(*asked)
    tries = [Denoise(method, strength) for method, strengths in STRENGTHS.items() for strength in strengths]
    scores = [_quality(denoise(image, d.method, d.strength), target) for d in tries]
    best = max(range(len(tries)), key=scores.__getitem__)
    return tries[best] if scores[best] > _quality(image, target) else None
