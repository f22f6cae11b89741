"""Clusters of pixels: k-means labels, and the network's inputs made from them.

Clusters of colours have *seen the target*. As an input they are fair for memorising or compressing that very image,
when the bytes of the label map (`label_maps.pack_labels`) are counted with those of the network; they say nothing about
generalisation.
"""

import operator

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from siren_fastai.coords import grid_coords
from siren_fastai.images import check_image
from siren_fastai.label_maps import checked_labels

__all__ = ["KMEANS_BASES", "LABEL_USES", "cluster_ranks", "kmeans_labels", "label_entropy", "label_features"]

KMEANS_BASES = ("color", "color+position")
LABEL_USES = ("feature", "scalar")
FIT_PIXELS = 1 << 17  # k-means learns its centres from at most so many pixels, and labels all of them
MAX_LABELS = 1 << 16


def kmeans_labels(
    image: Tensor | np.ndarray,  # (h, w, c) finite floats
    k: int,  # number of clusters
    by: str = "color",  # or "color+position": clusters that are also compact
    position_weight: float = 1.0,  # rows and columns are scaled to [0, position_weight] over the image
    seed: int = 0,  # of k-means, and of the sample of pixels
) -> Tensor:  # (h, w) int64 on the CPU, 0 <= label < k
    """Cluster numbers of the pixels by k-means, the largest cluster first; every label is used, k = 1 gives zeros.

    The centres come from at most 131 072 pixels, drawn with `seed`. The labels see the target: use them to memorise or
    compress an image, and count the bytes of their map.

    Raises: ValueError for fewer distinct colours (or colours and positions) than k, NaN, another shape, or a bad `by`.
    """
    k = _checked_count(k)
    if by not in KMEANS_BASES:
        raise ValueError(f"`by` must be one of {KMEANS_BASES}, got {by!r}")
    if not 0 <= position_weight < float("inf"):
        raise ValueError(f"`position_weight` must be 0 or more, got {position_weight}")
    pixels = _pixels(image)
    height, width = image.shape[:2]
    if k == 1:
        return torch.zeros(height, width, dtype=torch.int64)
    if by == "color+position":
        position = (grid_coords((height, width), "corners").numpy() + 1) * (position_weight / 2)
        pixels = np.concatenate([pixels, position.astype(pixels.dtype)], axis=1)
    labels = _by_size(_fit_predict(pixels, k, seed), k)
    return torch.from_numpy(labels).view(height, width)


def label_features(
    labels: Tensor | np.ndarray,  # (h, w) or (n,) integers in [0, k)
    k: int,  # number of labels
    use: str = "feature",  # "feature": one column per label, one-hot; "scalar": label / (k - 1)
) -> Tensor:  # (n, k) for "feature", (n, 1) for "scalar", (n, 0) for k = 1; float32
    """Labels as inputs of a network, in raster order.

    One cluster says nothing and gives no column, so k = 1 is exactly the plain model. Labels made from colours see the
    target, as the module says.

    Raises: TypeError for labels that aren't integers; ValueError for labels outside [0, k) or an unknown `use`.
    """
    k = _checked_count(k)
    if use not in LABEL_USES:
        raise ValueError(f"`use` must be one of {LABEL_USES}, got {use!r}")
    flat = checked_labels(labels, k).reshape(-1)
    if k == 1:
        return torch.zeros(flat.size, 0)
    index = torch.from_numpy(flat.astype(np.int64))[:, None]
    return torch.zeros(flat.size, k).scatter_(1, index, 1.0) if use == "feature" else index / (k - 1)


def cluster_ranks(
    labels: Tensor,  # (h, w) integers of 0 or more
) -> Tensor:  # (h, w, 1) float32 in [-1, 1]
    """How far along its own cluster each pixel comes in raster order: a coordinate relative to the cluster.

    Pixel i of n lies at (2i + 1) / n - 1, the "centers" grid of a line. It follows from the labels, so a file that
    holds these needs nothing more.
    """
    flat = labels.flatten().long()
    order = flat.argsort(stable=True)
    sizes = torch.bincount(flat)
    place = torch.arange(len(flat)) - (sizes.cumsum(0) - sizes)[flat[order]]
    ranks = torch.empty(len(flat), dtype=torch.float64)
    ranks[order] = (2 * place + 1).double() / sizes[flat[order]] - 1
    return ranks.float().view(*labels.shape, 1)


def label_entropy(labels: Tensor | np.ndarray) -> float:
    """The entropy of the labels' frequencies in bits per pixel: the least that a coder needs if it ignores neighbours.

    Shapes: integers from 0 to 65 535, of any shape but empty.
    """
    labels = checked_labels(labels, MAX_LABELS)
    if labels.size == 0:
        raise ValueError("`labels` must not be empty")
    counts = np.bincount(labels.reshape(-1))
    shares = counts[counts > 0] / labels.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _fit_predict(pixels: np.ndarray, k: int, seed: int) -> np.ndarray:
    """k-means' label of each row; one thread while fitting, since the order of its sums would show in the labels."""
    sample = pixels
    if len(pixels) > FIT_PIXELS:
        sample = pixels[np.random.default_rng(seed).choice(len(pixels), FIT_PIXELS, replace=False)]
    distinct = len(np.unique(sample, axis=0))
    if distinct < k:
        raise ValueError(f"`k` must be at most the number of distinct pixels, {distinct}, got {k}")
    with threadpool_limits(limits=1, user_api="openmp"):
        means = KMeans(n_clusters=k, n_init=2, random_state=seed).fit(sample)
    return means.labels_ if sample is pixels else means.predict(pixels)


def _by_size(labels: np.ndarray, k: int) -> np.ndarray:
    """The labels renumbered: 0 for the most frequent; equal sizes by their first pixel in raster order."""
    sizes = np.bincount(labels, minlength=k)
    used, first = np.unique(labels, return_index=True)
    rank = np.empty(k, dtype=np.int64)
    rank[used[np.lexsort((first, -sizes[used]))]] = np.arange(len(used))
    return rank[labels]


def _pixels(image: Tensor | np.ndarray) -> np.ndarray:
    """The image as rows of finite floats."""
    array = image.detach().cpu().float().numpy() if isinstance(image, Tensor) else np.asarray(image)
    check_image(array)
    array = array.reshape(-1, array.shape[2]).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"`image` must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values")
    return array


def _checked_count(k: int) -> int:
    if isinstance(k, bool) or not 1 <= operator.index(k) <= MAX_LABELS:
        raise ValueError(f"`k` must be an int from 1 to {MAX_LABELS}, got {k!r}")
    return operator.index(k)
