"""Principal components as an autoencoder without training: the baseline of every code length."""

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.pca import fit_pca

__all__ = ["pca_autoencoder"]


def pca_autoencoder(
    images: Tensor,  # (n, c, h, w) in [0, 1], to fit
    code_size: int,  # components
) -> Autoencoder:
    """Return `fit_pca` as a linear encoder and decoder. Raises: ValueError as `fit_pca`."""
    pca = fit_pca(images, code_size)
    encoder, decoder = (nn.Linear(*pair) for pair in (pca.axes.T.shape, pca.axes.shape))
    with torch.no_grad():
        encoder.weight.copy_(pca.axes)
        encoder.bias.copy_(-pca.axes @ pca.mean)
        decoder.weight.copy_(pca.axes.T)
        decoder.bias.copy_(pca.mean)
    return Autoencoder(nn.Sequential(nn.Flatten(), encoder), nn.Sequential(decoder, nn.Unflatten(1, pca.shape)))
