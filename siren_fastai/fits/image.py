"""The image of a fit: read, resized, and checked against the memory that is left."""

import os
import warnings
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from siren_fastai.coords import region_size
from siren_fastai.fits.devices import available_memory
from siren_fastai.images import load_image, resize_image
from siren_fastai.quality import SSIM_WINDOW

__all__ = ["check_memory", "fit_to", "read_image"]

WEIGHT_COPIES = 7  # weights, gradients and two moments; and a copy of them to resume from, without gradients


def read_image(
    source: str | os.PathLike | Image.Image | np.ndarray | Tensor | None,  # None: scikit-image's camera
    color: str = "auto",  # "auto" (as it is), "gray" or "rgb"
    name: str = "`image`",  # what messages call it
) -> Tensor:
    """Return the image (h, w, c) in [0, 1].

    Warns of a file's transparency, which is composited on white, and of further frames, which are left out.
    Raises: FileNotFoundError if there is no such file; ValueError or TypeError for anything that isn't an image.
    """
    mode = None if color == "auto" else color
    if source is None:
        return load_image(skimage.data.camera(), mode=mode)
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source), mode, f"{name} {source}")
    try:
        return load_image(source, mode=mode)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _read_file(path: Path, mode: str | None, name: str) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"{name.split()[0]}: there is no file {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image, lost = load_image(path, mode=mode), _lost(path)
        except UnidentifiedImageError:
            raise ValueError(f"{name}: not an image that Pillow can read, such as PNG or JPEG") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            limit = Image.MAX_IMAGE_PIXELS // 1_000_000
            raise ValueError(f"{name}: above {limit} megapixels; shrink it first") from None
        except (OSError, SyntaxError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"{name}: cannot be read ({reason})") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    for what in lost:
        warnings.warn(f"{path}: {what}", stacklevel=1)
    return image


def _lost(path: Path) -> list[str]:
    """What `load_image` does not keep of a file."""
    with Image.open(path) as picture:
        n_frames, lost = getattr(picture, "n_frames", 1), []
        if n_frames > 1:
            lost.append(f"only the first of {n_frames} frames is used")
        picture.seek(0)
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            lost.append("its transparent parts are composited on white")
    return lost


def fit_to(
    image: Tensor,  # (h, w, c)
    size: int | None,  # side of the square, or with "keep" the shorter side; None: the image's shorter side
    resize_mode: str,  # "stretch", "crop" or "keep"
) -> Tensor:
    """Return the image at its training size. Raises: ValueError for a result below 7x7 pixels, or beyond the memory."""
    side = size or min(image.shape[:2])
    _check_resized(image, side, resize_mode)
    image = resize_image(image, (side, side) if resize_mode == "stretch" else side)
    if resize_mode == "crop":
        top, left = ((n - side) // 2 for n in image.shape[:2])
        image = image[top : top + side, left : left + side].contiguous()
    if min(image.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"the image has {image.shape[0]}x{image.shape[1]} pixels, and SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW}: "
            "give a larger `image` or `size`"
        )
    return image


def _check_resized(image: Tensor, side: int, resize_mode: str) -> None:
    """Raise ValueError if memory cannot hold the image, twice, with a side of `side` pixels."""
    height, width = (side, side) if resize_mode == "stretch" else region_size(image.shape[:2], size=side)
    needed, free = 2 * 4 * height * width * image.shape[2], available_memory(torch.device("cpu"))
    if free is not None and needed > free:
        raise ValueError(
            f"an image of {height}x{width} pixels needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            "free: give a smaller `size`"
        )


def check_memory(n_pixels: int, channels: int, batch: int, width: int, layers: int, device: torch.device) -> None:
    """Reject a fit that is too large for memory: image, coordinates, one step's activations, weights and optimiser.

    Raises: ValueError with the estimate, if it is more than the device has left.
    """
    weights = WEIGHT_COPIES * width * (width * layers + 2 + channels)
    floats = n_pixels * (2 + 3 * channels) + min(batch, n_pixels) * width * (2 * layers + 5)
    needed, free = 4 * (floats + weights), available_memory(device)
    if free is not None and needed > free and weights > floats:
        raise ValueError(
            f"a network of {layers} hidden layers of {width:,} needs about {needed / 2**30:.1f} GiB to train, and "
            f"{free / 2**30:.1f} GiB are free: give a smaller `hidden_features` or `hidden_layers`"
        )
    if free is not None and needed > free:
        raise ValueError(
            f"{n_pixels:,} pixels in steps of {min(batch, n_pixels):,} need about {needed / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free: give a smaller `size` or `bs`"
        )
