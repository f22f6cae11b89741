"""MSE, PSNR and SSIM in the two conventions, and what a network costs in bytes beside a JPEG of its quality."""

import io

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor

from siren_fastai.checkpoint import Checkpoint
from siren_fastai.images import to_uint8
from siren_fastai.models.field import count_parameters
from siren_fastai.quality import bits_per_pixel, convert_mse, mse, psnr, psnr_from_mse, ssim

__all__ = ["jpeg_of_equal_psnr", "metrics_of", "score"]


def score(prediction: Tensor, target: Tensor, convention: str = "standard") -> dict[str, float]:
    """`mse`, `psnr` (dB) and `ssim` of pictures (h, w, c) told in [0, 1]; the prediction may leave that range.

    "standard": range 1, PSNR and SSIM of the prediction cut to [0, 1]. "note": both pictures in [-1, 1] with a range of
    1, nothing cut, as the note has it: 4 times the MSE, a PSNR 6.02 dB lower, an SSIM without meaning.
    """
    if convention == "standard":
        kept = prediction.clamp(0, 1)
        return {"mse": mse(prediction, target), "psnr": psnr(prediction, target), "ssim": ssim(kept, target)}
    error = convert_mse(mse(prediction, target), "unit", "symmetric")
    pair = [2 * picture.detach().cpu().double().numpy() - 1 for picture in (target, prediction)]
    with np.errstate(invalid="ignore", over="ignore"):
        similarity = float(structural_similarity(*pair, data_range=1.0, channel_axis=-1))
    return {"mse": error, "psnr": psnr_from_mse(error), "ssim": similarity}


def metrics_of(checkpoint: Checkpoint, prediction: Tensor, target: Tensor) -> dict:
    """The scores in both conventions, and the sizes: weights as float32, raw 8-bit pixels, JPEG of equal PSNR."""
    height, width, channels = target.shape
    parameters = count_parameters(checkpoint.model)
    scores = {name: score(prediction, target, name) for name in ("standard", "note")}
    return {
        **scores,
        "size": [height, width],
        "channels": channels,
        "epochs": checkpoint.epoch,
        "model_type": checkpoint.model.kind,
        "parameters": parameters,
        "weights_bytes": 4 * parameters,
        "bits_per_pixel": bits_per_pixel(4 * parameters, target.shape),
        "raw_bits_per_pixel": 8 * channels,
        "jpeg_of_equal_psnr": jpeg_of_equal_psnr(target, scores["standard"]["psnr"]),
    }


def jpeg_of_equal_psnr(target: Tensor, level: float) -> dict | None:
    """The smallest JPEG quality of at least `level` dB, with its bytes; None if even quality 95 is worse."""
    low, high, best = 1, 95, None
    while low <= high:
        quality = (low + high) // 2
        found = _jpeg(target, quality)
        if found["psnr"] >= level:
            best, high = found, quality - 1
        else:
            low = quality + 1
    return best


def _jpeg(target: Tensor, quality: int) -> dict:
    levels, stream = to_uint8(target), io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(stream, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(stream), dtype=np.float32).reshape(levels.shape) / 255
    count = len(stream.getvalue())
    bits = bits_per_pixel(count, target.shape)
    return {"quality": quality, "bytes": count, "bits_per_pixel": bits, "psnr": psnr(decoded, target)}
