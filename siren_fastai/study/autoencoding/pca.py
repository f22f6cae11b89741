"""Principal components as an autoencoder without training: the baseline of every code length."""

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from siren_fastai.autoencoder.model import Autoencoder

__all__ = ["pca_autoencoder"]

EXACT = 1024  # values per image up to which components are computed exactly; above, by random projections


def pca_autoencoder(
    images: Tensor,  # (n, c, h, w) in [0, 1], to fit
    code_size: int,  # components
) -> Autoencoder:
    """Return the linear encoder and decoder whose reconstructions of `images` have the least squared error.

    Raises: ValueError unless there are more images, and more values in each, than components.
    """
    n, *shape = images.shape
    values = images[0].numel()
    if code_size >= min(n, values):
        raise ValueError(f"PCA with {code_size} components needs more images and values than that, got {n}, {values}")
    solver = "covariance_eigh" if values <= EXACT else "randomized"
    found = PCA(code_size, svd_solver=solver, random_state=0).fit(images.flatten(1).cpu().numpy())
    basis, mean = (torch.from_numpy(part).to(images) for part in (found.components_, found.mean_))
    encoder, decoder = nn.Linear(values, code_size), nn.Linear(code_size, values)
    with torch.no_grad():
        encoder.weight.copy_(basis)
        encoder.bias.copy_(-basis @ mean)
        decoder.weight.copy_(basis.T)
        decoder.bias.copy_(mean)
    return Autoencoder(nn.Sequential(nn.Flatten(), encoder), nn.Sequential(decoder, nn.Unflatten(1, shape)))
