"""Figures of a finished fit, as matplotlib `Figure` objects: no window, no global state; keep with `figure.savefig`.

Source: the report of 2020 in franec94/My-Siren-Deep-Learning-Test.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siren_fastai.analysis.benford import BenfordComparison
from siren_fastai.analysis.history import METRICS, extremes

__all__ = ["benford_figure", "history_figure"]

_COLORS = ("tab:orange", "tab:green", "tab:red")
_LABELS = ("MSE", "PSNR (dB)", "SSIM")
_UP, _DOWN = (0, 9), (0, -9)  # offsets of a label from its point, in printer's points


def history_figure(
    history: pd.DataFrame,  # as `read_history` returns it
    title: str | None = None,  # above the panels
) -> Figure:
    """Draw three panels, loss (logarithmic), PSNR and SSIM over the epochs, with maximum, middle and minimum named."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    for axes, column, label, color in zip(figure.subplots(1, 3), METRICS, _LABELS, _COLORS, strict=True):
        points = extremes(history, column)
        axes.plot(history["Epoch"], history[column].replace([np.inf, -np.inf], np.nan), color=color)
        axes.set(title=label, xlabel="epoch")
        axes.grid(alpha=0.3)
        if column == METRICS[0] and points and points["min"][1] > 0:
            axes.set_yscale("log")
        axes.margins(y=0.16)
        _annotate(axes, points, int(history["Epoch"].iloc[-1]))
    if title:
        figure.suptitle(title.encode("utf-8", "backslashreplace").decode())  # a file's name may not be text
    return figure


def _annotate(axes: Axes, points: dict[str, tuple[int, float]], last: int) -> None:
    """Name the points; labels of one place (a single epoch, a flat curve) share one text."""
    names: dict[tuple[int, float], list[str]] = {}
    for name, point in points.items():
        names.setdefault(point, []).append(name)
    for point, labels in names.items():
        above = "min" not in labels
        axes.plot(*point, "o", color="black", markersize=4)
        axes.annotate(
            f"{', '.join(labels)} {point[1]:.4g}",
            point,
            xytext=_UP if above else _DOWN,
            textcoords="offset points",
            ha=_side(point[0], points, last),
            va="bottom" if above else "top",
            fontsize=9,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )


def _side(epoch: int, points: dict[str, tuple[int, float]], last: int) -> str:
    """The alignment that keeps a label inside the panel and off a curve that rises or falls throughout."""
    if last == 0:
        return "center"
    if not 0.2 < epoch / last < 0.8:
        return "left" if epoch / last < 0.5 else "right"
    return "left" if points["max"][0] < points["min"][0] else "right"


def benford_figure(
    comparison: BenfordComparison,  # made by `compare`
    title: str | None = None,  # None: how many zeros were left out
) -> Figure:
    """Draw bars of the leading digits of ground truth and prediction, in percent, with Benford's law as a curve."""
    table = comparison.table()
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    digits, width = table["digit"].to_numpy(), 0.4
    for side, (column, color) in zip(
        (-0.5, 0.5), (("ground truth", "tab:blue"), ("predicted", "tab:orange")), strict=True
    ):
        axes.bar(digits + side * width, 100 * table[column], width, label=column, color=color)
    axes.plot(digits, 100 * table["Benford"], "o-", color="black", markersize=4, label="Benford's law")
    zeros = comparison.ground_truth.zeros, comparison.prediction.zeros
    axes.set(xlabel="leading digit", ylabel="share of non-zero values (%)", xticks=digits)
    axes.set_title(title or f"Leading digits (zeros left out: {zeros[0]} in the ground truth, {zeros[1]} predicted)")
    axes.legend()
    axes.grid(axis="y", alpha=0.3)
    return figure
