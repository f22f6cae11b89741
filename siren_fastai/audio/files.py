"""Wave files to float arrays (n, channels) and back, by `scipy.io.wavfile`."""

import operator
import os
import warnings
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from torch import Tensor

from siren_fastai.files import replacing
from siren_fastai.image_pairs import as_array

__all__ = ["as_floats", "checked_rate", "load_audio", "save_audio"]

# One unit in each type of sample, as soundfile scales them. SciPy reads 24 bits into the upper ones of 32.
UNITS = {"uint8": 1 << 7, "int16": 1 << 15, "int32": 1 << 31}
SAMPLE_TYPES = (*UNITS, "float32")


def load_audio(
    path: str | os.PathLike,  # a wave file of 8, 16, 24 or 32 bits, or of floats
) -> tuple[np.ndarray, int]:  # (n, channels) float32, and the sample rate in Hz
    """Read a wave file: integers are scaled to [-1, 1), floats stay as they are.

    Raises: FileNotFoundError; ValueError for a file that is damaged, holds no samples, or isn't a wave file.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Chunk \(non-data\)", wavfile.WavFileWarning)  # titles, dates
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            rate, samples = wavfile.read(path)
    except OSError:
        raise
    except Exception as error:  # scipy's reader raises errors of many kinds for damaged files
        raise ValueError(
            f"{path} can't be read as a wave file: {error}; convert other formats first, `ffmpeg -i song.mp3 song.wav`"
        ) from error
    if not samples.size or rate < 1:
        raise ValueError(f"{path} holds no sound: {len(samples)} samples at {rate} Hz")
    return as_floats(samples[:, None] if samples.ndim == 1 else samples), rate


def as_floats(
    samples: np.ndarray,  # floats, or of a wave file's integers: uint8, int16 or int32
) -> np.ndarray:  # float32
    """Samples as floats: integers are scaled to [-1, 1), where uint8 is silent at 128; floats stay.

    Raises: TypeError for another type, whose scale isn't known.
    """
    unit = UNITS.get(samples.dtype.name)
    if unit is None and samples.dtype.kind != "f":
        raise TypeError(f"samples must be floats in [-1, 1], uint8, int16 or int32, got {samples.dtype}")
    if unit is None:
        return samples.astype(np.float32)
    return ((samples.astype(np.float64) - (unit if samples.dtype == np.uint8 else 0)) / unit).astype(np.float32)


def save_audio(
    samples: Tensor | np.ndarray,  # (n,) or (n, channels) floats; clamped to [-1, 1] unless `kind` is "float32"
    path: str | os.PathLike,  # ends in ".wav"
    rate: int,  # samples per second
    kind: str = "int16",  # of the file's samples: "uint8", "int16", "int32" or "float32"
) -> Path:
    """Write a wave file and return its path; an interrupted write leaves an old file whole.

    Raises: TypeError unless the samples are floats; ValueError for other shapes, nan or infinity, a bad `rate` or
    `kind`, or another suffix.
    """
    path, values, rate = Path(path), as_array(samples), checked_rate(rate, whole=True)
    if path.suffix.lower() != ".wav":
        raise ValueError(f"`path` must end in .wav, got {str(path)!r}")
    if kind not in SAMPLE_TYPES:
        raise ValueError(f"`kind` must be one of {SAMPLE_TYPES}, got {kind!r}")
    if values.dtype.kind != "f":
        raise TypeError(f"`samples` must be floats in [-1, 1], got {values.dtype}")
    if values.ndim not in (1, 2) or 0 in values.shape or (values.ndim == 2 and values.shape[1] > len(values)):
        raise ValueError(f"`samples` must be (n,) or (n, channels), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("`samples` must be finite, got nan or infinity: did the training diverge?")
    with replacing(path) as temporary:
        wavfile.write(temporary, rate, _quantised(values, kind))
    return path


def checked_rate(
    rate: float,  # samples or frames per second
    whole: bool = False,  # whether only integers count, as in a wave file
) -> float:
    """`rate` as a number. Raises: ValueError unless it is above 0 and finite, and an integer if `whole`."""
    number = float(rate) if isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool) else 0.0
    if not 0 < number < float("inf") or (whole and number != int(number)):
        needed = "an integer of Hz" if whole else "samples or frames per second"
        raise ValueError(f"`rate` must be {needed} above 0, got {rate!r}")
    return operator.index(int(number)) if number == int(number) else number


def _quantised(values: np.ndarray, kind: str) -> np.ndarray:
    if kind == "float32":
        return values.astype(np.float32)
    unit = UNITS[kind]
    levels = np.clip(np.round(values.astype(np.float64) * unit), -unit, unit - 1)
    return (levels + (unit if kind == "uint8" else 0)).astype(kind)
