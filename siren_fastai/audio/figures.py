"""Sounds drawn as waves and spectrograms."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import spectrogram as scipy_spectrogram
from torch import Tensor

from siren_fastai.image_pairs import as_array

__all__ = ["show_sounds", "spectrogram"]

WINDOW = 512  # samples of one spectrum, at most: 32 ms at 16 kHz
FLOOR = 90  # dB below the loudest part of the first sound, where the colours end


def spectrogram(
    samples: Tensor | np.ndarray,  # (n, channels) or (n,); nan counts as silence
    rate: float,  # samples per second
    window: int = WINDOW,  # samples of one spectrum, at most; spectra overlap by half
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # frequencies (f,) in Hz, times (t,) in seconds, powers (f, t)
    """The power of each frequency over time, of the mean of the channels, by Hann windows.

    A sine of amplitude a that is at the centre of a frequency band has the power a^2 / 2 there.
    Raises: ValueError for anything but samples (n, channels) or (n,).
    """
    values = np.nan_to_num(as_array(samples).astype(np.float64))
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(f"`samples` must be (n, channels) or (n,), got {values.shape}")
    values = values.mean(1) if values.ndim == 2 else values
    window = min(window, len(values))
    options = dict(nperseg=window, noverlap=window // 2, detrend=False, scaling="spectrum")
    return scipy_spectrogram(values, rate, "hann", **options)


def show_sounds(
    sounds: Mapping[str, Tensor],  # titles and samples (n, channels)
    rate: float,  # samples per second
    height: float = 4.8,  # of the figure in inches
    figsize: tuple[float, float] | None = None,  # (width, height) of the figure in inches, instead of `height`
    value_range: tuple[float, float] = (-1.0, 1.0),  # of the waves
) -> Figure:
    """Draw each sound's wave above its spectrogram, all in the colours of the first one, in dB below its loudest part.

    The wave of a sound called "error" has a scale of its own.
    """
    figsize = (4.2 * len(sounds), height) if figsize is None else figsize
    figure, axes = plt.subplots(2, len(sounds), figsize=figsize, squeeze=False, layout="constrained")
    loudest = None
    for (wave, spectrum), (title, sound) in zip(axes.T, sounds.items(), strict=True):
        samples = as_array(sound)
        wave.plot(np.arange(len(samples)) / rate, samples, linewidth=0.4)
        wave.set(title=title, xlim=(0, len(samples) / rate))
        if title != "error":
            wave.set_ylim(*value_range)
        frequencies, times, powers = spectrogram(samples, rate)
        loudest = max(float(powers.max()), 1e-12) if loudest is None else loudest
        levels = 10 * np.log10(np.maximum(powers / loudest, 10 ** (-FLOOR / 10)))
        edges = (0, len(samples) / rate, 0, rate / 2000)
        shown = spectrum.imshow(levels, origin="lower", aspect="auto", extent=edges, vmin=-FLOOR, vmax=0, cmap="magma")
        spectrum.set(xlabel="seconds", ylabel="kHz")
    figure.colorbar(shown, ax=axes[1].tolist(), label="dB")
    return figure
