"""The images of a study's autoencoder as loaders: those that train, and those that it never sees."""

from collections.abc import Mapping

from torch import Tensor

from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.data.picture_sets import digits_dataloaders, glyphs_dataloaders, kali_dataloaders
from siren_fastai.data.pictures import PictureDataset
from siren_fastai.datasets.cache import cached_images
from siren_fastai.datasets.tiles import TILES_VERSION, tile_images
from siren_fastai.fits.devices import device_of
from siren_fastai.study.autoencoding.settings import size_of

__all__ = ["images_as_they_are", "loaders_of"]

TILES, SMALL, GLYPHS = 8000, 300, 10000  # images of the collections
SHIFT = 8  # a tile moves by up to an eighth of its side


def loaders_of(
    settings: Mapping,  # complete
) -> PictureDataLoaders:
    """Return the loaders: training is shuffled and augmented, validation isn't. Which image is in which is fixed."""
    data = settings["data"]
    if data == "tiles+kali":
        return PictureDataLoaders.mixed([_tiles(settings), _fractals(settings)], **_options(settings))
    if data in ("tiles", "tiles-300"):
        return _tiles(settings)
    if data == "kali":
        return _fractals(settings)
    size = dict(size=settings["size"]) if settings["size"] else {}
    if data == "digits28":
        return digits_dataloaders(**_options(settings), **size)
    if data == "glyphs28":
        return glyphs_dataloaders(count=settings["count"] or GLYPHS, **_options(settings), **size)
    gray = {"gray": True} if settings["gray"] else {"channels": 3}
    return PictureDataLoaders.from_images(data, **_options(settings), **size, **gray)


def _tiles(settings: Mapping) -> PictureDataLoaders:
    """Tiles drawn at the size asked for: not resized, which would blur them."""
    count, size = SMALL if settings["data"] == "tiles-300" else settings["count"] or TILES, size_of(settings)
    images, groups = cached_images(tile_images, TILES_VERSION, count=count, seed=0, size=size)
    drawn = dict(shift=size // SHIFT, flip=True) if settings["augment"] else {}
    return PictureDataLoaders.from_images(images, groups, gray=settings["gray"], **drawn, **_options(settings))


def _fractals(settings: Mapping) -> PictureDataLoaders:
    options = dict(crop=size_of(settings), flip=settings["augment"], gray=settings["gray"], **_options(settings))
    return kali_dataloaders(count=settings["fractals"], **options)


def _options(settings: Mapping) -> dict:
    return dict(bs=settings["bs"], device=device_of(settings["device"]))


def images_as_they_are(
    data: PictureDataset,
) -> Tensor:  # (n, c, h, w) float in [0, 1]
    """Return all images without augmentation: the middle of each, if training crops them."""
    return data.batch(slice(None))[0]
