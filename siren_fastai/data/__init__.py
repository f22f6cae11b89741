"""Data for fastai: batches that are one indexing operation, and signals as DataLoaders."""

from siren_fastai.data.dataset import PixelDataset
from siren_fastai.data.indexed import IndexedDL
from siren_fastai.data.loader import PixelDL
from siren_fastai.data.loaders import PixelDataLoaders

__all__ = ["IndexedDL", "PixelDL", "PixelDataLoaders", "PixelDataset"]
