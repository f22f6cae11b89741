"""How good a picture is: error, PSNR, SSIM, errors per pixel and per frequency, bits per pixel. Pure functions.

Pictures are tensors of any device or arrays, (h, w, c) or (h, w); results are Python floats, numpy arrays, or for maps
of two tensors a tensor. Numbers are computed in float64. Values are in [0, 1] unless `data_range` says otherwise. NaN
in gives NaN out.
Sources: PSNR = 10 log10(R^2 / MSE); SSIM: Wang et al. 2004, IEEE Trans. Image Process. 13(4), with scikit-image's
defaults, or the paper's window (sec. III.C: Gaussian, sigma 1.5, 11 x 11).
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

__all__ = [
    "UNITS",
    "mse",
    "psnr",
    "psnr_from_mse",
    "mse_from_psnr",
    "ssim",
    "convert_mse",
    "signed_error",
    "absolute_error",
    "frequency_error",
    "bits_per_pixel",
]

Picture = Tensor | np.ndarray
Number = float | np.ndarray

IMAGENET_STD = (0.229, 0.224, 0.225)
UNITS = {"unit": 1.0, "imagenet": sum(std**2 for std in IMAGENET_STD) / 3, "symmetric": 0.25}
CHUNK = 1 << 20  # values turned into float64 at a time
STRIP = 512  # rows of windows that SSIM looks at in one go


def mse(pred: Picture, target: Picture) -> float:
    """The mean squared error over all pixels and channels, in the square of the pictures' own unit.

    Raises: ValueError for different shapes or empty pictures.
    """
    return _mean_square(*_arrays(pred, target))


def psnr(pred: Picture, target: Picture, data_range: float = 1.0, clamp: bool | tuple[float, float] = True) -> float:
    """The peak signal-to-noise ratio in dB; infinite for equal pictures.

    `clamp` first brings `pred` into the range of a picture: True is [0, `data_range`], a pair (low, high) any other,
    as (-1, 1) with a `data_range` of 2; False measures the raw output.
    Raises: ValueError for different shapes, data_range <= 0, or a `target` outside the range that `clamp` names.
    """
    _check_data_range(data_range)
    pred, target = _arrays(pred, target)
    if clamp is False:
        return psnr_from_mse(_mean_square(pred, target), data_range)
    low, high = (0.0, data_range) if clamp is True else clamp
    _check_inside(target, low, high)
    return psnr_from_mse(_mean_square(pred, target, lambda values: np.clip(values, low, high)), data_range)


def psnr_from_mse(mse: Number, data_range: float = 1.0) -> Number:
    """The PSNR in dB of a mean squared error, or of an array of them; 0 gives infinity.

    Raises: ValueError for a negative error or data_range <= 0.
    """
    _check_data_range(data_range)
    errors = np.asarray(_array(mse), dtype=np.float64)
    if (errors < 0).any():
        raise ValueError(f"`mse` must not be negative, got {float(np.nanmin(errors)):g}")
    with np.errstate(divide="ignore"):
        return _plain(20 * np.log10(data_range) - 10 * np.log10(errors))


def mse_from_psnr(psnr: Number, data_range: float = 1.0) -> Number:
    """The mean squared error behind a PSNR in dB, or behind an array of them; infinity gives 0."""
    _check_data_range(data_range)
    return _plain(data_range**2 * 10 ** (-np.asarray(_array(psnr), dtype=np.float64) / 10))


def ssim(pred: Picture, target: Picture, data_range: float = 1.0, gaussian: bool = False) -> float:
    """The mean structural similarity, at most 1, over channels; equal to scikit-image's, in strips of bounded memory.

    By default scikit-image's: 7 x 7 uniform windows, sample covariance. `gaussian=True` is that of the paper: 11 x 11,
    sigma 1.5, population covariance. SSIM changes when data are shifted: bring pictures in [-1, 1] to [0, 1] first.
    Raises: ValueError for different shapes, a picture smaller than the window, a `target` outside [0, `data_range`].
    """
    _check_data_range(data_range)
    pred, target = _with_channels(*_arrays(pred, target))
    window = 11 if gaussian else 7
    height, width = target.shape[:2]
    if min(height, width) < window:
        raise ValueError(f"SSIM needs a picture of at least {window}x{window} pixels, got {height}x{width}")
    _check_inside(target, 0.0, data_range)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if gaussian else {}
    rows, total = height - window + 1, 0.0  # the windows that lie wholly inside, as scikit-image averages them
    for top in range(0, rows, STRIP):
        count = min(STRIP, rows - top)
        strip = [picture[top : top + count + window - 1].astype(np.float64) for picture in (target, pred)]
        with np.errstate(invalid="ignore", over="ignore"):
            total += count * structural_similarity(*strip, data_range=data_range, channel_axis=-1, **options)
    return float(total / rows)


def convert_mse(value: Number, source: str, to: str) -> Number:
    """A mean squared error told in another unit of the pictures' values.

    "unit" is [0, 1]; "symmetric" [-1, 1], 4 times the figure; "imagenet" (x - mean) / std with ImageNet's numbers,
    1 / 0.05108 times the figure when the error in that unit is the same in every channel (with the mean of std^2 over
    R, G, B: a mean over channels alone cannot tell more). The PSNR is the same in "unit" with a data_range of 1 and in
    "symmetric" with a data_range of 2.
    Raises: ValueError for an unknown unit.
    """
    for name, unit in (("source", source), ("to", to)):
        if unit not in UNITS:
            raise ValueError(f"`{name}` must be one of {tuple(UNITS)}, got {unit!r}")
    return _plain(np.asarray(_array(value), dtype=np.float64) * (UNITS[source] / UNITS[to]))


def signed_error(pred: Picture, target: Picture) -> Picture:
    """Prediction less target, per pixel and channel, in the pictures' unit: positive where `pred` is too bright.

    Shapes: those of the arguments, any; a float64 array, or of two tensors a tensor (float32 at least) on the device
    of `pred`.
    Raises: ValueError for different shapes.
    """
    if isinstance(pred, Tensor) and isinstance(target, Tensor):
        _check_same_shape(pred.shape, target.shape)
        dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
        return pred.detach().to(dtype) - target.detach().to(pred.device, dtype)
    return _difference(*_arrays(pred, target))


def absolute_error(pred: Picture, target: Picture) -> Picture:
    """|prediction - target| per pixel and channel, as `signed_error` returns it.

    Of two models, `absolute_error(a, target) - absolute_error(b, target)` tells who is worse where.
    Raises: ValueError for different shapes.
    """
    return abs(signed_error(pred, target))


def frequency_error(pred: Picture, target: Picture, bands: int = 8) -> np.ndarray:
    """The mean squared error told apart by spatial frequency: the bands sum to `mse` (Parseval).

    Band i holds the frequencies sqrt(f_y^2 + f_x^2) from i / bands to (i + 1) / bands of 0.5 cycles per pixel (Nyquist
    along an axis); the first has the mean error too, the last all diagonals beyond. The mean over channels.
    Shapes: (bands,) float64.
    Raises: ValueError for different shapes or bands < 1.
    """
    if operator.index(bands) < 1:
        raise ValueError(f"`bands` must be at least 1, got {bands}")
    pred, target = _with_channels(*_arrays(pred, target))
    height, width, channels = target.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    band = np.minimum((radius * (2 * bands)).astype(np.int64), bands - 1).ravel()
    twice = np.full(width // 2 + 1, 2.0)  # `rfft2` leaves out the mirror images of all columns but these
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    total = np.zeros(bands)
    for i in range(channels):
        spectrum = np.fft.rfft2(_difference(pred[..., i], target[..., i]), norm="forward")
        power = (spectrum.real**2 + spectrum.imag**2) * twice
        total += np.bincount(band, weights=power.ravel(), minlength=bands)
    return total / channels


def bits_per_pixel(n_bytes: int, shape: Sequence[int]) -> float:
    """Bits per pixel (not per channel value) of a file of `n_bytes` for a picture of `shape`, (h, w) or (h, w, c).

    Raises: ValueError for negative bytes or another shape.
    """
    if n_bytes < 0:
        raise ValueError(f"`n_bytes` must not be negative, got {n_bytes}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"`shape` must be (h, w) or (h, w, c), got {tuple(shape)}")
    return 8 * n_bytes / (shape[0] * shape[1])


def _array(values: Picture | Number) -> np.ndarray | Number:
    """A tensor as an array on the CPU, without a copy where it is there already; anything else as it is."""
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu().as_subclass(Tensor)
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _arrays(pred: Picture, target: Picture) -> tuple[np.ndarray, np.ndarray]:
    pred, target = np.asarray(_array(pred)), np.asarray(_array(target))
    _check_same_shape(pred.shape, target.shape)
    return pred, target


def _check_same_shape(pred: tuple[int, ...], target: tuple[int, ...]) -> None:
    if pred != target or 0 in pred:
        raise ValueError(
            f"`pred` and `target` must have one shape and not be empty, got {tuple(pred)} and {tuple(target)}"
        )


def _with_channels(*pictures: np.ndarray) -> list[np.ndarray]:
    if pictures[0].ndim not in (2, 3):
        raise ValueError(f"pictures must be (h, w) or (h, w, c), got {pictures[0].shape}")
    return [picture if picture.ndim == 3 else picture[..., None] for picture in pictures]


def _difference(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):  # infinite less infinite is NaN, and told as NaN
        return np.subtract(pred, target, dtype=np.float64)


def _mean_square(
    pred: np.ndarray, target: np.ndarray, bound: Callable[[np.ndarray], np.ndarray] | None = None
) -> float:
    """The mean of (bound(pred) - target)^2 in float64, a chunk of values at a time."""
    pred, target, total = pred.reshape(-1), target.reshape(-1), 0.0
    for start in range(0, pred.size, CHUNK):
        chunk = pred[start : start + CHUNK].astype(np.float64)
        error = _difference(chunk if bound is None else bound(chunk), target[start : start + CHUNK])
        total += float(error @ error)
    return total / pred.size


def _plain(values: np.ndarray) -> Number:
    return float(values) if np.ndim(values) == 0 else values


def _check_data_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"`data_range` must be positive (1 for pictures in [0, 1]), got {data_range}")


def _check_inside(target: np.ndarray, low: float, high: float) -> None:
    """Whether the target is in the range it is measured in; NaN passes, and comes out as NaN."""
    least, most = float(np.min(target)), float(np.max(target))
    slack = 1e-5 * (high - low)
    if least < low - slack or most > high + slack:
        raise ValueError(
            f"`target` must be in [{low:g}, {high:g}], got {least:g} to {most:g}: say `data_range=255` for 8-bit "
            "values, bring [-1, 1] to [0, 1] by (x + 1) / 2, or for `psnr` name the range in `clamp`"
        )
