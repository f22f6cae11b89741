"""Sounds and videos as arrays: a wave file or samples with their rate, a folder of frames."""

import math
import os
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siren_fastai.audio.files import as_floats, checked_rate, load_audio
from siren_fastai.datasets.folder import image_files, read_images
from siren_fastai.image_pairs import as_array

__all__ = ["is_scaled", "read_frames", "read_sound"]

CHANNELS = {None: None, "gray": 1, "rgb": 3}


def read_sound(
    source,  # the path of a wave file, or samples (n,) or (n, channels)
    rate: float | None = None,  # samples per second of an array
    start: float = 0.0,  # seconds to leave out at the beginning
    seconds: float | None = None,  # length, at most; None is all the rest
) -> tuple[np.ndarray, float]:  # (n, channels), and samples per second
    """Read a sound, or a part of it. Integers of an array are scaled as those of a file.

    Raises: TypeError for another source or type of samples; ValueError for a `rate` that is missing for an array or
    given for a file, an array of another shape, a part without samples, and as `load_audio`.
    """
    if isinstance(source, (str, os.PathLike)):
        if rate is not None:
            raise ValueError(f"`rate`: the file states its own; leave it out, got {rate!r}")
        values, rate = load_audio(source)
    elif isinstance(source, (np.ndarray, Tensor)):
        if rate is None:
            raise ValueError("`rate` must be the samples per second of an array, as rate=16000")
        values, rate = as_array(source), checked_rate(rate)
        if values.ndim not in (1, 2):
            raise ValueError(f"samples must be (n,) or (n, channels), got {values.shape}")
        values = as_floats(values)
    else:
        raise TypeError(f"`source` must be the path of a wave file or an array, got {type(source).__name__}")
    values = values[:, None] if values.ndim == 1 else values
    first, length = _seconds("start", start), math.inf if seconds is None else _seconds("seconds", seconds)
    stop = len(values) if length == math.inf else round((first + length) * rate)
    part = values[round(first * rate) : stop]
    if not len(part):
        raise ValueError(f"no samples from {first:g} s on: the sound has {len(values) / rate:g} s")
    return part, rate


def read_frames(
    source,  # a folder or a list of images, or an array (frames, h, w) or (frames, h, w, c)
    size: int | tuple[int, int] | None = None,  # (height, width) of every frame, or one number for a square
    mode: str | None = None,  # "gray" or "rgb"; None as the frames are
) -> Tensor | np.ndarray:  # (frames, h, w, c)
    """Read the frames of a video or the slices of a volume, all of one size. Arrays stay as they are.

    In a folder, numbers in names count as numbers: `frame10.png` comes after `frame9.png`. Frames of another size fill
    `size`, and what is left over at the sides is cut off.
    Raises: ValueError for arrays with a `size` or `mode`, or of another shape, for frames of several sizes without a
    `size`, and for a bad `mode`; FileNotFoundError for a folder that is missing or has no images.
    """
    if mode not in CHANNELS:
        raise ValueError(f"`mode` must be 'gray', 'rgb' or None, got {mode!r}")
    if isinstance(source, (np.ndarray, Tensor)):
        if size is not None or mode is not None:
            raise ValueError("`size` and `mode` are for images that are read: bring the array itself to another size")
        if source.ndim not in (3, 4):
            raise ValueError(f"frames must be (frames, h, w) or (frames, h, w, c), got {tuple(source.shape)}")
        return source if source.ndim == 4 else source[..., None]
    if isinstance(source, (str, os.PathLike)):
        source = sorted(image_files(source), key=_by_number)
    return read_images(source, size, CHANNELS[mode]).permute(0, 2, 3, 1)


def is_scaled(
    values: Tensor | np.ndarray,
) -> bool:
    """Whether the type of `values` is one that `as_signal` scales, so that their range is known."""
    return not torch.as_tensor(values[:0]).dtype.is_floating_point


def _by_number(path: Path) -> tuple:
    """A key for sorting: the digits of a path as numbers."""
    parts = re.split(r"(\d+)", path.as_posix())
    return tuple((int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts))


def _seconds(name: str, value: float) -> float:
    if not (isinstance(value, (int, float)) and 0 <= value < math.inf):
        raise ValueError(f"`{name}` must be seconds, 0 or more, got {value!r}")
    return float(value)
