"""Drawing one panel of a study's figure: median curves with a band, or a line of points for each value."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes

from siren_fastai.study.table import better_of, column, in_order, median, numbers_of, so_far, spread, where

__all__ = ["colors_of", "draw_curves", "draw_ranges", "group_text", "label", "lines_of", "wants_log"]

LABELS = {"psnr": "PSNR (dB)", "best_psnr": "best PSNR (dB)", "ssim": "SSIM", "mse": "MSE", "lr": "learning rate"}
LABELS |= {"omega_0": "omega_0", "hidden_omega_0": "hidden omega_0"}
LABELS |= {"seconds": "processor seconds", "train_seconds": "processor seconds of training", "flops": "operations"}
LOG_RATIO = 30  # positive measures that span more than this get a logarithmic axis
POINTS = 200  # of a curve whose runs were measured at different places
MANY = 8  # lines of points; more are sorted by their median
GRAY = "0.45"
LABELS |= {"l1": "L1", "train_l1": "L1 of training images", "train_mse": "MSE of training images"}
LABELS |= {"std_part": "distance of the codes' deviation from 0.5", "mode_gap": "L1, difference to train mode (share)"}
Run = tuple[np.ndarray, np.ndarray]  # the places and the values of one curve
ALL = object()  # the one group of a figure without groups; None is a value


def label(name: str) -> str:
    """Return the words for a column: "PSNR (dB)" for "psnr", else its name with blanks."""
    words = name.replace("_", " ")
    return LABELS.get(name, words.replace("psnr", "PSNR") + " (dB)" if "psnr" in words else words)


def wants_log(spec, rows: pd.DataFrame) -> bool:
    """Whether the measure is positive and spans so much that its axis should be logarithmic."""
    values = [value for value in numbers_of(rows, spec.y, better_of(spec.y)) if math.isfinite(value)]
    return bool(values) and spec.kind != "bars" and min(values) > 0 and max(values) > LOG_RATIO * min(values)


def colors_of(
    spec,  # a FigureSpec
    rows: pd.DataFrame,  # of all panels, so that a group has one colour in all of them
) -> dict:
    """Return a colour for each group: ten different ones, or shades for more. Without groups, one for all rows."""
    values = in_order(column(rows, spec.group)) if spec.group and (spec.x or spec.kind == "curves") else [ALL]
    if len(values) <= 10:
        return {value: colormaps["tab10"](i) for i, value in enumerate(values)}
    return {value: colormaps["viridis"](i / (len(values) - 1)) for i, value in enumerate(values)}


def draw_curves(
    axes: Axes,
    spec,  # a FigureSpec
    rows: pd.DataFrame,  # histories
    colors: dict,  # of the groups, see `colors_of`
) -> None:
    """Draw the median of each group's runs as a line, and from minimum to maximum a band.

    A line ends where a run has no number any more. If one run ends before another begins, each is a line of its own.
    """
    for group, color in colors.items():
        part = rows if group is ALL else where(rows, {spec.group: group})
        if part.empty:
            continue
        parts, x, y = part.groupby("slug", sort=False), so_far(rows, spec.x), so_far(rows, spec.y)
        runs = [(run[x].to_numpy(float), run[y].to_numpy(float)) for _, run in parts]
        _draw_group(axes, runs, color, None if group is ALL else group_text(group))
    axes.set_xlabel(label(spec.x))
    axes.grid(alpha=0.3)


def _draw_group(axes: Axes, runs: Sequence[Run], color, text: str | None) -> None:
    grid = _on_one_grid(runs)
    if grid is None:
        for number, run in enumerate(runs):
            axes.plot(*run, color=color, alpha=0.6, linewidth=0.8, label=None if number else text)
        return
    x, values = grid
    axes.plot(x, np.median(values, axis=0), color=color, label=text)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0)


def _on_one_grid(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray] | None:
    """The runs (runs, points) at the same places: their own if they agree, else interpolated where all have values.

    None if there is no such place.
    """
    first = runs[0][0]
    if all(len(places) == len(first) and np.array_equal(places, first) for places, _ in runs):
        return first, np.stack([values for _, values in runs])
    start, end = max(places[0] for places, _ in runs), min(places[-1] for places, _ in runs)
    if start >= end:
        return None
    grid = np.linspace(start, end, POINTS)
    return grid, np.stack([np.interp(grid, *run) for run in runs])


def draw_ranges(
    axes: Axes,
    spec,  # a FigureSpec
    rows: pd.DataFrame,  # results
    lines: Sequence,  # the values that have a line each, from top to bottom
    colors: dict,  # of the groups, see `colors_of`
) -> None:
    """Draw a line for each value: the median as a point or bar, the range over its rows as a thin line.

    A median that was not reached, or is infinite, is a text; a range with such an end has an arrow.
    """
    names, height = (spec.x or spec.group), 0.7 / len(colors)
    for count, (group, color) in enumerate(colors.items()):
        offset = (count - (len(colors) - 1) / 2) * height
        for place, name in enumerate(lines):
            part = where(rows, {names: name} if group is ALL else {names: name, spec.group: group})
            better = better_of(spec.y)
            numbers = spread(numbers_of(part, spec.y, better), better)
            _draw_range(axes, place + offset, numbers, spec.kind, color, height)
        if group is not ALL:
            axes.plot([], [], "o", color=color, label=group_text(group))
    axes.set_yticks(range(len(lines)), [group_text(name) for name in lines], fontsize=8)
    axes.set(xlabel=label(spec.y), ylim=(len(lines) - 0.4, -0.6))
    axes.locator_params(axis="x", nbins=5)  # numbers of six digits have room
    axes.grid(axis="x", alpha=0.3)


def group_text(
    value,  # of a group
) -> str:
    """Return what a legend calls a group."""
    return "none" if value is None else str(value)


def lines_of(
    spec,  # a FigureSpec
    rows: pd.DataFrame,  # results of all panels
) -> list:
    """Return the values that have a line each, in order; more than 8 from the best median to the worst."""
    name, better = (spec.x or spec.group), better_of(spec.y)
    values, sign = in_order(column(rows, name)), -1 if better == "higher" else 1
    if len(values) <= MANY:
        return values
    medians = {value: median(numbers_of(where(rows, {name: value}), spec.y, better), better) for value in values}
    return sorted(values, key=lambda value: sign * medians[value])


def _draw_range(axes: Axes, place: float, numbers: dict, kind: str, color, height: float) -> None:
    median, low, high = numbers["median"], numbers["min"], numbers["max"]
    if median is None or math.isinf(median):
        if numbers["count"]:
            _write(axes, place, numbers)
        return
    if kind == "bars":
        axes.barh(place, median, height=0.8 * height, color=color, alpha=0.7)
    else:
        axes.plot(median, place, "o", color=color, markersize=4)
    is_open = [end is None or math.isinf(end) for end in (low, high)]
    ends = [median if lacking else end for lacking, end in zip(is_open, (low, high), strict=True)]
    axes.plot(ends, [place, place], "-", color=color if kind != "bars" else "black", linewidth=1)
    for marker in (mark for mark, lacking in zip("<>", is_open, strict=True) if lacking):
        axes.plot(median, place, marker, color=color, markersize=6)


def _write(axes: Axes, place: float, numbers: dict) -> None:
    """Say in how many rows the measure was not reached, or that the median is infinite: on its side of the panel."""
    median = numbers["median"]
    text = f"not reached in {numbers['count'] - numbers['reached']} of {numbers['count']}"
    side, x = ("right", 0.99) if median is not None and median > 0 else ("left", 0.01)
    text = text if median is None else f"median {'' if median > 0 else '-'}\N{INFINITY}"
    style = dict(xycoords=("axes fraction", "data"), fontsize=6, color=GRAY, va="center", ha=side)
    axes.annotate(text, (x, place), **style)
