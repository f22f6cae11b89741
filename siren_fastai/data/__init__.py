"""Data for fastai: batches that are one indexing operation; signals and collections of images as DataLoaders."""

from siren_fastai.data.dataset import PixelDataset
from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.data.indexed import IndexedDL
from siren_fastai.data.loader import PixelDL
from siren_fastai.data.loaders import PixelDataLoaders
from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.data.picture_sets import (
    digits_dataloaders,
    glyphs_dataloaders,
    kali_dataloaders,
    mixed_dataloaders,
    tile_dataloaders,
)
from siren_fastai.data.pictures import PictureDataset, PictureDL

__all__ = [
    "GradientDataLoaders",
    "IndexedDL",
    "PictureDL",
    "PictureDataLoaders",
    "PictureDataset",
    "PixelDL",
    "PixelDataLoaders",
    "PixelDataset",
    "digits_dataloaders",
    "glyphs_dataloaders",
    "kali_dataloaders",
    "mixed_dataloaders",
    "tile_dataloaders",
]
