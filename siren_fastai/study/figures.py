"""Figures of a study: curves over steps or seconds, and points or bars, with ranges over the seeds.

`drawing.specs` says how one is described. They are matplotlib `Figure` objects: no window, no global state; keep one
with `figure.savefig`.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from siren_fastai.study.drawing.panels import (
    colors_of,
    draw_curves,
    draw_ranges,
    group_text,
    label,
    lines_of,
    wants_log,
)
from siren_fastai.study.drawing.specs import FigureSpec, read_figure
from siren_fastai.study.experiment import Plain
from siren_fastai.study.judging.retuning import best_values, take_best
from siren_fastai.study.table import better_of, cell, check_columns, column, in_order, where

__all__ = ["draw", "study_figures"]

WIDTH, CURVES_HEIGHT, LINE_HEIGHT = 4.6, 3.4, 0.17  # inches: of a panel, of curves, of a line of points
LEGEND_LINES = 14  # of a column


def study_figures(
    specs: Sequence[FigureSpec | Mapping[str, Plain]],  # of a study's file
    table: pd.DataFrame,  # as `read_results` returns it
    histories: pd.DataFrame | None = None,  # as `read_histories` returns them; None leaves the curves out
) -> list[Figure]:
    """Return a figure for each description. Raises: ValueError as `draw`."""
    specs = [read_figure(spec) for spec in specs]
    return [
        draw(spec, histories if spec.kind == "curves" else table)
        for spec in specs
        if spec.kind != "curves" or histories is not None
    ]


def draw(
    spec: FigureSpec | Mapping[str, Plain],
    table: pd.DataFrame,  # the results; for curves the histories
) -> Figure:
    """Return one figure: medians over all rows that its description doesn't tell apart, with their ranges.

    Raises: ValueError for a description that `read_figure` rejects, columns that the table lacks, or no rows.
    """
    spec = read_figure(spec)
    named = [spec.y, spec.x, spec.group, spec.panel, spec.retuned]
    check_columns(table, [name for name in named if name is not None])
    rows = _tuned(spec, _chosen(table, spec.where))
    if rows.empty:
        raise ValueError(f"no rows to draw {spec.y} of; are the experiments finished?")
    panels = in_order(column(rows, spec.panel)) if spec.panel else [None]
    parts = [where(rows, {spec.panel: value}) if spec.panel else rows for value in panels]
    figure, curves, colors = _page(spec, rows, len(panels)), spec.kind == "curves", colors_of(spec, rows)
    grid, lines = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], [] if curves else lines_of(spec, rows)
    for axes, part, value in zip(grid, parts, panels, strict=True):
        draw_curves(axes, spec, part, colors) if curves else draw_ranges(axes, spec, part, lines, colors)
        if spec.panel:
            axes.set_title(f"{label(spec.panel)} {value}", fontsize=10)
    grid[0].set_ylabel(label(spec.y if curves else spec.x or spec.group))
    if spec.group and (curves or spec.x):
        _add_legend(figure, label(spec.group), list(map(group_text, colors)))
    if wants_log(spec, rows):
        for axes in figure.axes:
            (axes.set_yscale if curves else axes.set_xscale)("log")
            _label_sparsely(axes.yaxis if curves else axes.xaxis)
    if spec.title:
        figure.suptitle(spec.title, fontsize=11)
    return figure


def _label_sparsely(axis: Axis) -> None:
    """Labels at the powers of ten, within two of them also at 2 and 5 times: on a small panel more would overlap."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _chosen(table: pd.DataFrame, match: Mapping[str, Plain]) -> pd.DataFrame:
    """The rows with one of the values asked for in each column; a list may be the value itself."""
    for name, value in match.items():
        values = {cell(value), *map(cell, value if isinstance(value, list) else ())}
        table = table[[found in values for found in column(table, name)]]
    return table


def _tuned(spec: FigureSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the best value of the retuned axis in each group; of curves, by their last points."""
    if spec.retuned is None or rows.empty:
        return rows
    groups = [name for name in (spec.x if spec.kind != "curves" else None, spec.group, spec.panel) if name]
    last = rows.groupby("slug", sort=False).tail(1) if spec.kind == "curves" else rows
    best = best_values(last, spec.retuned, spec.y, better_of(spec.y), groups)
    return take_best(rows, spec.retuned, best, groups)


def _page(spec: FigureSpec, rows: pd.DataFrame, panels: int) -> Figure:
    if spec.kind == "curves":
        return Figure(figsize=(WIDTH * panels, CURVES_HEIGHT), layout="constrained")
    lines = len(set(column(rows, spec.x or spec.group)))
    colors = len(set(column(rows, spec.group))) if spec.group and spec.x else 1
    return Figure(figsize=(WIDTH * panels, 1.3 + LINE_HEIGHT * lines * max(1.0, 0.7 * colors)), layout="constrained")


def _add_legend(figure: Figure, title: str, order: Sequence[str]) -> None:
    """One legend for all panels, to their right."""
    named = {
        text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    named = {text: named[text] for text in order if text in named}
    columns = 1 + (len(named) - 1) // LEGEND_LINES
    figure.legend(named.values(), named, title=title, loc="outside right", fontsize=8, title_fontsize=8, ncols=columns)
