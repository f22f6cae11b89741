"""Figures of studies: what is drawn equals the table's medians and ranges, and bad descriptions are named."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from siren_fastai.study.drawing.panels import label
from siren_fastai.study.drawing.specs import read_figure
from siren_fastai.study.figures import draw, study_figures

POINTS = {"kind": "points", "y": "psnr", "group": "scheme"}
CURVES = {"kind": "curves", "x": "steps", "y": "psnr", "group": "mult"}


def histories(values: dict, x=(10, 20)) -> pd.DataFrame:
    """Runs `{(mult, seed, lr): psnr at each step}`."""
    rows = [
        {"slug": f"{key}", "mult": key[0], "seed": key[1], "lr": key[2], "steps": place, "psnr": one}
        for key, psnrs in values.items()
        for place, one in zip(x, psnrs, strict=True)
    ]
    return pd.DataFrame(rows)


def results(values: dict, **more) -> pd.DataFrame:
    """Rows `{scheme: psnr of each seed}`."""
    rows = [{"scheme": s, "seed": i, "psnr": v, **more} for s, many in values.items() for i, v in enumerate(many)]
    return pd.DataFrame(rows).astype({"scheme": object})


def lines(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def medians(axes) -> list[float]:
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]


def test_a_group_has_one_colour_in_all_panels_though_some_lack_it():
    rows = pd.concat(
        [histories({(2, 0, 0.1): [1, 2], (4, 0, 0.1): [3, 4]}).assign(image="a"), histories({(1, 0, 0.1): [5, 6]})]
        + [histories({(2, 0, 0.1): [7, 8]})]
    ).fillna({"image": "b"})
    rows["slug"] += rows["image"]
    figure = draw({**CURVES, "panel": "image"}, rows)
    (legend,) = figure.legends
    named = {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.get_lines(), strict=True)}
    assert list(named) == ["1", "2", "4"] and len(set(named.values())) == 3
    drawn = [[line.get_color() for line in axes.lines] for axes in figure.axes]
    assert drawn == [[named["2"], named["4"]], [named["1"], named["2"]]]


def test_a_curve_is_the_median_of_its_runs_with_a_band_from_minimum_to_maximum():
    figure = draw(CURVES, histories({(1, 0, 0.1): [20, 30], (1, 1, 0.1): [21, 33], (1, 2, 0.1): [25, 31]}))
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[10, 21], [20, 31]]
    band = axes.collections[0].get_paths()[0].vertices
    assert {(10, 20), (10, 25), (20, 30), (20, 33)} <= {tuple(point) for point in band}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "PSNR (dB)")


def test_runs_measured_at_different_places_are_interpolated_where_all_have_values():
    early, late = histories({(1, 0, 0.1): [0, 10]}, (0, 10)), histories({(1, 1, 0.1): [4, 14]}, (4, 14))
    figure = draw(CURVES, pd.concat([early, late]))  # both are y = x
    x, y = figure.axes[0].lines[0].get_data()
    assert (x[0], x[-1]) == (4, 10) and np.allclose(y, x)


def test_a_curve_runs_over_what_its_history_counts_although_the_study_varies_it():
    table = histories({(1, 0, 0.1): [20, 30], (2, 0, 0.1): [21, 33]})
    table = table.assign(epochs=100).assign(**{"epochs so far": table["steps"] / 10})
    (axes,) = draw({**CURVES, "x": "epochs"}, table).axes
    assert axes.lines[0].get_xdata().tolist() == [1, 2] and axes.get_xlabel() == "epochs"


@pytest.mark.parametrize("ends", [(88_000, 158_000), (8e-6, 9e-3), (7e-5, 3e-3)])
def test_the_numbers_on_an_axis_do_not_overlap(ends):
    costs = results({"a": ends, "b": ends}, image="cat").rename(columns={"psnr": "cost"})
    figure = draw({**POINTS, "y": "cost", "panel": "image"}, pd.concat([costs, costs.assign(image="dog")]))
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = sorted(axes.get_xlim())
        shown = [one for one in axes.get_xticklabels() if one.get_text() and low <= one.get_position()[0] <= high]
        boxes = [one.get_window_extent() for one in shown]
        assert len(boxes) > 1 and all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))


def test_measures_in_decibels_say_so():
    names = {"psnr_held_out": "PSNR held out (dB)", "psnr": "PSNR (dB)", "low_error": "low error"}
    assert {name: label(name) for name in names} == names


def test_runs_that_do_not_overlap_are_lines_of_their_own():
    early, late = histories({(1, 0, 0.1): [0, 10]}, (0, 10)), histories({(1, 1, 0.1): [14, 20]}, (14, 20))
    figure = draw(CURVES, pd.concat([late, early]))
    assert [line.get_xydata().tolist() for line in figure.axes[0].lines] == [[[14, 14], [20, 20]], [[0, 0], [10, 10]]]
    assert not figure.axes[0].collections and [text.get_text() for text in figure.legends[0].get_texts()] == ["1"]


def test_a_curve_ends_where_a_run_diverged():
    figure = draw(CURVES, histories({(1, 0, 0.1): [20, 30], (1, 1, 0.1): [21, math.nan]}))
    assert figure.axes[0].lines[0].get_ydata()[0] == 20.5 and math.isnan(figure.axes[0].lines[0].get_ydata()[1])


def test_each_group_draws_the_learning_rate_with_the_best_last_median():
    runs = {(1, 0, 0.1): [29, 30], (1, 0, 0.2): [39, 20], (2, 0, 0.1): [19, 20], (2, 0, 0.2): [24, 25]}
    figure = draw(CURVES | {"retuned": "lr"}, histories(runs))
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[29, 30], [24, 25]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "2"]


def test_none_is_a_group_of_its_own():
    table = pd.concat([results({1: [30] * 3}, freeze=None), results({1: [20] * 3}, freeze="[0]")])
    figure = draw({"kind": "points", "x": "scheme", "y": "psnr", "group": "freeze"}, table)
    assert medians(figure.axes[0]) == [20, 30]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["[0]", "none"]
    runs = histories({(1, 0, 0.1): [20, 30], (None, 0, 0.1): [10, 15]})
    assert [line.get_ydata().tolist() for line in draw(CURVES, runs).axes[0].lines] == [[20, 30], [10, 15]]


def test_points_are_medians_and_ranges_in_the_order_of_the_values_if_they_are_few():
    figure = draw(POINTS, results({2: [30, 31, 35], 1: [33, 33, 33], "siren": [20, 21, 22]}))
    (axes,) = figure.axes
    assert lines(figure) == ["1", "2", "siren"] and medians(axes) == [33, 31, 21]
    ranges = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    assert [list(ends) for ends in ranges] == [[33, 33], [30, 35], [20, 22]]


@pytest.mark.parametrize(("measure", "expected"), [("psnr", list("9876543210")), ("steps_to_30", list("0123456789"))])
def test_many_points_are_sorted_from_best_to_worst(measure, expected):
    table = results({i: [i, i + 0.1, i + 0.2] for i in range(10)}).rename(columns={"psnr": measure})
    assert lines(draw(POINTS | {"y": measure}, table)) == expected


def test_forty_four_schemes_have_room_and_panels_share_their_order():
    table = pd.concat([results({i: [i, i, i] for i in range(44)}, image="a"), results({1: [99, 99, 99]}, image="b")])
    figure = draw(POINTS | {"panel": "image"}, table)
    assert len(lines(figure)) == 44 and figure.get_figheight() > 44 * 0.16
    assert [axes.get_title() for axes in figure.axes] == ["image a", "image b"] and len(medians(figure.axes[1])) == 1


def test_what_was_not_reached_is_said_and_a_range_that_it_ends_has_an_arrow():
    table = results({1: [100, 200, None], 2: [None, None, 300]}).rename(columns={"psnr": "steps_to_30"})
    (axes,) = draw(POINTS | {"y": "steps_to_30"}, table).axes
    assert [text.get_text() for text in axes.texts] == ["not reached in 2 of 3"]
    assert medians(axes) == [200] and [line.get_marker() for line in axes.lines].count(">") == 1


def test_an_infinite_median_is_a_text_and_a_range_to_infinity_has_an_arrow():
    table = results({1: [50, 51, math.inf], 2: [math.inf, math.inf, 60], 3: [math.inf, None, 40]})
    for kind in ("points", "bars"):
        figure = draw(POINTS | {"kind": kind}, table)
        figure.draw_without_rendering()  # a warning would be an error
        (axes,) = figure.axes
        assert [text.get_text() for text in axes.texts] == ["median ∞"] and max(axes.get_xlim()) < 60
        assert sorted(line.get_marker() for line in axes.lines if line.get_marker() in "<>") == ["<", ">", ">"]


def test_a_curve_that_becomes_infinite_ends_there():
    runs = {(1, 0, 0.1): [20, math.inf], (1, 1, 0.1): [21, math.inf]}
    other = histories({(2, 0, 0.1): [0, 5, math.inf]}, (0, 5, 10))
    figure = draw(CURVES, pd.concat([histories(runs), other, histories({(2, 1, 0.1): [4, 14]}, (4, 14))]))
    figure.draw_without_rendering()
    assert figure.axes[0].lines[0].get_ydata().tolist() == [20.5, math.inf]
    assert np.allclose(figure.axes[0].lines[1].get_ydata()[0], 4)


def test_bars_start_at_zero_and_groups_have_colours():
    table = pd.concat([results({1: [30, 31, 32]}, image="a"), results({1: [20, 21, 22]}, image="b")])
    figure = draw({"kind": "bars", "x": "scheme", "y": "psnr", "group": "image"}, table)
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [31, 21] and all(bar.get_x() == 0 for bar in bars)
    assert bars[0].get_facecolor() != bars[1].get_facecolor() and bars[0].get_y() < bars[1].get_y()


def test_a_measure_over_several_decades_has_a_logarithmic_axis():
    table = results({1: [1e-5] * 3, 2: [1e-2] * 3}).rename(columns={"psnr": "mse"})
    assert draw(POINTS | {"y": "mse"}, table).axes[0].get_xscale() == "log"
    assert draw(POINTS, results({1: [30] * 3, 2: [31] * 3})).axes[0].get_xscale() == "linear"


def test_rows_can_be_chosen_and_all_of_a_studys_figures_are_drawn_at_once():
    table = results({1: [30] * 3, 2: [31] * 3})
    assert lines(draw(POINTS | {"where": {"scheme": 2}}, table)) == ["2"]
    assert lines(draw(POINTS | {"where": {"scheme": [1, 2, 3], "seed": 0}}, table)) == ["1", "2"]
    runs = histories({(1, 0, 0.1): [20, 30]})
    assert len(study_figures([POINTS, CURVES], table, runs)) == 2 and len(study_figures([POINTS, CURVES], table)) == 1
    assert not plt.get_fignums(), "a figure of pyplot's would be shown, or kept in memory"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("curves", "has the keys kind, y, x, group"),
        (POINTS | {"colour": "seed"}, "has the keys kind, y, x, group"),
        (POINTS | {"kind": "pie"}, "`kind` must be one of curves, points, bars, got 'pie'"),
        ({"kind": "curves", "y": "psnr", "group": "mult"}, "curves needs `x` and `y`"),
        ({"kind": "points", "y": "psnr"}, "points needs `x` and `y`"),
        (POINTS | {"panel": 3}, "`panel` must be text, got 3"),
        (POINTS | {"where": ["seed"]}, "`where` must name columns"),
    ],
)
def test_a_description_that_makes_no_sense_is_an_error(spec, message):
    with pytest.raises(ValueError, match=message):
        read_figure(spec)


def test_missing_columns_and_rows_are_errors():
    table = results({1: [30] * 3})
    with pytest.raises(ValueError, match="no column 'ssim'; they have scheme, seed, psnr"):
        draw(POINTS | {"y": "ssim"}, table)
    with pytest.raises(ValueError, match="no rows to draw psnr of"):
        draw(POINTS | {"where": {"seed": 9}}, table)
