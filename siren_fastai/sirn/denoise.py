"""Smoothing an image after it was decoded, by scikit-image. Never applied unless a file or a caller asks for it.

Sources: Tomasi and Manduchi 1998 (bilateral); Chambolle 2004, J. Math. Imaging Vis. 20 (tv); Buades, Coll and Morel
2005 (nlm, the fast variant of Darbon et al. 2008).
"""

from functools import partial

import numpy as np
import torch
from scipy.ndimage import median_filter
from skimage.restoration import denoise_bilateral, denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from siren_fastai.images import check_image
from siren_fastai.names import DENOISERS

__all__ = ["check_denoise", "denoise"]

STRONGEST = {"median": 8.0, "bilateral": 1.0, "tv": 10.0, "nlm": 1.0}
WEAKEST = float(np.float32(1e-4))  # files store float32, which is below 1e-4


def denoise(image: Tensor, method: str, strength: float) -> Tensor:
    """The image, smoothed. The same input gives the same output.

    method and strength:
        "median"     of the square of 2r + 1 pixels, per channel, mirrored at the border; r = strength, rounded, >= 1
        "bilateral"  means over 13x13 pixels, Gaussian in space (deviation 2) and colour (strength), mirrored
        "tv"         total variation, Chambolle's method, weight = strength
        "nlm"        non-local means, 5x5 patches up to 6 pixels away, cut-off h = strength
    Shapes: (h, w, c) float32 in [0, 1] -> the same, a new tensor on the CPU.
    Raises: ValueError for another shape, an unknown method or a strength out of its range.
    """
    check_denoise(method, strength)
    check_image(image)
    pixels = image.detach().cpu().float().numpy().clip(0, 1)
    smooth = {"median": _median, "bilateral": _bilateral, "tv": _tv, "nlm": _nlm}[method](pixels, float(strength))
    return torch.from_numpy(np.ascontiguousarray(smooth, dtype=np.float32)).clamp_(0, 1)


def check_denoise(method: str, strength: float) -> None:
    """Raise ValueError for an unknown method, or a strength out of the method's range."""
    if method not in DENOISERS:
        raise ValueError(f"`method` must be one of {DENOISERS}, got {method!r}")
    if not WEAKEST <= np.float32(strength) <= STRONGEST[method]:
        raise ValueError(f"`strength` of {method} must be from {WEAKEST:g} to {STRONGEST[method]:g}, got {strength!r}")


def _median(pixels: np.ndarray, strength: float) -> np.ndarray:
    side = 2 * max(1, int(strength + 0.5)) + 1
    pad = [(side // 2 if n == 2 else 0,) * 2 for n in pixels.shape[:2]]  # SciPy 1.17 mirrors 2 pixels by 8 wrongly
    smooth = median_filter(np.pad(pixels, [*pad, (0, 0)], "symmetric"), size=(side, side, 1), mode="reflect")
    (top, _), (left, _) = pad
    return smooth[top : top + pixels.shape[0], left : left + pixels.shape[1]]


def _bilateral(pixels: np.ndarray, strength: float) -> np.ndarray:
    """scikit-image's function takes one channel or three: others are smoothed one by one."""
    smooth = partial(denoise_bilateral, win_size=13, sigma_color=strength, sigma_spatial=2, mode="symmetric")
    if pixels.shape[2] == 3:
        return smooth(pixels, channel_axis=-1).reshape(pixels.shape)
    return np.stack([smooth(plane).reshape(plane.shape) for plane in np.moveaxis(pixels, 2, 0)], axis=2)


def _tv(pixels: np.ndarray, strength: float) -> np.ndarray:
    return denoise_tv_chambolle(pixels, weight=strength, eps=2e-4, max_num_iter=200, channel_axis=-1)


def _nlm(pixels: np.ndarray, strength: float) -> np.ndarray:
    smooth = denoise_nl_means(pixels, patch_size=5, patch_distance=6, h=strength, fast_mode=True, channel_axis=-1)
    return smooth.reshape(pixels.shape)
