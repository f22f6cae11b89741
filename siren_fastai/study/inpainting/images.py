"""The images of a study of filling: which train, which are scored, and the windows and holes of the tests."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siren_fastai.datasets.cache import cached_images
from siren_fastai.datasets.folder import iterate_images
from siren_fastai.datasets.kali_images import KALI_VERSION, kali_images
from siren_fastai.datasets.tiles import TILES_VERSION, tile_images
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.study.fitting.data import image_of
from siren_fastai.study.inpainting.settings import HOLES, PHOTOS

__all__ = ["Holed", "Parts", "holes_of", "parts_of", "scored_windows"]

PHOTO_SIDE = 4  # sides of a photo, in windows: it is shrunk to that, and its middle square taken
ROOM = 4 / 3  # sides of the images that augmentation takes windows from, likewise
GENERATED = {"tiles": (tile_images, TILES_VERSION), "kali": (kali_images, KALI_VERSION)}
TEST_SEED, CROP_SEED = 1, 2  # of the tests' windows and holes, and of the crops, which are the same for every training


@dataclass(frozen=True)
class Parts:
    """The images of one kind, (n, 3, side, side) uint8: what trains, and what validates. No source is in both."""

    train: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Holed:
    """Windows (n, 3, size, size) float in [0, 1] and, by the kind of the holes, masks (n, 1, size, size) bool."""

    images: Tensor
    masks: dict[str, Tensor]


def parts_of(
    settings: Mapping,  # complete
    data: str | None = None,  # another kind of images than the settings'
) -> Parts:
    """Return the images of a fold: of every `folds` sources in their order one validates, number `seed` of them.

    Raises: ValueError for a folder of fewer images than `folds`, or of small ones.
    """
    data = settings["data"] if data is None else data
    images, sources = _images(settings, data)
    folds, fold = settings["folds"], settings["seed"] % settings["folds"]
    if int(sources.max()) + 1 < folds:
        raise ValueError(f"`folds` is {folds}, but {data} has {int(sources.max()) + 1} sources")
    held_out = sources % folds == fold
    return Parts(images[~held_out], images[held_out])


def holes_of(settings: Mapping, kind: str) -> Rectangles:
    """Return the holes "small" or "large"."""
    return Rectangles(*settings[f"{kind}_count"], side=tuple(settings[f"{kind}_side"]))


def scored_windows(
    settings: Mapping,  # complete
    parts: Parts,  # of the settings' own images
) -> dict[str, Holed]:
    """Return windows to score: of images that train and validate, of held-out photos (real) and tiles (synthetic)."""
    sources = {"train": parts.train, "valid": parts.valid}
    for name, data in (("real", "photos"), ("synthetic", "tiles")):
        sources[name] = parts.valid if settings["data"] == data else parts_of(settings, data).valid
    return {name: _holed(settings, images) for name, images in sources.items()}


def _images(settings: Mapping, data: str) -> tuple[Tensor, Tensor]:
    """All images of one kind, (n, 3, side, side) uint8, and the number of each one's source."""
    side = round(ROOM * settings["size"])
    if data in GENERATED:
        make, version = GENERATED[data]
        return cached_images(make, version, count=settings["count"], seed=0, size=side)
    photos = _photos(PHOTO_SIDE * settings["size"]) if data == "photos" else _files(data)
    small = [name for name, photo in photos.items() if min(photo.shape[1:]) < side]
    if small:
        raise ValueError(
            f"{small[0]} has a side of less than {side} pixels, 4/3 of `size`: leave it out, or lower `size`"
        )
    draws = [np.random.default_rng([CROP_SEED, i]) for i in range(len(photos))]
    each = settings["crops"]
    crops = [_window(photo, side, rng) for photo, rng in zip(photos.values(), draws, strict=True) for _ in range(each)]
    return torch.stack(crops), torch.arange(len(photos)).repeat_interleave(each)


def _photos(side: int) -> dict[str, Tensor]:
    """The photos' middle squares, (3, side, side) uint8."""
    squares = {name: image_of({"image": name, "size": side, "color": "rgb"}) for name in PHOTOS}
    return {name: (255 * square).round().byte().permute(2, 0, 1) for name, square in squares.items()}


def _files(folder: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(image).permute(2, 0, 1) for name, image in iterate_images(folder, channels=3)}


def _holed(settings: Mapping, images: Tensor) -> Holed:
    """Windows of images spread evenly over all; the place of each, and its holes, are drawn once and for all."""
    count, size = settings["test_images"], settings["size"]
    draws = [np.random.default_rng([TEST_SEED, index]) for index in range(count)]
    windows = torch.stack([_window(images[i * len(images) // count], size, rng) for i, rng in enumerate(draws)])
    masks = {}
    for kind in HOLES:
        holes = holes_of(settings, kind)
        drawn = np.stack([holes.draw(rng, (size, size)) for rng in draws])
        masks[kind] = holes.paint(torch.from_numpy(drawn), (size, size))
    return Holed(windows.float() / 255, masks)


def _window(image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    top, left = (int(rng.integers(0, side - size + 1)) for side in image.shape[1:])
    return image[:, top : top + size, left : left + size]
