"""The size of an image that a command writes: within what memory, time and format allow."""

import time
from collections.abc import Sequence
from pathlib import Path

from siren_fastai.cli.errors import CommandError, as_usage, warn
from siren_fastai.coords import region_size
from siren_fastai.fits.devices import available_memory, device_of

__all__ = ["check_format", "check_memory", "check_seconds", "output_size"]

LONGEST_SIDES = {"JPEG": 65_535, "WEBP": 16_383, "AVIF": 65_536, "GIF": 65_535}  # pixels; the others take any image
SAMPLE = 128  # pixels a side, of the image that is timed


def output_size(
    shape: tuple[int, int], size: Sequence[int] | None, region: Sequence[float] | None = None
) -> tuple[int, int]:
    """The height and width that `--size` asks for: one number is the shorter side, two are height and width.

    `shape` is the size of the whole image; a `size` of None keeps its pixel density. Two numbers that change the
    proportions are taken, with a warning.
    Raises: CommandError for more than two numbers, or an impossible region.
    """
    if size is not None and len(size) > 2:
        raise CommandError(f"--size takes the shorter side, or height and width; got {len(size)} numbers")
    with as_usage():
        natural = region_size(shape, region)
        if size is None:
            return natural
        if len(size) == 1:
            return region_size(shape, region, size[0])
    top, left, bottom, right = region or (-1, -1, 1, 1)
    _warn_of_distortion(*size, shape[1] * (right - left) / (shape[0] * (bottom - top)))
    return tuple(size)


def _warn_of_distortion(height: int, width: int, width_per_height: float) -> None:
    """Warn unless height or width is what the other one asks for, within a pixel."""
    if min(abs(height * width_per_height - width), abs(width / width_per_height - height)) > 1:
        warn(f"--size {height} {width} changes the proportions of the image; --size {min(height, width)} keeps them")


def check_format(path: str, size: tuple[int, int]) -> None:
    """Reject, before any work, a file whose suffix isn't an image's, or whose format has no room for the size."""
    from PIL import Image

    suffix = Path(path).suffix.lower()
    image_format = Image.registered_extensions().get(suffix)
    if image_format not in Image.SAVE:
        raise CommandError(f"OUTPUT must end in an image's suffix such as .png, got {path!r}")
    most = LONGEST_SIDES.get(image_format, 2**31 - 1)
    if max(size) > most:
        raise CommandError(f"a {suffix} file has at most {most:,} pixels a side, got {size[0]}x{size[1]}: write a .png")


def check_seconds(checkpoint, size: tuple[int, int], most: float) -> float:
    """Return about how many seconds a rendering of `size` takes here, timed on a small one.

    Raises: CommandError for more than `most`.
    """
    small = tuple(min(n, SAMPLE) for n in size)
    for _ in range(2):  # the first prepares
        began = time.perf_counter()
        checkpoint.render(small)
    seconds = (time.perf_counter() - began) * (size[0] * size[1]) / (small[0] * small[1])
    if seconds > most:
        raise CommandError(
            f"{size[0]}x{size[1]} pixels would take about {seconds:,.0f} s: give a smaller --size, or --max_seconds to "
            "wait so long"
        )
    return seconds


def check_memory(size: tuple[int, int], floats_per_pixel: int) -> None:
    """Reject an image that memory cannot hold while it is computed.

    Raises: CommandError that states the estimate.
    """
    height, width = size
    needed, spare = 4 * floats_per_pixel * height * width, available_memory(device_of("cpu"))
    if spare is not None and needed > spare:
        raise CommandError(
            f"{height}x{width} pixels need about {needed / 2**30:.1f} GiB, and {spare / 2**30:.1f} GiB are free: "
            "give a smaller --size"
        )
