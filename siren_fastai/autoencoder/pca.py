"""Principal components of images: the linear autoencoder that others have to pass, and a start for better ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from siren_fastai.autoencoder.shapes import check_count, check_images

__all__ = ["PcaImages", "as_floats", "fit_pca", "principal_axes"]

EXACT = 3072  # values per sample, or samples: 5 seconds on one core; beyond, axes are found by random projections
PASSES, OVERSAMPLE = 6, 20  # of those: through the samples, and axes that are found besides the wanted ones


@dataclass(frozen=True)
class PcaImages:
    """Images as their mean plus a weighted sum of components: codes of `len(axes)` values."""

    mean: Tensor  # (c * h * w,)
    axes: Tensor  # (k, c * h * w), orthonormal, largest variance first
    shape: tuple[int, int, int]  # (c, h, w)

    def encode(
        self,
        images: Tensor,  # (n, c, h, w) float in [0, 1]
    ) -> Tensor:  # (n, k)
        """Return the codes of images. Raises: ValueError for images of another shape."""
        return (check_images(images, self.shape).flatten(1) - self.mean) @ self.axes.T

    def decode(
        self,
        code: Tensor,  # (n, k)
    ) -> Tensor:  # (n, c, h, w) in [0, 1]
        """Return the images of codes, clamped to [0, 1]."""
        return (code @ self.axes + self.mean).clamp(0, 1).unflatten(1, self.shape)


def fit_pca(
    images: Tensor,  # (n, c, h, w) uint8, or float in [0, 1]
    code_size: int = 102,  # components
) -> PcaImages:
    """Return the `code_size` principal components of images, which explain most of their squared error.

    Raises: TypeError for other tensors; ValueError unless there are more images than components.
    """
    images = as_floats(images)
    return PcaImages(*principal_axes(images.flatten(1), code_size), tuple(images.shape[1:]))


@torch.no_grad()
def principal_axes(
    samples: Tensor,  # (n, d) float
    count: int,  # axes
    weights: Tensor | None = None,  # (n,) how much each sample counts; None is all alike
) -> tuple[Tensor, Tensor]:  # (d,) and (count, d)
    """Return the samples' weighted mean, and the orthonormal directions of largest variance around it, largest first.

    With more than `EXACT` samples of more values than that, they are near those, the last few axes least.
    Raises: ValueError unless `count` is at most d, and less than the number of samples.
    """
    n, d = samples.shape
    if check_count("code_size", count) > d or count >= n:
        raise ValueError(f"{count} components need at least {count + 1} images of {count} values, got {n} of {d}")
    weights = torch.full((n,), 1 / n).to(samples) if weights is None else weights / weights.sum()
    mean = weights @ samples
    centered = (samples - mean) * weights.sqrt()[:, None]
    if min(n, d) > EXACT:
        return mean, _leading_axes(centered, count)
    if n >= d:
        return mean, torch.linalg.eigh(centered.T @ centered)[1][:, -count:].flip(1).T.contiguous()
    along = torch.linalg.eigh(centered @ centered.T)[1][:, -count:].flip(1)  # the same axes, of a smaller matrix
    return mean, torch.linalg.qr(centered.T @ along)[0].T.contiguous()


def _leading_axes(centered: Tensor, count: int) -> Tensor:
    """(count, d): nearly the axes of largest variance, the same ones at each call.

    Source: Halko et al. 2011, arXiv:0909.4061, algorithm 5.1.
    """
    with torch.random.fork_rng([centered.device] if centered.is_cuda else []):
        torch.manual_seed(0)
        axes = torch.svd_lowrank(centered, min(count + OVERSAMPLE, *centered.shape), PASSES)[2]
    return axes[:, :count].T.contiguous()


def as_floats(
    images: Tensor,  # (n, c, h, w) uint8, or float in [0, 1]
) -> Tensor:  # (n, c, h, w) float in [0, 1]
    """Return images as floats. Raises: TypeError for what isn't a batch of images."""
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) == 0:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor (n, channels, height, width), got {found}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8, or float in [0, 1], got {images.dtype}")
    return images.float() / 255 if images.dtype == torch.uint8 else images
