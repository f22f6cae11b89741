"""DataLoaders of the generated collections, with the note's augmentation and splits as defaults."""

from fastcore.meta import delegates

from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.datasets.tiles import tile_images

__all__ = ["tile_dataloaders"]


@delegates(PictureDataLoaders.from_images, but=["groups", "size", "channels"])
def tile_dataloaders(
    bs: int = 64,  # tiles per training batch, at most
    count: int = 8000,  # tiles; 300 are the small collection, the first of the large one
    seed: int = 0,  # another seed, another collection
    shift: int = 4,  # pixels that a training tile may move
    flip: bool | tuple[float, float] = True,  # (.4, .2), the probabilities of mirroring and upside down
    **kwargs,
) -> PictureDataLoaders:
    """Tiles of 32x32 pixels, see `tile_images`. Every 21st instance, with its four tiles, validates."""
    images, groups = tile_images(count, seed)
    return PictureDataLoaders.from_images(images, groups, bs, shift=shift, flip=flip, **kwargs)
