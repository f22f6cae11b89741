"""Label maps as bytes: each cell is entropy-coded with the counts of earlier cells that had the same neighbours.

`.sirn` files hold the stream of `encode_labels`; `pack_labels` adds a header, for a map on its own. Counts are float64
sums in one order, and go to constriction's range coder as they are, so that every machine codes alike.
"""

import operator
import struct

import numpy as np
import torch
from torch import Tensor

from siren_fastai.quantize.rangecoder import (
    Categorical,
    RangeDecoder,
    RangeEncoder,
    check_same,
    decode,
    to_bytes,
    to_words,
)

__all__ = ["MAX_LABELS", "checked_labels", "decode_labels", "encode_labels", "pack_labels", "unpack_labels"]

MAX_LABELS = 256
MAX_SIDE = (1 << 16) - 1
HEADER = struct.Struct("<4sHHB")  # magic, height, width, k - 1
MAGIC = b"SLM2"
CONFIDENCE = 8.0  # the sum of a new context's counts
NEIGHBOUR, STEP, CEILING = 8.0, 2.0, 1024.0  # for the neighbours' own labels at first; for each cell; at which to halve


def checked_labels(
    labels: Tensor | np.ndarray,  # of any shape
    k: int,  # number of labels
) -> np.ndarray:
    """Return the labels as an array. Raises: TypeError unless integers; ValueError for labels outside [0, k)."""
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`labels` must be integers, got {array.dtype}")
    if array.size and not 0 <= array.min() <= array.max() < k:
        raise ValueError(f"`labels` must be from 0 to k - 1 = {k - 1}, got {array.min()} to {array.max()}")
    return array


def encode_labels(labels: Tensor | np.ndarray, k: int) -> bytes:
    """A label map as a stream of little-endian 32-bit words.

    A cell's context are the labels to its left, above, and above to the left and right; `_LabelCounts` says how counts
    become weights. k = 1 takes no bytes.
    Shapes: (h, w) integers in [0, k), k from 1 to 256. Raises: ValueError, TypeError for anything else.
    """
    _check_map(np.shape(labels), k)
    labels = checked_labels(labels, k)
    if k == 1:
        return b""
    encoder, counts, family = RangeEncoder(), _LabelCounts(k), Categorical(perfect=False)
    above: list[int] = []
    for row in labels.astype(np.int32):
        current: list[int] = []
        weights = np.empty((len(row), k))
        for column, label in enumerate(row.tolist()):
            weights[column] = counts.weights(*_neighbours(current, above, column))
            counts.add(label)
            current.append(label)
        encoder.encode(row, family, weights)
        above = current
    return to_bytes(encoder)


def decode_labels(data: bytes, shape: tuple[int, int], k: int) -> np.ndarray:
    """The map in `encode_labels`'s bytes: int32 of `shape`. Time is that of the shape: check it first.

    Raises: ValueError for bytes that `encode_labels` does not make of such a map.
    """
    _check_map(shape, k)
    decoder, encoder, family = RangeDecoder(to_words(data)), RangeEncoder(), Categorical(perfect=False)
    labels, counts, above = np.zeros(shape, np.int32), _LabelCounts(k), []
    for row in labels if k > 1 else ():
        current: list[int] = []
        weights = np.empty((len(row), k))
        for column in range(len(row)):
            weights[column] = counts.weights(*_neighbours(current, above, column))
            (label,) = decode(decoder, family, weights[column : column + 1]).tolist()
            counts.add(label)
            current.append(label)
        row[:] = above = current
        encoder.encode(row, family, weights)
    check_same(data, encoder)
    return labels


def pack_labels(
    labels: Tensor | np.ndarray,  # (h, w) integers in [0, k), sides up to 65535
    k: int,  # number of labels, from 1 to 256
) -> bytes:
    """A label map on its own as bytes: a header of 9 bytes, then the stream of `encode_labels`.

    Raises: TypeError for labels that aren't integers; ValueError for another shape or labels outside [0, k).
    """
    data = encode_labels(labels, k)
    if max(labels.shape) > MAX_SIDE:
        raise ValueError(f"`labels` must have sides up to {MAX_SIDE}, got {tuple(labels.shape)}")
    return HEADER.pack(MAGIC, *labels.shape, k - 1) + data


def unpack_labels(
    data: bytes,
    max_pixels: int = 1 << 20,  # a map of more is refused: decoding takes some microseconds per pixel
) -> Tensor:  # (h, w) int64
    """The label map in `pack_labels`'s bytes.

    Raises: ValueError for bytes that are foreign, truncated, too long, corrupted, or of more than `max_pixels` pixels.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ValueError(
            f"expected a label map ({MAGIC!r} and a header), got {len(data)} bytes that start with {bytes(data[:4])!r}"
        )
    _, height, width, below_k = HEADER.unpack_from(data)
    if not 1 <= height * width <= max_pixels:
        raise ValueError(
            f"label map of {height}x{width} pixels: expected 1 to {max_pixels}; raise `max_pixels` if you trust it"
        )
    labels = decode_labels(data[HEADER.size :], (height, width), below_k + 1)
    return torch.from_numpy(labels.astype(np.int64))


def _neighbours(current: list[int], above: list[int], column: int) -> tuple[int, int, int, int]:
    """Left, above, above left, above right. Outside the map: what is nearest above, else to the left, else 0."""
    if not above:
        left = current[-1] if current else 0
        return left, left, left, left
    upper = above[column]
    left = current[-1] if current else upper
    return left, upper, above[column - 1] if column else upper, above[column + 1] if column + 1 < len(above) else upper


class _LabelCounts:
    """Adaptive counts of the labels seen after these four neighbours; a new four starts with the shares of its pair.

    A pair (left, above) starts with 1 for each label and NEIGHBOUR more for each of its own two; a four with
    CONFIDENCE * count / sum(counts) of its pair. Each cell adds STEP to its label in both; a label's count that then
    exceeds CEILING halves the counts of its context. All in float64, in this order.
    """

    def __init__(self, k: int):
        self.k, self.pairs, self.fours = k, {}, {}

    def weights(self, left: int, upper: int, corner: int, right: int) -> np.ndarray:
        self.pair = self.pairs.get((left, upper))
        if self.pair is None:
            self.pair = self.pairs[left, upper] = np.ones(self.k)
            self.pair[left] += NEIGHBOUR
            self.pair[upper] += NEIGHBOUR
        self.four = self.fours.get((left, upper, corner, right))
        if self.four is None:
            shares = self.pair / np.add.accumulate(self.pair)[-1]
            self.four = self.fours[left, upper, corner, right] = shares * CONFIDENCE
        return self.four

    def add(self, label: int) -> None:
        for counts in (self.pair, self.four):
            counts[label] += STEP
            if counts[label] > CEILING:
                counts *= 0.5


def _check_map(shape: tuple[int, ...], k: int) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"a label map must be (h, w) and not empty, got {tuple(shape)}")
    if isinstance(k, bool) or not 1 <= operator.index(k) <= MAX_LABELS:
        raise ValueError(f"`k` must be from 1 to {MAX_LABELS}, got {k!r}")
