"""Drawing signals side by side and a fit on one page; functions that draw return the matplotlib figure."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["figure_pixels", "fit_figure", "mosaic", "show_pairs", "show_pictures"]


def show_pictures(
    pictures: Mapping[str, Tensor],  # titles and signals
    axes: Sequence[Axes] | None = None,  # a matplotlib axis for each; None makes a figure
    height: float = 3.2,  # of the figure in inches, in which each signal has a square
    figsize: tuple[float, float] | None = None,  # (width, height) of the figure in inches, instead of `height`
    value_range: tuple[float, float] = (0.0, 1.0),  # the values that are black and white
) -> Figure:
    """Draw named signals side by side: (h, w, c) as images, (length, c) as curves, others by slices.

    Of a volume or a video, up to four slices at equal distances are drawn; with more axes, those of the middle volume.
    Values outside `value_range` are clamped, nan is left grey. A signal called "error" has a colour scale of its own,
    in the values' unit.
    Raises: ValueError for another number of `axes` than of signals.
    """
    if axes is None:
        figsize = (height * len(pictures), height) if figsize is None else figsize
        axes = plt.subplots(1, len(pictures), figsize=figsize, squeeze=False)[1][0]
    if len(axes) != len(pictures):
        raise ValueError(f"`axes` must be one for each of the {len(pictures)} signals, got {len(axes)}")
    for ax, (title, signal) in zip(axes, pictures.items(), strict=True):
        _draw(ax, torch.as_tensor(signal).detach().float().cpu(), title, *value_range)
    return axes[0].figure


def show_pairs(
    pairs: Mapping[str, tuple[Tensor, Tensor]],  # titles, and two signals each
    labels: tuple[str, str],  # what the first and the second of each pair is
    ranges: Sequence[tuple[float, float]],  # of each pair, the values that are black and white
    columns: int = 5,  # pairs in a row, at most
    height: float = 2.2,  # of each signal in inches
    figsize: tuple[float, float] | None = None,  # (width, height) of the figure in inches, instead of `height`
) -> Figure:
    """Draw the first signal of each pair above its second, pair by pair in rows, as `show_pictures` draws signals.

    Raises: ValueError for no pair, or another number of `ranges` than of pairs.
    """
    if not pairs or len(ranges) != len(pairs):
        raise ValueError(f"`ranges` must be one for each pair, and at least one: got {len(ranges)} for {len(pairs)}")
    columns = min(columns, len(pairs))
    rows = 2 * -(-len(pairs) // columns)
    figsize = (height * columns, (height + 0.2) * rows) if figsize is None else figsize
    figure, axes = plt.subplots(rows, columns, figsize=figsize, squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_visible(False)
    for i, (title, pair) in enumerate(pairs.items()):
        for j, signal in enumerate(pair):
            ax = axes[2 * (i // columns) + j, i % columns]
            ax.set_visible(True)
            _draw(ax, torch.as_tensor(signal).detach().float().cpu(), "", *ranges[i])
            ax.set(title="" if j else title, ylabel="" if i % columns else labels[j])
    return figure


def mosaic(
    images: Tensor,  # (n, c, h, w)
    columns: int | None = None,  # images in a row; None makes it about square
    gap: int = 1,  # pixels between the images
) -> Tensor:  # (height, width, c) float32
    """The images in rows, as one image for `show_pictures`; nan in the gaps and where there is none.

    Raises: ValueError unless there are images (n, c, h, w).
    """
    if images.dim() != 4 or not len(images):
        raise ValueError(f"`images` must be (n, c, h, w) and not empty, got {tuple(images.shape)}")
    n, c, h, w = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else columns
    rows = -(-n // columns)
    sheet = torch.full((rows * columns, c, h + gap, w + gap), math.nan)
    sheet[:n, :, :h, :w] = images.detach().float().cpu()
    sheet = sheet.view(rows, columns, c, h + gap, w + gap).permute(0, 3, 1, 4, 2)
    return sheet.reshape(rows * (h + gap), columns * (w + gap), c)[: -gap or None, : -gap or None]


def figure_pixels(
    figure: Figure,  # closed afterwards, so that a notebook doesn't show it
) -> np.ndarray:
    """Return the drawing as an RGB image (height, width, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return pixels


def _draw(ax, signal: Tensor, title: str, low: float, high: float) -> None:
    ax.set_title(title)
    if signal.dim() == 2:
        ax.plot(signal.numpy(), linewidth=0.8)
        return
    while signal.dim() > 4:
        signal = signal[len(signal) // 2]
    signal = _slices(signal) if signal.dim() == 4 else signal
    ax.set_facecolor("0.85")
    ax.set_xticks([]), ax.set_yticks([])
    if title == "error":
        error = signal.mean(-1)
        shown = ax.imshow(error.numpy(), cmap="magma", vmin=0, vmax=max(1e-6, float(error.nan_to_num().max())))
        ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.04)
    elif signal.shape[-1] == 3:
        seen = ~signal.isnan().any(-1, keepdim=True)  # unseen pixels are transparent
        shades = ((signal.nan_to_num() - low) / (high - low)).clamp(0, 1)
        ax.imshow(torch.cat([shades, seen.float()], -1).numpy())
    else:
        ax.imshow(signal[..., 0].clamp(low, high).numpy(), cmap="gray", vmin=low, vmax=high)


def _slices(volume: Tensor, most: int = 4) -> Tensor:
    """Up to `most` slices of (n, h, w, c) at equal distances, the middle one of each part, as one image."""
    count = min(most, len(volume))
    index = [(2 * i + 1) * len(volume) // (2 * count) for i in range(count)]
    return mosaic(volume[index].permute(0, 3, 1, 2))


def fit_figure(
    target: Tensor,  # (h, w, c) in [0, 1]
    reconstruction: Tensor,  # (h, w, c)
    psnrs: Sequence[float],  # in dB, also a table's column
    seconds: Sequence[float],  # of training, one for each PSNR
) -> Figure:
    """Draw one page about a fit: target, reconstruction, absolute error, and the PSNR over the training time."""
    psnrs, seconds = list(psnrs), list(seconds)
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), width_ratios=(1, 1, 1.15, 1.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    error = (reconstruction.cpu().clamp(0, 1) - target.cpu()).abs()
    show_pictures({"target": target, "reconstruction": reconstruction, "error": error}, axes[:3])
    axes[3].plot(seconds, psnrs, color="tab:blue")
    axes[3].set(title=f"{psnrs[-1]:.1f} dB after {seconds[-1]:.1f} s of training", xlabel="seconds", ylabel="PSNR (dB)")
    axes[3].grid(alpha=0.3)
    return figure
