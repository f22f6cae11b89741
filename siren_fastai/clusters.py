"""Clusters of pixels: k-means labels, the network's inputs made from them, and label maps packed for a file.

A cluster of colours has *seen the target*. As an input it is fair for memorising or compressing that very picture, when
the bytes of the label map are counted with those of the network; it tells nothing about generalisation, and whoever
decodes the picture needs the map (`pack_labels`).
"""

import operator
import struct
import zlib

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from siren_fastai.coords import grid_coords
from siren_fastai.images import check_image

__all__ = ["BASES", "kmeans_labels", "label_features", "pack_labels", "unpack_labels", "label_entropy"]

BASES = ("color", "color+position")
FIT_PIXELS = 1 << 17  # k-means learns its centres from at most so many pixels, and labels all of them
MAX_LABELS = 1 << 16
HEADER = struct.Struct("<4sIII")  # magic, height, width, k
MAGIC = b"SLM1"


def kmeans_labels(
    image: Tensor | np.ndarray, k: int, on: str = "color", position_weight: float = 1.0, seed: int = 0
) -> Tensor:
    """Cluster numbers of the pixels by k-means, the largest cluster first: labels of the target's own colours.

    `on="color+position"` adds the pixel's row and column, each scaled to [0, `position_weight`] over the picture, so
    that clusters are also compact. The centres come from at most 131 072 pixels, drawn with `seed`. Colours see the
    target: use the labels to memorise or compress a picture, and count the bytes of their map.

    Shapes: (h, w, c) finite floats -> (h, w) int64 on the CPU, 0 <= label < k, every label used; k = 1 gives zeros.
    Raises: ValueError for fewer distinct colours (or colours and positions) than k, NaN, another shape, or a bad `on`.
    """
    k = _checked_count(k)
    if on not in BASES:
        raise ValueError(f"`on` must be one of {BASES}, got {on!r}")
    if not 0 <= position_weight < float("inf"):
        raise ValueError(f"`position_weight` must be 0 or more, got {position_weight}")
    pixels = _pixels(image)
    height, width = image.shape[:2]
    if k == 1:
        return torch.zeros(height, width, dtype=torch.int64)
    if on == "color+position":
        position = (grid_coords((height, width), "corners").numpy() + 1) * (position_weight / 2)
        pixels = np.concatenate([pixels, position.astype(pixels.dtype)], axis=1)
    labels = _by_size(_fit_predict(pixels, k, seed), k)
    return torch.from_numpy(labels).view(height, width)


def label_features(labels: Tensor | np.ndarray, k: int, kind: str = "onehot") -> Tensor:
    """Labels as inputs of a network, in raster order: one column per cluster, or label / (k - 1).

    One cluster tells nothing and gives no column, so that k = 1 is the plain model exactly. See the module's warning:
    labels made from colours see the target.

    Shapes: (h, w) or (n,) integers -> (n, k) for "onehot", (n, 1) for "scalar", (n, 0) for k = 1; float32.
    Raises: TypeError for labels that are not integers; ValueError for labels outside [0, k) or an unknown `kind`.
    """
    k = _checked_count(k)
    if kind not in ("onehot", "scalar"):
        raise ValueError(f"`kind` must be 'onehot' or 'scalar', got {kind!r}")
    flat = _checked_labels(labels, k).reshape(-1)
    if k == 1:
        return torch.zeros(flat.size, 0)
    index = torch.from_numpy(flat.astype(np.int64))[:, None]
    return torch.zeros(flat.size, k).scatter_(1, index, 1.0) if kind == "onehot" else index / (k - 1)


def pack_labels(labels: Tensor | np.ndarray, k: int) -> bytes:
    """A label map as bytes for a file: a header of 16 bytes, then ceil(log2 k) bit planes in zlib.

    Shapes: (h, w) integers in [0, k). k = 1 takes the header alone.
    Raises: TypeError for labels that are not integers; ValueError for another shape or labels outside [0, k).
    """
    k = _checked_count(k)
    flat = _checked_labels(labels, k)
    if flat.ndim != 2 or flat.size == 0:
        raise ValueError(f"`labels` must be (h, w) and not empty, got {flat.shape}")
    flat = flat.astype(np.uint16)
    planes = [np.packbits((flat >> bit).astype(np.uint8) & 1).tobytes() for bit in range(_bits(k))]
    return HEADER.pack(MAGIC, *flat.shape, k) + (zlib.compress(b"".join(planes), 9) if planes else b"")


def unpack_labels(data: bytes, max_pixels: int = 1 << 26) -> Tensor:
    """The label map in `pack_labels`'s bytes; anything else ends in an error, before much memory is taken.

    Shapes: -> (h, w) int64.
    Raises: ValueError for bytes that are foreign, cut off, too long, corrupted, or of more than `max_pixels` pixels.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ValueError(
            f"expected a label map ({MAGIC!r} and a header), got {len(data)} bytes from {bytes(data[:4])!r}"
        )
    _, height, width, k = HEADER.unpack_from(data)
    n = height * width
    if not (1 <= k <= MAX_LABELS and 1 <= n <= max_pixels):
        raise ValueError(
            f"label map of {height}x{width} pixels and {k} labels: expected 1 to {max_pixels} pixels and "
            f"1 to {MAX_LABELS} labels; raise `max_pixels` if you trust the file"
        )
    packed = np.frombuffer(_inflate(data[HEADER.size :], _bits(k) * ((n + 7) // 8)), dtype=np.uint8)
    labels = np.zeros(n, dtype=np.int64)
    for bit, plane in enumerate(packed.reshape(_bits(k), -1) if k > 1 else ()):
        labels |= np.unpackbits(plane, count=n).astype(np.int64) << bit
    if labels.max() >= k:
        raise ValueError(f"label map of {k} labels holds the label {labels.max()}: the bytes are corrupted")
    return torch.from_numpy(labels).view(height, width)


def label_entropy(labels: Tensor | np.ndarray) -> float:
    """The entropy of the labels' frequencies in bits per pixel: what a coder blind to neighbours needs at the least.

    Shapes: integers from 0 to 65 535, of any shape but empty.
    """
    labels = _checked_labels(labels, MAX_LABELS)
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
    """The picture as rows of finite floats."""
    array = image.detach().cpu().float().numpy() if isinstance(image, Tensor) else np.asarray(image)
    check_image(array)
    array = array.reshape(-1, array.shape[2]).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"`image` must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values")
    return array


def _inflate(payload: bytes, size: int) -> bytes:
    """Exactly `size` bytes out of a zlib stream that is the whole payload."""
    if size == 0 and not payload:
        return b""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(payload, size + 1)
    except zlib.error as error:
        raise ValueError(f"label map's zlib stream is corrupted: {error}") from None
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"label map must hold exactly {size} bytes of labels: the bytes are cut off or do not fit")
    return raw


def _bits(k: int) -> int:
    return (k - 1).bit_length()


def _checked_count(k: int) -> int:
    if isinstance(k, bool) or not 1 <= operator.index(k) <= MAX_LABELS:
        raise ValueError(f"`k` must be an int from 1 to {MAX_LABELS}, got {k!r}")
    return operator.index(k)


def _checked_labels(labels: Tensor | np.ndarray, k: int) -> np.ndarray:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`labels` must be integers, got {array.dtype}")
    if array.size and not 0 <= array.min() <= array.max() < k:
        raise ValueError(f"`labels` must be from 0 to k - 1 = {k - 1}, got {array.min()} to {array.max()}")
    return array
