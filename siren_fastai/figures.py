"""Drawing signals side by side and a fit on one page; every function returns the matplotlib figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["show_pictures", "fit_figure"]


def show_pictures(
    pictures: Mapping[str, Tensor],
    axes=None,
    height: float = 3.2,
    figsize: tuple[float, float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Draw named signals side by side: (h, w, c) as pictures, (length, c) as curves, a volume by its middle slice.

    Pictures go from black at the lower end of `value_range` to white at the upper, values outside are clamped, nan is
    left grey. Those called "error" get a colour scale of their own, in the values' unit. `axes`: one matplotlib axis
    per picture; None makes a figure of `figsize` (width, height) in inches, by default squares of `height`.
    """
    if axes is None:
        figsize = (height * len(pictures), height) if figsize is None else figsize
        axes = plt.subplots(1, len(pictures), figsize=figsize, squeeze=False)[1][0]
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        _draw(ax, torch.as_tensor(picture).detach().float().cpu(), title, *value_range)
    return axes[0].figure


def _draw(ax, picture: Tensor, title: str, low: float, high: float) -> None:
    ax.set_title(title)
    if picture.dim() == 2:
        ax.plot(picture.numpy(), linewidth=0.8)
        return
    picture = picture[len(picture) // 2] if picture.dim() == 4 else picture
    ax.set_facecolor("0.85")
    ax.set_xticks([]), ax.set_yticks([])
    if title == "error":
        error = picture.mean(-1)
        shown = ax.imshow(error.numpy(), cmap="magma", vmin=0, vmax=max(1e-6, float(error.nan_to_num().max())))
        ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.04)
    elif picture.shape[-1] == 3:
        seen = ~picture.isnan().any(-1, keepdim=True)  # unseen pixels are transparent
        shades = ((picture.nan_to_num() - low) / (high - low)).clamp(0, 1)
        ax.imshow(torch.cat([shades, seen.float()], -1).numpy())
    else:
        ax.imshow(picture[..., 0].clamp(low, high).numpy(), cmap="gray", vmin=low, vmax=high)


def fit_figure(target: Tensor, reconstruction: Tensor, psnrs: Sequence[float], seconds: Sequence[float]) -> Figure:
    """One page on a fit: target, reconstruction, absolute error (h, w, c) and PSNR (dB) over training seconds."""
    psnrs, seconds = list(psnrs), list(seconds)  # tables' columns too
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), width_ratios=(1, 1, 1.15, 1.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    error = (reconstruction.cpu().clamp(0, 1) - target.cpu()).abs()
    show_pictures({"target": target, "reconstruction": reconstruction, "error": error}, axes[:3])
    axes[3].plot(seconds, psnrs, color="tab:blue")
    axes[3].set(title=f"{psnrs[-1]:.1f} dB after {seconds[-1]:.1f} s of training", xlabel="seconds", ylabel="PSNR (dB)")
    axes[3].grid(alpha=0.3)
    return figure
