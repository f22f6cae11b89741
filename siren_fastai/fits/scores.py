"""MSE, PSNR and SSIM in the two conventions, and the bytes of a network compared with those of an equally good JPEG."""

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor

from siren_fastai.classics import pillow_points
from siren_fastai.fits.state import Checkpoint
from siren_fastai.images import to_uint8
from siren_fastai.models.field import count_parameters
from siren_fastai.names import METRIC_CONVENTIONS
from siren_fastai.quality import bits_per_pixel, convert_mse, mse, psnr, psnr_from_mse, ssim

__all__ = ["describe_scores", "jpeg_of_equal_psnr", "metrics_of", "score"]

MAX_JPEG_QUALITY = 95  # above it, files grow without looking better


def score(
    prediction: Tensor,  # (h, w, c), not clamped: it may leave [0, 1]
    target: Tensor,  # (h, w, c) in [0, 1]
    convention: str = "standard",
) -> dict[str, float]:
    """Return `mse`, `psnr` (dB) and `ssim` of two images.

    "standard": a data range of 1, PSNR and SSIM of the prediction clamped to [0, 1]. "note": both images in [-1, 1]
    with a data range of 1 and nothing clamped, as the 2020 report has it: 4 times the MSE, a PSNR 6.02 dB lower, an
    SSIM without meaning.
    """
    if convention == "standard":
        clamped = prediction.clamp(0, 1)
        return {"mse": mse(prediction, target), "psnr": psnr(prediction, target), "ssim": ssim(clamped, target)}
    error = convert_mse(mse(prediction, target), "unit", "symmetric")
    pair = [2 * image.detach().cpu().double().numpy() - 1 for image in (target, prediction)]
    with np.errstate(invalid="ignore", over="ignore"):
        similarity = float(structural_similarity(*pair, data_range=1.0, channel_axis=-1))
    return {"mse": error, "psnr": psnr_from_mse(error), "ssim": similarity}


def describe_scores(scores: dict) -> str:
    """Return `PSNR 30.00 dB, SSIM 0.9000, MSE 0.001000`."""
    return f"PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}, MSE {scores['mse']:.6f}"


def metrics_of(checkpoint: Checkpoint, prediction: Tensor, target: Tensor) -> dict:
    """Return the scores in both conventions, and sizes: weights as float32, raw 8-bit pixels, JPEG of equal PSNR."""
    height, width, channels = target.shape
    parameters = count_parameters(checkpoint.model)
    scores = {name: score(prediction, target, name) for name in METRIC_CONVENTIONS}
    return {
        **scores,
        "size": [height, width],
        "channels": channels,
        "epochs": checkpoint.epoch,
        "model_type": checkpoint.kind,
        "parameters": parameters,
        "weights_bytes": 4 * parameters,
        "bits_per_pixel": bits_per_pixel(4 * parameters, target.shape),
        "raw_bits_per_pixel": 8 * channels,
        "jpeg_of_equal_psnr": jpeg_of_equal_psnr(target, scores["standard"]["psnr"]),
    }


def jpeg_of_equal_psnr(
    target: Tensor,  # (h, w, c) in [0, 1]
    level: float,  # dB
) -> dict | None:
    """Return the smallest JPEG quality of at least `level` dB, with its bytes; None if even quality 95 has less."""
    levels, low, high, best = to_uint8(target), 1, MAX_JPEG_QUALITY, None
    while low <= high:
        quality = (low + high) // 2
        ((_, n_bytes, decoded),) = pillow_points(levels, "jpeg", [quality])
        found = psnr(decoded, target)
        if found >= level:
            bits = bits_per_pixel(n_bytes, target.shape)
            best, high = {"quality": quality, "bytes": n_bytes, "bits_per_pixel": bits, "psnr": found}, quality - 1
        else:
            low = quality + 1
    return best
