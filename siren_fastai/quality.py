"""How good an image or a sound is, as one number: MSE, PSNR, SNR, SSIM, bits per pixel, and units. Pure functions.

Images are tensors of any device or arrays, (h, w, c) or (h, w); results are Python floats, computed in float64. Values
are in [0, 1] unless `data_range` says otherwise. NaN in gives NaN out.
Sources: PSNR = 10 log10(R^2 / MSE); SSIM: Wang et al. 2004, IEEE Trans. Image Process. 13(4), with scikit-image's
defaults, or the paper's window (sec. III.C: Gaussian, sigma 1.5, 11 x 11).
"""

from collections.abc import Callable, Sequence

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor

from siren_fastai.image_pairs import as_array, as_arrays, check_within, difference, with_channels

__all__ = [
    "SSIM_WINDOW",
    "UNITS",
    "bits_per_pixel",
    "convert_mse",
    "mse",
    "psnr",
    "psnr_from_mse",
    "snr",
    "snr_from_sums",
    "ssim",
]

Number = float | np.ndarray

IMAGENET_STD = (0.229, 0.224, 0.225)
UNITS = {"unit": 1.0, "imagenet": sum(std**2 for std in IMAGENET_STD) / 3, "symmetric": 0.25}  # MSE of 1, on [0, 1]
CHUNK = 1 << 20  # values turned into float64 at a time
SSIM_WINDOW = 7  # pixels on a side of scikit-image's windows: smaller images have no SSIM
STRIP = 512  # rows of SSIM windows computed at a time


def mse(
    pred: Tensor | np.ndarray,  # the prediction, any shape
    target: Tensor | np.ndarray,  # of the same shape
) -> float:
    """Return the mean squared error over all pixels and channels.

    Raises: ValueError for different shapes or empty images.
    """
    return _mean_square(*as_arrays(pred, target))


def psnr(
    pred: Tensor | np.ndarray,  # the prediction, any shape
    target: Tensor | np.ndarray,  # of the same shape
    data_range: float = 1.0,  # greatest minus least possible value: 1, or 255 for 8-bit values, or 2 for [-1, 1]
    clamp: bool | tuple[float, float] = True,  # True: `pred` to [0, data_range]; (low, high); False: not at all
) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal images.

    Raises: ValueError for different shapes, data_range <= 0, or a `target` outside the range that `clamp` names.
    """
    _check_data_range(data_range)
    pred, target = as_arrays(pred, target)
    if clamp is False:
        return psnr_from_mse(_mean_square(pred, target), data_range)
    low, high = (0.0, data_range) if clamp is True else clamp
    check_within(target, low, high)
    return psnr_from_mse(_mean_square(pred, target, lambda values: np.clip(values, low, high)), data_range)


def psnr_from_mse(
    mse: Number,  # mean squared error, or an array of them
    data_range: float = 1.0,  # greatest minus least possible value
) -> Number:
    """Return the PSNR in dB of a mean squared error, or of an array of them; 0 gives infinity.

    Raises: ValueError for a negative error or data_range <= 0.
    """
    _check_data_range(data_range)
    errors = as_array(mse).astype(np.float64)
    if (errors < 0).any():
        raise ValueError(f"`mse` must not be negative, got {float(np.nanmin(errors)):g}")
    with np.errstate(divide="ignore"):
        return _plain(20 * np.log10(data_range) - 10 * np.log10(errors))


def snr(
    pred: Tensor | np.ndarray,  # the prediction, any shape
    target: Tensor | np.ndarray,  # of the same shape
) -> float:
    """Return the signal-to-noise ratio in dB, 10 log10(sum of target^2 / sum of (pred - target)^2).

    The mean isn't subtracted. Equal signals give inf, a silent target gives -inf, and nan if `pred` is silent too.
    Raises: ValueError for different shapes or empty signals.
    """
    pred, target = as_arrays(pred, target)
    return snr_from_sums(_mean_square(np.zeros_like(target), target), _mean_square(pred, target))


def snr_from_sums(
    power: float,  # sum or mean of the target's squares
    error: float,  # of the squared errors, likewise
) -> float:
    """Return the signal-to-noise ratio in dB, as `snr`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * (np.log10(power) - np.log10(error)))


def ssim(
    pred: Tensor | np.ndarray,  # the prediction, (h, w, c) or (h, w)
    target: Tensor | np.ndarray,  # of the same shape, in [0, data_range]
    data_range: float = 1.0,  # greatest possible value: 1, or 255 for 8-bit values
    gaussian: bool = False,  # the paper's windows (11 x 11, sigma 1.5) in place of scikit-image's (7 x 7, uniform)
) -> float:
    """Return the mean structural similarity over channels, at most 1, computed in strips of bounded memory.

    Equal to scikit-image's: uniform windows with the sample covariance, Gaussian ones with the population's. SSIM
    changes when values are shifted: bring images in [-1, 1] to [0, 1] first.
    Raises: ValueError for different shapes, an image smaller than the window, a `target` outside [0, `data_range`].
    """
    _check_data_range(data_range)
    pred, target = with_channels(*as_arrays(pred, target))
    window = 11 if gaussian else SSIM_WINDOW
    height, width = target.shape[:2]
    if min(height, width) < window:
        raise ValueError(f"SSIM needs an image of at least {window}x{window} pixels, got {height}x{width}")
    check_within(target, 0.0, data_range)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if gaussian else {}
    rows, total = height - window + 1, 0.0  # the windows wholly inside, which scikit-image averages
    for top in range(0, rows, STRIP):
        count = min(STRIP, rows - top)
        strip = [image[top : top + count + window - 1].astype(np.float64) for image in (target, pred)]
        with np.errstate(invalid="ignore", over="ignore"):
            total += count * structural_similarity(*strip, data_range=data_range, channel_axis=-1, **options)
    return float(total / rows)


def convert_mse(
    value: Number,  # mean squared error, or an array of them
    source: str,  # the values' range that it was measured in: "unit", "symmetric" or "imagenet"
    to: str,  # the range to express it in
) -> Number:
    """Convert an MSE from one value range to another.

    "unit" is [0, 1]; "symmetric" [-1, 1], where it is 4 times larger; "imagenet" is (x - mean) / std with ImageNet's
    numbers, where it is 1 / 0.05108 times larger if the error is the same in every channel (0.05108 is the mean of
    std^2 over R, G, B). The PSNR is the same in "unit" with a data_range of 1 and in "symmetric" with one of 2.
    Raises: ValueError for an unknown range.
    """
    for name, unit in (("source", source), ("to", to)):
        if unit not in UNITS:
            raise ValueError(f"`{name}` must be one of {tuple(UNITS)}, got {unit!r}")
    return _plain(as_array(value).astype(np.float64) * (UNITS[source] / UNITS[to]))


def bits_per_pixel(
    n_bytes: int,  # of the file
    shape: Sequence[int],  # of the image: (h, w) or (h, w, c)
) -> float:
    """Return the bits per pixel (not per channel value) of a file.

    Raises: ValueError for negative bytes or another shape.
    """
    if n_bytes < 0:
        raise ValueError(f"`n_bytes` must not be negative, got {n_bytes}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"`shape` must be (h, w) or (h, w, c), got {tuple(shape)}")
    return 8 * n_bytes / (shape[0] * shape[1])


def _mean_square(
    pred: np.ndarray, target: np.ndarray, bound: Callable[[np.ndarray], np.ndarray] | None = None
) -> float:
    """The mean of (bound(pred) - target)^2 in float64, a chunk of values at a time."""
    pred, target, total = pred.reshape(-1), target.reshape(-1), 0.0
    for start in range(0, pred.size, CHUNK):
        chunk = pred[start : start + CHUNK].astype(np.float64)
        error = difference(chunk if bound is None else bound(chunk), target[start : start + CHUNK])
        total += float(error @ error)
    return total / pred.size


def _plain(values: np.ndarray) -> Number:
    return float(values) if np.ndim(values) == 0 else values


def _check_data_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"`data_range` must be positive (1 for images in [0, 1]), got {data_range}")
