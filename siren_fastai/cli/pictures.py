"""The picture of a command: found, read, brought to its size, and small enough for the memory there is."""

import warnings
from pathlib import Path

import skimage.data
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.images import load_image, resize_image

__all__ = ["available_memory", "check_memory", "fit_to", "read_picture"]

SMALLEST = 7  # the window of SSIM


def read_picture(path: str | None, color: str = "auto", option: str = "--image_filepath") -> Tensor:
    """The picture (h, w, c) in [0, 1]; None is scikit-image's camera. `option` is what messages call it.

    Raises: CommandError for what is no picture.
    """
    mode = None if color == "auto" else color
    if path is None:
        return load_image(skimage.data.camera(), mode=mode)
    if not Path(path).is_file():
        raise CommandError(f"{option}: there is no file {path}")
    with warnings.catch_warnings(), as_usage(f"{option} {path}: "):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return load_image(path, mode=mode)
        except UnidentifiedImageError:
            raise CommandError(f"{option} {path}: not a picture that Pillow knows, such as PNG or JPEG") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            limit = Image.MAX_IMAGE_PIXELS // 1_000_000
            raise CommandError(f"{option} {path}: above {limit} megapixels; shrink it first") from None
        except (OSError, SyntaxError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"{option} {path}: cannot be read ({reason})") from None


def fit_to(image: Tensor, sidelength: int | None, resize_mode: str) -> Tensor:
    """The picture at its training size: a square of `sidelength`, or with "keep" that as its shorter side.

    `sidelength` None is the picture's shorter side. Raises: CommandError for a result below 7x7 pixels.
    """
    side = sidelength or min(image.shape[:2])
    if resize_mode == "stretch":
        image = resize_image(image, (side, side))
    else:
        image = resize_image(image, side)
    if resize_mode == "crop":
        top, left = ((n - side) // 2 for n in image.shape[:2])
        image = image[top : top + side, left : left + side].contiguous()
    if min(image.shape[:2]) < SMALLEST:
        raise CommandError(
            f"the picture has {image.shape[0]}x{image.shape[1]} pixels, and SSIM needs {SMALLEST}x{SMALLEST}: give a "
            "larger picture or --sidelength"
        )
    return image


def check_memory(n_pixels: int, channels: int, batch: int, width: int, layers: int, device: torch.device) -> None:
    """Refuse a fit that cannot be held: the picture, its coordinates and the activations of one step.

    Raises: CommandError with the estimate, if it is more than the device has to spare.
    """
    floats = n_pixels * (2 + 3 * channels) + min(batch, n_pixels) * width * (2 * layers + 5)
    needed, spare = 4 * floats, available_memory(device)
    if spare is not None and needed > spare:
        raise CommandError(
            f"{n_pixels:,} pixels in steps of {min(batch, n_pixels):,} need about {needed / 2**30:.1f} GiB, and "
            f"{spare / 2**30:.1f} GiB are free: give a smaller --sidelength or --bs"
        )


def available_memory(device: torch.device) -> int | None:
    """Bytes that the device has to spare, or None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*free, *_control_group()]) if free else None


def _control_group() -> list[int]:
    """What a container leaves, where one is set up that way."""
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        return [int(limit) - int(used)]
    except (OSError, ValueError):
        return []
