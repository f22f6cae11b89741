"""DataLoaders of the generated collections, with augmentation and splits as note 002 has them."""

from fastcore.meta import delegates

from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.datasets.cache import cached_images
from siren_fastai.datasets.digits import DIGITS_TRAIN, GLYPHS_VERSION, digits28, glyphs28
from siren_fastai.datasets.kali_images import KALI_VERSION, kali_images
from siren_fastai.datasets.tiles import TILES_VERSION, tile_images

__all__ = ["digits_dataloaders", "glyphs_dataloaders", "kali_dataloaders", "mixed_dataloaders", "tile_dataloaders"]

GENERATED = ["source", "groups", "size", "channels", "fit"]  # not the user's to choose


@delegates(PictureDataLoaders.from_images, but=GENERATED)
def tile_dataloaders(
    bs: int = 64,  # tiles per training batch, at most
    count: int = 8000,  # tiles; 300 are the small collection, the first of the large one
    seed: int = 0,  # another seed, another collection
    shift: int = 0,  # pixels that a training tile may move; 4 in note 002
    flip: bool | tuple[float, float] = False,  # True, as in note 002, is (.4, .2): mirroring and upside down
    cache=None,  # the folder for the drawn tiles; None as for `cache_folder`, False for none
    **kwargs,
) -> PictureDataLoaders:
    """Tiles of 32x32 pixels, see `tile_images`. Every 21st instance, with its four tiles, validates.

    By default nothing is augmented: shifts and flips made the validation of all autoencoders worse.
    """
    images, groups = _generated(tile_images, TILES_VERSION, cache, count=count, seed=seed)
    return PictureDataLoaders.from_images(images, groups, bs, shift=shift, flip=flip, **kwargs)


@delegates(PictureDataLoaders.from_images, but=GENERATED)
def kali_dataloaders(
    bs: int = 64,  # images per training batch, at most
    count: int = 2000,  # fractals; the note had 43690, which take some ten minutes to draw once
    seed: int = 0,  # another seed, another collection
    crop: int | tuple[int, int] | None = 32,  # of the 128x128 pixels: random in training, the middle in validation
    flip: bool | tuple[float, float] = True,  # (.4, .2), the probabilities of mirroring and upside down
    cache=None,  # the folder for the drawn fractals; None as for `cache_folder`, False for none
    **kwargs,
) -> PictureDataLoaders:
    """Crops of Kali fractals, see `kali_images`. Every 21st fractal validates."""
    images, groups = _generated(kali_images, KALI_VERSION, cache, count=count, seed=seed)
    return PictureDataLoaders.from_images(images, groups, bs, crop=crop, flip=flip, **kwargs)


@delegates(PictureDataLoaders.from_images, but=[*GENERATED, "valid"])
def digits_dataloaders(
    bs: int = 64,  # digits per training batch, at most
    **kwargs,
) -> PictureDataLoaders:
    """scikit-learn's digits at 28x28 pixels, gray, see `digits28`: 1437 for training, 360 for validation."""
    images, _ = digits28()
    return PictureDataLoaders.from_images(images[:DIGITS_TRAIN], None, bs, valid=images[DIGITS_TRAIN:], **kwargs)


@delegates(PictureDataLoaders.from_images, but=GENERATED)
def glyphs_dataloaders(
    bs: int = 64,  # glyphs per training batch, at most
    count: int = 10000,  # glyphs; MNIST has 70000
    seed: int = 0,  # another seed, another collection
    valid: int | float = 7,  # every 7th validates, as of MNIST
    cache=None,  # the folder for the drawn glyphs; None as for `cache_folder`, False for none
    **kwargs,
) -> PictureDataLoaders:
    """Digits of 28x28 pixels drawn from fonts, gray, see `glyphs28`."""
    images, groups = _generated(glyphs28, GLYPHS_VERSION, cache, count=count, seed=seed)
    return PictureDataLoaders.from_images(images, groups, bs, valid, **kwargs)


def mixed_dataloaders(
    bs: int = 64,  # images per training batch, at most
    tiles: int = 8000,  # tiles
    fractals: int = 2000,  # Kali fractals, of which each epoch sees one crop each
    seed: int = 0,  # of both collections
    gray: bool = False,  # one channel
    cache=None,  # the folder for the images; None as for `cache_folder`, False for none
    **kwargs,  # as for `PictureDataLoaders.from_datasets`: valid_bs, device, path
) -> PictureDataLoaders:
    """Tiles and crops of Kali fractals, 32x32 pixels, augmented as in note 002."""
    device = {"device": kwargs.get("device")}
    parts = [
        tile_dataloaders(count=tiles, seed=seed, shift=4, flip=True, gray=gray, cache=cache, **device),
        kali_dataloaders(count=fractals, seed=seed, gray=gray, cache=cache, **device),
    ]
    return PictureDataLoaders.mixed(parts, bs, **kwargs)


def _generated(make, version: int, cache, **parameters):
    """The images, from their cache file unless `cache` is False."""
    return make(**parameters) if cache is False else cached_images(make, version, cache, **parameters)
