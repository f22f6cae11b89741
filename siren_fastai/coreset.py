"""A part of an image's pixels to train on in place of all: at random, or spread over clusters of like pixels.

A selection by clusters has seen the colours: it is fair for memorising that very image.
"""

import torch
from torch import Tensor

from siren_fastai.clusters import kmeans_labels
from siren_fastai.coords import grid_coords
from siren_fastai.images import check_image

__all__ = ["CORESETS", "coreset", "shares_of"]

CORESETS = ("random", "stratified", "nearest")


def coreset(
    image: Tensor,  # (h, w, c) finite floats
    n: int,  # pixels to choose, from 1 to h * w
    by: str = "random",  # one of CORESETS
    k: int = 64,  # clusters of colour and position, for all but "random"
    seed: int = 0,  # of the choice and of k-means
) -> Tensor:  # (n,) int64 raster indices, ascending
    """Choose `n` pixels of an image.

    "random": uniformly, without replacement. The others divide `n` over `k` k-means clusters of colour and position in
    proportion to their sizes: "stratified" draws at random in each, "nearest" takes the pixels nearest to its centre.
    With k = n, "nearest" is one representative per cluster.
    Raises: ValueError for a bad `n` or `by`, or fewer distinct pixels than clusters.
    """
    check_image(image)
    n_pixels = image.shape[0] * image.shape[1]
    if by not in CORESETS:
        raise ValueError(f"`by` must be one of {CORESETS}, got {by!r}")
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= n_pixels:
        raise ValueError(f"`n` must be an integer from 1 to the {n_pixels} pixels of the image, got {n!r}")
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(n_pixels, generator=generator, dtype=torch.float64)  # a random order
    if by == "random":
        return rank.argsort()[:n].sort().values
    labels = kmeans_labels(image, k, "color+position", seed=seed).flatten()
    if by == "nearest":
        rank = _distances(image, labels, k)
    return _lowest(rank, labels, shares_of(torch.bincount(labels, minlength=k), n)).sort().values


def shares_of(
    sizes: Tensor,  # (k,) integers of 0 or more
    n: int,  # to divide, at most their sum
) -> Tensor:  # (k,) int64 that sum to n, none above its size
    """Divide `n` in proportion to `sizes`: rounded down, and the rest to the largest remainders."""
    exact = sizes.double() * n / sizes.sum()
    shares = exact.floor().long()
    rest = (exact - shares).argsort(descending=True, stable=True)[: n - int(shares.sum())]
    shares[rest] += 1
    return shares


def _distances(image: Tensor, labels: Tensor, k: int) -> Tensor:
    """Each pixel's squared distance, in colour and position, to the mean of its cluster; scaled as for k-means."""
    shape = image.shape[:2]
    pixels = torch.cat([image.reshape(-1, image.shape[2]).cpu(), (grid_coords(shape, "corners") + 1) / 2], 1).double()
    counts = torch.bincount(labels, minlength=k).clamp(min=1)
    centers = pixels.new_zeros(k, pixels.shape[1]).index_add_(0, labels, pixels) / counts[:, None]
    return (pixels - centers[labels]).square().sum(1)


def _lowest(rank: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """The `shares[label]` pixels of least rank in each cluster; the first ones if equal."""
    order = rank.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]  # by cluster, then by rank
    starts = torch.bincount(labels, minlength=len(shares)).cumsum(0).roll(1)
    starts[0] = 0
    place = torch.arange(len(order)) - starts[labels[order]]
    return order[place < shares[labels[order]]]
