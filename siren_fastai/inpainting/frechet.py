"""A Fréchet distance between two sets of images, on statistics of fixed random filters.

It is not the FID, which is the same formula on the features of one trained Inception network, and its values aren't
comparable with it. Source of the formula: Dowson and Landau 1982, J. Multivariate Anal. 12(3).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.datasets.draws import Draws
from siren_fastai.image_pairs import as_array

__all__ = ["frechet_distance", "texture_features"]

FILTERS, SIDE, SCALES = 8, 7, 3  # random filters, their pixels on a side, and halvings of the image plus one
SEED = 0


def frechet_distance(
    a: Tensor | np.ndarray,  # (n, d) features, one row per image
    b: Tensor | np.ndarray,  # (m, d)
) -> float:
    """Return the squared Fréchet distance between Gaussians with the means and covariances of the features.

    |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), in float64; 0 for equal sets. It is biased
    upward for few images: compare only sets of the same sizes, and use many more images than features.
    Raises: ValueError for other shapes, fewer than two rows, or values that aren't finite.
    """
    a, b = (_checked(name, as_array(values).astype(np.float64)) for name, values in (("a", a), ("b", b)))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"`a` and `b` must have the same features, got {a.shape[1]} and {b.shape[1]}")
    (mean_a, cov_a), (mean_b, cov_b) = _moments(a), _moments(b)
    root = _square_root(cov_a)
    eigenvalues = np.linalg.eigvalsh(root @ cov_b @ root)  # those of cov_a cov_b
    cross = np.sqrt(eigenvalues.clip(0)).sum()
    return max(0.0, float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


@torch.no_grad()
def texture_features(
    images: Tensor,  # (n, c, h, w) in [0, 1], of at least 28 x 28 pixels
) -> Tensor:  # (n, 48) float32
    """Return statistics of textures: eight fixed random filters of 7x7 pixels at full, half and quarter size.

    The filters are uniform, with a mean of 0 and a norm of 1 over all channels; of each one's absolute response, the
    mean and the standard deviation over the pixels are kept. They see blur and noise, not what an image shows.
    Raises: ValueError for images that are smaller.
    """
    if images.dim() != 4 or min(images.shape[2:]) < SIDE * 2 ** (SCALES - 1):
        least = SIDE * 2 ** (SCALES - 1)
        raise ValueError(f"images must be (n, c, h, w) of at least {least} x {least} pixels, got {tuple(images.shape)}")
    filters, features = _filters(images.shape[1]).to(images.device), []
    for scale in range(SCALES):
        level = F.avg_pool2d(images.float(), 2**scale) if scale else images.float()
        response = F.conv2d(level, filters).abs()
        features += [response.mean((2, 3)), response.std((2, 3))]
    return torch.cat(features, 1)


def _filters(channels: int) -> Tensor:
    """(FILTERS, channels, SIDE, SIDE) the same on every machine and with every version of NumPy."""
    drawn = Draws(SEED, channels).below(2**16, (FILTERS, channels, SIDE, SIDE)).astype(np.float64)
    drawn -= drawn.mean((1, 2, 3), keepdims=True)
    return torch.from_numpy(drawn / np.sqrt((drawn**2).sum((1, 2, 3), keepdims=True))).float()


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or len(values) < 2 or values.shape[1] < 1:
        raise ValueError(f"`{name}` must be (n, d), features of two or more images, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` holds values that aren't finite: did the network diverge?")
    return values


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(0), np.atleast_2d(np.cov(values, rowvar=False))


def _square_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
