"""A compressed image: the file's bytes, the image that they decode to, and the report."""

from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from siren_fastai.codec.encode import Quantized, file_of
from siren_fastai.codec.source import Source
from siren_fastai.images import to_uint8
from siren_fastai.quality import SSIM_WINDOW, bits_per_pixel, psnr, ssim
from siren_fastai.sirn.contents import Denoise, Encoded
from siren_fastai.sirn.decode import decode, float_error
from siren_fastai.sirn.denoise import denoise
from siren_fastai.sirn.format import read
from siren_fastai.sirn.reader import TRUSTED
from siren_fastai.sirn.work import decoding_work

__all__ = ["STRENGTHS", "Compressed", "best_denoiser", "measured", "with_denoiser"]

STRENGTHS = {"median": (1.0,), "bilateral": (0.02, 0.05), "tv": (0.01, 0.03), "nlm": (0.01, 0.03)}


@dataclass(frozen=True)
class Compressed:
    """A compressed image: the file's bytes, the image that they decode to, and what happened.

    Shapes: image (h, w, c) float32 in [0, 1].
    """

    data: bytes
    image: Tensor
    report: dict = field(default_factory=dict)


def measured(data: bytes, target: Tensor, report: dict) -> Compressed:
    """The file decoded; bytes, bpp, PSNR and SSIM (of 8-bit pixels, against `target`), `float_error` in the report."""
    encoded = read(data, TRUSTED)
    image = decode(encoded)
    shown, wanted = _levels(image), _levels(target)
    similarity = ssim(shown, wanted) if min(image.shape[:2]) >= SSIM_WINDOW else None
    size = {"bytes": len(data), "bpp": bits_per_pixel(len(data), image.shape)}
    quality = {"psnr": psnr(shown, wanted), "ssim": similarity, "float_error": float_error(encoded)}
    return Compressed(data, image, {**report, **size, **quality, "decoding_seconds": _decoding_seconds(encoded)})


def _decoding_seconds(encoded: Encoded) -> float:
    noise = encoded.denoise and (encoded.denoise.method, encoded.denoise.strength)
    dims = [network.dims for network in encoded.networks]
    return decoding_work(encoded.height, encoded.width, encoded.channels, dims, noise) / 1e9


def with_denoiser(made: Compressed, source: Source, found: Quantized, asked: str | tuple[str, float]) -> Compressed:
    """The same network in a file that names a denoiser: the one that was asked for, or for "auto" the best, if any."""
    best = best_denoiser(made.image, source.image) if asked == "auto" else Denoise(*asked)
    report = {**made.report, "psnr_before_denoising": made.report["psnr"]}
    report["denoise"] = None if best is None else (best.method, best.strength)
    if best is None:
        return replace(made, report=report)
    return measured(file_of(source, found, best), source.image, report)


def best_denoiser(image: Tensor, target: Tensor) -> Denoise | None:
    """The denoiser and strength of `STRENGTHS` that bring `image` closest to `target`, or None if none helps."""
    wanted = _levels(target)
    tries = [Denoise(method, strength) for method, strengths in STRENGTHS.items() for strength in strengths]
    scores = [psnr(_levels(denoise(image, d.method, d.strength)), wanted) for d in tries]
    best = max(range(len(tries)), key=scores.__getitem__)
    return tries[best] if scores[best] > psnr(_levels(image), wanted) else None


def _levels(image: Tensor) -> np.ndarray:
    """Pixels rounded to 8 bits, in [0, 1]."""
    return to_uint8(image) / 255.0
