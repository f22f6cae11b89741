"""Images of the user's own, from a folder, a list of files, or an array: all of one size, in 8 bits."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from siren_fastai.coords import region_size
from siren_fastai.image_pairs import as_array
from siren_fastai.images import load_image, resize_image, to_uint8

__all__ = ["image_files", "iterate_images", "load_images", "read_images", "to_gray"]

MODES = {None: None, 1: "gray", 3: "rgb"}


def read_images(
    source,  # a folder, a list of files, Pillow images or arrays, or one array (n, h, w), (n, h, w, c), (n, c, h, w)
    size: int | tuple[int, int] | None = None,  # pixels per side, or (height, width); None if all have one size
    channels: int | None = None,  # 1 for gray, 3 for RGB; None if all have as many
    fit: str = "crop",  # "crop" fills `size` and cuts off what is left over at the sides; "stretch" changes proportions
) -> Tensor:  # (n, c, height, width) uint8
    """Read images, in the order of their paths within a folder, and bring them to one size.

    Arrays hold uint8, or floats in [0, 1]. Transparency is composited on white. In a folder, files count by their
    suffix, also those of its folders; hidden ones don't.
    Raises: ValueError that names the image, if it can't be read, or is of another size or has other channels than the
    first and there is no `size` or `channels`; FileNotFoundError for a folder that is missing or has no images.
    """
    images, first = [], None
    for name, image in iterate_images(source, size, channels, fit):
        first = first or (name, image)
        if image.shape != first[1].shape:
            sizes = [f"{x.shape[0]}x{x.shape[1]}" for x in (first[1], image)]
            raise ValueError(f"{first[0]} has {sizes[0]} pixels and {name} {sizes[1]}: choose a `size`")
        images.append(image)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def iterate_images(
    source,  # as for `read_images`, and so the other arguments
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str = "crop",
) -> Iterator[tuple[str, np.ndarray]]:  # names, and images (h, w, c) uint8
    """The images one after the other; without a `size`, of their own sizes. Raises: as `read_images`."""
    size = None if size is None else region_size((1, 1), size=size)
    if channels not in MODES:
        raise ValueError(f"`channels` must be 1 for gray, 3 for RGB or None, got {channels!r}")
    if fit not in ("crop", "stretch"):
        raise ValueError(f"`fit` must be 'crop' or 'stretch', got {fit!r}")
    first = None
    for name, item in _items(source):
        image = _read(name, item, size, channels, fit)
        first = first or (name, image.shape[2])
        _check_channels(name, image.shape[2], *first)
        yield name, image
    if first is None:
        raise ValueError("`source` holds no images")


def load_images(
    source,  # as for `read_images`
    size: int | tuple[int, int] | None = None,  # as for `load_image`: an integer is the shorter side
    mode: str | None = None,  # "gray" or "rgb"; None as each image is
) -> list[tuple[str, Tensor]]:  # names, and images (h, w, c) in [0, 1]
    """Read images of any sizes, each as `load_image` reads it.

    Raises: ValueError that names the image, if it can't be read or has other channels than the first, or for no images;
    FileNotFoundError as `read_images`.
    """
    found: list[tuple[str, Tensor]] = []
    for name, item in _items(source):
        try:
            image = load_image(item, size=size, mode=mode)
        except Exception as error:  # Pillow's readers raise errors of many kinds for damaged files
            raise ValueError(f"{name} can't be read as an image: {_reason(item, error)}") from error
        if found and image.shape[2] != found[0][1].shape[2]:
            names, channels = (found[0][0], name), (found[0][1].shape[2], image.shape[2])
            raise ValueError(
                f"{names[0]} has {channels[0]} channels and {names[1]} has {channels[1]}: choose `mode`, 'gray' or "
                "'rgb', for all"
            )
        found.append((name, image))
    if not found:
        raise ValueError("`source` holds no images")
    return found


def image_files(folder: str | os.PathLike) -> list[Path]:
    """The images in a folder and its folders, by their suffixes, in the order of their paths.

    Raises: FileNotFoundError if there is no folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} isn't a folder")
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file())
    found = sorted(path.as_posix() for path in inside if not any(part.startswith(".") for part in path.parts))
    if not found:
        raise FileNotFoundError(f"{folder} holds no images; their names must end in a suffix such as .png or .jpg")
    return [folder / path for path in found]


def to_gray(images: Tensor) -> Tensor:
    """RGB images (n, 3, h, w) uint8 as gray (n, 1, h, w): .299 R + .587 G + .114 B, rounded half up; gray as it is.

    Raises: ValueError for other numbers of channels.
    """
    if images.shape[1] == 1:
        return images
    if images.shape[1] != 3:
        raise ValueError(f"`images` must be gray or RGB, (n, 1 or 3, h, w), got {tuple(images.shape)}")
    red, green, blue = images.int().unbind(1)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000)[:, None].to(torch.uint8)


def _items(source) -> Iterable[tuple[str, object]]:
    """Names and images: paths, or arrays of which the channels stand last."""
    if isinstance(source, (str, os.PathLike)):
        return [(str(path), path) for path in image_files(source)]
    if isinstance(source, (Tensor, np.ndarray)):
        return [(f"image {i}", image) for i, image in enumerate(_channels_last(as_array(source)))]
    if isinstance(source, Sequence):
        return [(str(x) if isinstance(x, (str, os.PathLike)) else f"image {i}", x) for i, x in enumerate(source)]
    raise TypeError(f"`source` must be a folder, a list of images or an array, got {type(source).__name__}")


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[-1] not in (1, 3):
        return array.transpose(0, 2, 3, 1)
    if array.ndim in (3, 4) and 0 not in array.shape:
        return array
    raise ValueError(f"an array of images must be (n, h, w), (n, h, w, c) or (n, c, h, w), got {array.shape}")


def _read(name: str, item, size: tuple[int, int] | None, channels: int | None, fit: str) -> np.ndarray:
    """One image (h, w, c) uint8."""
    try:
        image = load_image(item, mode=MODES[channels])
        return to_uint8(image if size is None else _resized(image, size, fit))
    except Exception as error:  # Pillow's readers raise errors of many kinds for damaged files
        raise ValueError(f"{name} can't be read as an image: {_reason(item, error)}") from error


def _reason(item, error: Exception) -> str:
    if isinstance(item, (str, os.PathLike)) and Path(item).is_file() and not Path(item).stat().st_size:
        return "the file is empty"
    return "no format that Pillow knows" if isinstance(error, UnidentifiedImageError) else str(error)


def _resized(image: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    (h, w), (height, width) = image.shape[:2], size
    if fit == "stretch":
        return resize_image(image, size)
    scale = max(height / h, width / w)
    image = resize_image(image, (max(height, round(h * scale)), max(width, round(w * scale))))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _check_channels(name: str, channels: int, first_name: str, first: int) -> None:
    if channels not in (1, 3):
        raise ValueError(f"{name} has {channels} channels: choose `channels=1` or 3")
    if channels != first:
        raise ValueError(f"{first_name} has {first} channels and {name} has {channels}: choose `channels=1` or 3")
