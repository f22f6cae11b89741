"""Small learners for the tests: ours on an image, and plain fastai Learners on other data."""

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.torch_core import set_seed
from torch import nn

from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.data import PictureDataLoaders, PixelDataLoaders
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model


def picture(height=12, width=10, channels=3):
    """A smooth image with some noise, (height, width, channels) in [0, 1]."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [0.5 + 0.4 * np.sin(7 * y + c) * np.cos(5 * x - c) for c in range(channels)]
    noise = np.random.default_rng(0).normal(0, 0.02, (height, width, channels))
    return np.clip(np.stack(waves, -1) + noise, 0, 1).astype(np.float32)


def pixel_learner(path, dims=(2, 16, 16, 3), model=None, seed=0, size=(12, 10), **kwargs):
    """A quiet PixelLearner of a small image, determined by `seed`."""
    set_seed(seed, reproducible=True)
    names = ("bs", "valid", "coords", "order", "repeat")
    options = {"bs": 40, "value_range": (0, 1)} | {k: kwargs.pop(k) for k in names if k in kwargs}
    dls = PixelDataLoaders.from_array(picture(*size, dims[-1]), path=path, **options)
    return quiet(siren_learner(dls, siren_model(list(dims)) if model is None else model, **kwargs))


def small_autoencoder(shape=(3, 16, 16), code_size=8, hidden=16, **options):
    """The note's encoder and decoder, with few features."""
    decoder = ImageManifoldDecoder(code_size, shape[0], hidden, 1, default_shape=shape[1:], **options)
    return Autoencoder(EncoderConv2d(shape, code_size, (4, 6)), decoder)


def tile_learner(path, seed=0, count=84, bs=20, flip=True, shift=2, model=None, decoder=None, **kwargs):
    """A quiet AutoencoderLearner of 80 small tiles and 4 for validation, determined by `seed`."""
    set_seed(seed, reproducible=True)
    images, groups = tile_images(count, size=16)
    dls = PictureDataLoaders.from_images(images, groups, bs, flip=flip, shift=shift, path=path)
    model = small_autoencoder(**(decoder or {})) if model is None else model
    return quiet(autoencoder_learner(dls, model, **kwargs))


class Items(list):
    """A list of samples that fastai can export."""

    def new_empty(self):
        return Items()


def plain_learner(path, seed=0, **kwargs):
    """An ordinary fastai Learner on other data: a regression in 4 variables by a ReLU network with batch norm."""
    set_seed(seed, reproducible=True)
    x = torch.randn(48, 4)
    items = Items(zip(x, x @ torch.randn(4, 2) + 0.1, strict=True))
    loaders = [DataLoader(items, bs=16, shuffle=shuffle) for shuffle in (True, False)]
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    return quiet(Learner(DataLoaders(*loaders, path=path), model, loss_func=MSELossFlat(), **kwargs))


def quiet(learn):
    """Without progress bar and printed rows, for good."""
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == "ProgressCallback"])
    learn.logger = _say_nothing
    return learn


def _say_nothing(_):
    """A logger of module level, so that learners can be pickled."""


def weights(learn):
    """A copy of everything that training may change."""
    return {name: value.detach().clone() for name, value in learn.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
