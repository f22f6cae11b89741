"""Images to tensors and back: load, resize, the mean-colour residual, save.

An image is a float32 tensor (height, width, channels) with values in [0, 1].
Gray is ITU-R BT.601 luma (.299, .587, .114), as in JPEG and in Pillow's mode "L".
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.coords import region_size
from siren_fastai.files import replacing
from siren_fastai.image_pairs import as_array

__all__ = [
    "load_image",
    "resize_image",
    "to_uint8",
    "save_image",
    "mean_color",
    "subtract_mean",
    "add_mean",
    "channels_first",
    "check_image",
]

MODES = (None, "gray", "rgb")
LUMA = (0.299, 0.587, 0.114)
WHOLE_RANGE = {np.dtype(np.bool_): 1, np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def load_image(
    source: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # a path, a Pillow image, an array or a tensor
    size: int | tuple[int, int] | None = None,  # an integer for the shorter side, or (height, width); None as it is
    mode: str | None = None,  # "gray" or "rgb"; None as it is
) -> Tensor:  # (h, w, c) float32 in [0, 1]; c is 1 for gray and 3 for colour
    """Load an image from a file, a Pillow image, an array or a tensor, as a new tensor on the CPU.

    Files and Pillow images: the first frame, turned as its EXIF tag says; transparency is composited on white;
    palettes, CMYK, YCbCr and HSV become RGB by Pillow, which reduces 16-bit colour, but not 16-bit gray, to 8 bits.
    Arrays and tensors: (h, w) or (h, w, c), of bool, uint8, uint16, or floats in [0, 1]. They keep their channels
    unless there is a `mode`: then 2 and 4 channels are taken for gray + alpha and RGBA, and composited on white.
    Raises: TypeError for another `source` or type of numbers; ValueError for NaN or infinite values, floats outside
    [0, 1], empty images, shapes that aren't an image's, a bad `size` or `mode`; OSError from Pillow for a file that
    cannot be read.
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}, got {mode!r}")
    region_size((1, 1), size=size)  # a bad size is refused before the file is read
    if isinstance(source, (str, os.PathLike)):
        with Image.open(source) as picture:
            image = _unit_range(np.atleast_3d(_pillow_array(picture)))
    elif isinstance(source, Image.Image):
        image = _unit_range(np.atleast_3d(_pillow_array(source)))
    elif isinstance(source, np.ndarray):
        image = _unit_range(source)
    elif isinstance(source, Tensor):
        image = _unit_range(as_array(source))
    else:
        raise TypeError(f"`source` must be a path, a Pillow image, an array or a tensor, got {type(source).__name__}")
    image = image if mode is None else _in_mode(image, mode)
    return image if size is None else resize_image(image, size)


def resize_image(
    image: Tensor,  # (h, w, c) floats in [0, 1]
    size: int | tuple[int, int],  # an integer for the shorter side, which keeps the proportions, or (height, width)
) -> Tensor:  # (height, width, c) in [0, 1]
    """Resize an image: triangle filter, widened when shrinking so that fine detail does not alias.

    The same size gives the image unchanged.
    Raises: ValueError for an image that isn't (h, w, c) or a bad `size`; TypeError unless floating point.
    """
    _check_floats(image)
    size = region_size(image.shape[:2], size=size)
    if size == image.shape[:2]:
        return image
    planes = image.permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
    return resized[0].permute(1, 2, 0).clamp(0, 1).contiguous()


def to_uint8(image: Tensor | np.ndarray) -> np.ndarray:
    """The image in 8 bits: clamped to [0, 1], then rounded half up, floor(255 x + 0.5).

    Shapes: (h, w, c) or (h, w) floats -> the same shape, uint8 array.
    Raises: TypeError unless floating point; ValueError for NaN, which has no colour.
    """
    values = as_array(image)
    if values.dtype.kind != "f":
        raise TypeError(f"`image` must hold floats in [0, 1], got {values.dtype}")
    levels = np.clip(values, 0, 1, dtype=np.promote_types(values.dtype, np.float32))
    if np.isnan(levels).any():
        raise ValueError(f"`image` holds {int(np.isnan(levels).sum())} NaN values: did the training diverge?")
    levels *= 255
    levels += 0.5
    return levels.astype(np.uint8)  # rounds toward zero, which is floor here


def save_image(
    image: Tensor | np.ndarray,  # (h, w), (h, w, 1) or (h, w, 3) floats, clamped to [0, 1]
    path: str | os.PathLike,  # its suffix names the format
    **options,  # for Pillow, as `quality=75` for a JPEG or `optimize=True` for a PNG
) -> None:
    """Write the image in 8 bits, in the format of the path's suffix; an interrupted write leaves an old file whole.

    Raises: ValueError for other shapes or an unknown suffix, and as `to_uint8`.
    """
    path, levels = Path(path), to_uint8(image)
    file_format = Image.registered_extensions().get(path.suffix.lower())
    if file_format not in Image.SAVE:
        raise ValueError(f"`path` must end in an image's suffix such as .png, got {str(path)!r}")
    levels = levels[..., 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels
    if levels.size == 0 or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] == 3)):
        raise ValueError(f"`image` must be (h, w), (h, w, 1) or (h, w, 3), got {tuple(image.shape)}")
    with replacing(path) as temporary:
        Image.fromarray(levels).save(temporary, format=file_format, **options)


def mean_color(image: Tensor) -> Tensor:
    """The mean over the pixels, per channel, rounded to float32: what a file would store.

    Shapes: (h, w, c) -> (c,) float32, on the image's device.
    """
    _check_floats(image)
    return image.cpu().mean(dim=(0, 1), dtype=torch.float64).float().to(image.device)


def subtract_mean(image: Tensor) -> tuple[Tensor, Tensor]:
    """The image less its mean colour, and that colour: `(residual, mean)`.

    The mean is one float32 per channel, to be counted with a file's bytes. `add_mean` restores the image within
    two roundings of float32 (1.2e-7), hence exactly in 8 bits; an 8-bit image in float64 (`image.double()`) is
    restored bit for bit.
    Shapes: (h, w, c) -> (h, w, c), (c,).
    """
    mean = mean_color(image)
    return image - mean.to(image.dtype), mean


def add_mean(residual: Tensor, mean: Tensor) -> Tensor:
    """The image from its residual and mean colour; the inverse of `subtract_mean`, not clamped.

    Shapes: (..., c), (c,) -> (..., c), of the residual's type and device.
    Raises: ValueError when the channels differ.
    """
    if mean.dim() != 1 or residual.shape[-1:] != mean.shape:
        raise ValueError(
            f"`mean` must be (c,) for a residual (..., c), got {tuple(mean.shape)}, {tuple(residual.shape)}"
        )
    return residual + mean.to(residual)


def channels_first(shape: Sequence[int]) -> bool:
    """Whether an array of `shape` holds its channels first, as PyTorch's images and torchaudio's sounds do.

    (1, 3 or 4, height, width), (1 or 2, length) or a video (time, 1, 3 or 4, height, width), with a last axis of more
    than 4.
    """
    axes = {2: shape[:1], 3: shape[:1], 4: shape[:2]}.get(len(shape), ())
    return shape[-1] > 4 and any(n in ((1, 2) if len(shape) == 2 else (1, 3, 4)) for n in axes)


def check_image(image: Tensor | np.ndarray) -> None:
    """Raise ValueError unless `image` is (h, w, c) and not empty."""
    if len(image.shape) != 3 or 0 in image.shape:
        raise ValueError(f"`image` must be (h, w, c) and not empty, got {tuple(image.shape)}")


def _pillow_array(picture: Image.Image) -> np.ndarray:
    """A Pillow image of any mode as an array of a type in WHOLE_RANGE or of floats, alpha gone."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode == "F":
        return np.asarray(picture)
    if picture.mode == "I":
        values = np.asarray(picture)
        if values.size and not 0 <= values.min() <= values.max() <= 65535:
            raise ValueError(
                f"a 32-bit gray image must hold 16-bit values, 0 to 65535, got {values.min()} to {values.max()}: "
                "scale it to floats in [0, 1] and pass the array"
            )
        return values.astype(np.uint16)
    gray = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, _with_alpha(picture))
    return np.asarray(picture.convert("L" if gray else "RGB"))


def _with_alpha(picture: Image.Image) -> Image.Image:
    return picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")


def _unit_range(array: np.ndarray) -> Tensor:
    """A new float32 tensor (h, w, c) in [0, 1] from an array of a type in WHOLE_RANGE or of floats in [0, 1]."""
    _check_array_shape(array.shape)
    dtype = array.dtype.newbyteorder("=")
    if dtype not in WHOLE_RANGE and dtype.kind != "f":
        raise TypeError(
            f"an image must hold bool, uint8, uint16 or floats in [0, 1], got {array.dtype}: "
            "divide it by its largest possible value"
        )
    values = array.astype(np.float32, order="C")
    if dtype.kind == "f":
        _check_unit_range(values)
        np.clip(values, 0, 1, out=values)
    else:
        values /= WHOLE_RANGE[dtype]
    return torch.from_numpy(values if values.ndim == 3 else values[..., None])


def _check_array_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"an image must be (h, w) or (h, w, c) and not empty, got {tuple(shape)}")
    if channels_first(shape):
        raise ValueError(f"an image must be (h, w, c), got {tuple(shape)}: channels first? use `permute(1, 2, 0)`")


def _check_unit_range(values: np.ndarray, slack: float = 1e-5) -> None:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = values.size - np.count_nonzero(np.isfinite(values))
        raise ValueError(f"an image must hold finite values, got {count} that are NaN or infinite of {values.size}")
    if low < -slack or high > 1 + slack:
        if low >= 0 and high <= 255:
            advice = "divide by 255 if it was 8-bit"
        elif -1 <= low and high <= 1:
            advice = "if it is in [-1, 1], pass (x + 1) / 2"
        else:
            advice = "undo its normalisation first"
        raise ValueError(f"floats of an image must be in [0, 1], got {low:g} to {high:g}: {advice}")


def _in_mode(image: Tensor, mode: str) -> Tensor:
    """Gray or RGB from 1 to 4 channels; alpha, the last of 2 or 4, is composited on white."""
    channels = image.shape[2]
    if channels > 4:
        raise ValueError(f"`mode`={mode!r} needs an image of 1 to 4 channels, got {channels}: leave `mode` out")
    if channels in (2, 4):
        image, alpha = image[..., :-1], image[..., -1:]
        image = image * alpha + (1 - alpha)
    if mode == "gray" and image.shape[2] == 3:
        image = (image @ image.new_tensor(LUMA))[..., None]
    if mode == "rgb" and image.shape[2] == 1:
        image = image.repeat(1, 1, 3)
    return image.clamp(0, 1)


def _check_floats(image: Tensor) -> None:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"`image` must be a tensor of floats in [0, 1], got {kind}: see `load_image`")
    check_image(image)
