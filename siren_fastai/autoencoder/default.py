"""The autoencoder that a collection of images gets by default, and its learning rate."""

import torch
from torch import nn

from siren_fastai.autoencoder.decoders.fields import FieldsDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.experts import EXPERTS
from siren_fastai.autoencoder.fields_start import fields_autoencoder
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.shapes import check_count

__all__ = ["CODE_SIZE", "default_autoencoder", "default_lr", "model_for"]

CODE_SIZE = 102  # values per code: a tenth of the pixels of 32 x 32, as note 002 has it
MAX_PIXELS = 64 * 64  # for fields, which have weights for every pixel
MAX_IMAGES = 8000  # for the start of fields: more add seconds and hardly any quality
LR, FIELDS_LR = 1e-3, 2e-4


def default_autoencoder(
    dls,  # fastai DataLoaders of images, such as `PictureDataLoaders`
    code_size: int = CODE_SIZE,  # values per code
) -> Autoencoder:
    """Return `fields_autoencoder`, started from the training images; from 8000 of them if there are more.

    The start takes seconds to half a minute. Images of more than 64 x 64 pixels, or hardly more of them than values in
    a code, get the note's three convolutions with its decoder, whose positions reach the images' Nyquist frequency.
    """
    data, code_size = dls.train_ds, check_count("code_size", code_size)
    channels, height, width = data.shape
    experts = [(cell, count) for cell, count in EXPERTS if height % cell == width % cell == 0]
    if height * width <= MAX_PIXELS and channels in (1, 3) and len(data) > code_size:
        n = min(len(data), MAX_IMAGES)
        images, _ = data[torch.arange(n, device=data.device) * len(data) // n]
        return fields_autoencoder(images, code_size, experts)
    decoder = ImageManifoldDecoder(code_size, channels, pos_embedding_freqs=None, default_shape=(height, width))
    return Autoencoder(EncoderConv2d(data.shape, code_size), decoder)


def default_lr(
    model: nn.Module,
) -> float:
    """Return a learning rate for Adam: fields that started from images bear less than drawn weights."""
    return FIELDS_LR if isinstance(getattr(model, "decoder", None), FieldsDecoder) else LR


def model_for(
    dls,  # fastai DataLoaders of images
    model: nn.Module | None,  # an `Autoencoder`, or None
    code_size: int | None,  # values per code; None is the model's, or 102
) -> nn.Module:
    """Return the given network, if it fits the images and `code_size`, or the default one.

    Raises: TypeError for one without `encode` and `decode`; ValueError for one that doesn't fit.
    """
    if model is None:
        return default_autoencoder(dls, CODE_SIZE if code_size is None else code_size)
    if not (isinstance(model, nn.Module) and hasattr(model, "encode") and hasattr(model, "decode")):
        raise TypeError(
            f"`model` must have `encode` and `decode`, as `Autoencoder(encoder, decoder)` does, got "
            f"{type(model).__name__}"
        )
    own = getattr(model, "code_size", None)
    if code_size is not None and own is not None and code_size != own:
        raise ValueError(f"`code_size` is {code_size}, but `model` makes codes of {own} values: leave it out")
    _check_fit(dls, model)
    return model


@torch.no_grad()
def _check_fit(dls, model: nn.Module) -> None:
    """Pass one image through the network. Raises: ValueError if it reads or draws images of another shape."""
    like, training, shape = next(model.parameters()), model.training, tuple(dls.train_ds.shape)
    try:
        drawn = tuple(model.eval()(torch.zeros(1, *shape).to(like)).shape[1:])
    finally:
        model.train(training)
    if drawn != shape:
        raise ValueError(
            f"`model` draws images of shape {drawn}, but those of `dls` have {shape}: give its decoder "
            f"`default_shape={shape[1:]}` and {shape[0]} channels"
        )
