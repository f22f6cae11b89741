"""Results: folders to a table, summaries over seeds, and the formats that people and programs read."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from siren_fastai.files import write_json
from siren_fastai.study.mixing import mixed_settings, mixed_text
from siren_fastai.study.results import read_histories, read_results, summary, to_csv, to_json, to_markdown, wide
from siren_fastai.study.table import better_of, cell, in_order, median, where


def experiment(folder, number, axes, result, settings=None, history=None):
    """Write a finished experiment as `run_study` does."""
    path = folder / f"slug-{number}"
    path.mkdir(parents=True)
    record = {
        "experiment": "fit",
        "number": number,
        "slug": path.name,
        "axes": axes,
        "settings": {**axes, **(settings or {})},
    }
    write_json(record, path / "settings.json")
    write_json(result, path / "result.json")
    if history is not None:
        pd.DataFrame(history).to_csv(path / "history.csv", index=False)


@pytest.fixture
def study(tmp_path):
    """Two values of `mult`, three seeds, one of which diverged."""
    for number, (mult, seed) in enumerate([(m, s) for m in (1, 2) for s in (0, 1, 2)]):
        lost = (mult, seed) == (1, 2)
        result = {"psnr": math.nan if lost else 30.0 + mult + seed, "steps_to_level": None if lost else 100 * mult}
        history = {"opt_steps": [10, 20], "psnr": [20.0, 30.0 + mult + seed]}
        experiment(tmp_path, number, {"mult": mult, "seed": seed}, result, {"hidden": [8, 4], "lr": 0.001}, history)
    return tmp_path


def test_a_table_has_a_row_for_each_experiment_with_axes_settings_and_results(study):
    table = read_results(study)
    assert list(table) == ["number", "slug", "mult", "seed", "hidden", "lr", "psnr", "steps_to_level"]
    assert table.attrs["axes"] == ["mult", "seed"]
    assert list(table["number"]) == list(range(6)) and list(table["mult"]) == [1, 1, 1, 2, 2, 2]
    assert set(table["hidden"]) == {"[8,4]"} and math.isnan(table["psnr"][2])


def test_rows_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 100):
        experiment(tmp_path, number, {"seed": number}, {"psnr": 1.0})
    assert list(read_results(tmp_path)["number"]) == [9, 10, 100]


def test_a_result_with_a_settings_name_keeps_both(tmp_path):
    experiment(tmp_path, 0, {"steps": 100}, {"steps": 80, "psnr": 1.0})
    table = read_results(tmp_path)
    assert table["steps"][0] == 100 and table["steps (result)"][0] == 80


def test_folders_that_are_unfinished_failed_or_foreign_are_left_out(study):
    (study / "unfinished").mkdir()
    write_json({"number": 7, "axes": {}, "settings": {}}, study / "unfinished" / "settings.json")
    (study / "failed").mkdir()
    (study / "failed" / "error.txt").write_text("Traceback")
    (study / "photos").mkdir()
    (study / ".running" / "slug-9").mkdir(parents=True)
    (study / "notes.txt").write_text("mine")
    assert len(read_results(study)) == 6


@pytest.mark.parametrize("text", ["{", "[]", "[1, 2]", '{"number": "x"}', '{"axes": 3}', "[" * 100000, "\x00"])
def test_unreadable_files_are_left_out_with_a_warning(study, text):
    (study / "slug-0" / "settings.json").write_text(text)
    with pytest.warns(UserWarning, match="slug-0 is left out: its files aren't those of an experiment"):
        assert len(read_results(study)) == 5


def test_a_result_that_isnt_utf8_or_an_object_is_left_out_with_a_warning(study):
    (study / "slug-0" / "result.json").write_bytes(b"\xff\xfe")
    (study / "slug-1" / "result.json").write_text("3")
    with pytest.warns(UserWarning, match="slug-[01] is left out"):
        assert len(read_results(study)) == 4


def test_no_folder_is_an_error_and_an_empty_one_is_an_empty_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_results(tmp_path / "none")
    table = read_results(tmp_path)
    assert len(table) == 0 and list(table) == ["number", "slug"] and table.attrs["axes"] == []


def test_infinite_numbers_come_back_from_json(tmp_path):
    experiment(tmp_path, 0, {"seed": 0}, {"psnr": math.inf, "mse": -math.inf, "note": "inf or so"})
    row = read_results(tmp_path).iloc[0]
    assert (row["psnr"], row["mse"], row["note"]) == (math.inf, -math.inf, "inf or so")


@pytest.mark.parametrize("noted", [None, {"derived": []}, {"derived": "epochs"}])
def test_settings_that_differ_although_they_are_no_axis_are_told(tmp_path, noted):
    for seed in range(4):
        experiment(tmp_path, seed, {"mult": 1, "seed": seed}, {"psnr": 30.0}, {"epochs": 100 if seed < 3 else 5})
    if noted is not None:
        write_json({"name": "x", "claims": [], "experiment": "fit"} | noted, tmp_path / "study.json")
    with pytest.warns(UserWarning, match=r"differ although they are no axis: epochs \(5, 100\); the table mixes them"):
        assert read_results(tmp_path).attrs["mixed"] == {"epochs": [5, 100]}


def row(axes, **settings):
    return {"axes": axes, "settings": {**axes, **settings}}


def test_settings_may_differ_with_the_axes_that_they_follow_from():
    rows = [row({"mult": m, "seed": s}, epochs=100 // m, name=f"run {s}") for m in (1, 2) for s in (0, 1)]
    assert mixed_settings(rows, derived=["epochs", "name"]) == {}
    assert mixed_settings(rows, derived=["epochs"]) == {"name": ["run 0", "run 1"]}
    assert mixed_settings(rows[::2]) == {}  # it is not known that epochs follow, and no rows differ in the seed alone
    assert mixed_settings(rows) == {"name": ["run 0", "run 1"]}


def test_a_setting_that_an_older_result_lacks_mixes_nothing_and_lists_are_compared():
    assert mixed_settings([row({"seed": 0}), row({"seed": 1}, new=1)], derived=[]) == {}
    assert mixed_settings([row({"seed": 0}, hidden=[8, 4]), row({"seed": 1}, hidden=[8])]) == {
        "hidden": ["[8,4]", "[8]"]
    }
    assert mixed_text({"hidden": ["[8,4]", "[8]"], "lr": [0.1, None]}) == "hidden ([8,4], [8]), lr (0.1, None)"


def test_histories_carry_the_axes_of_their_experiments(study):
    (study / "slug-5" / "history.csv").unlink()
    histories = read_histories(study, read_results(study))
    assert len(histories) == 10 and set(histories["mult"]) == {1, 2}
    assert histories[histories["slug"] == "slug-4"]["psnr"].tolist() == [20.0, 33.0]


def test_a_history_that_counts_an_axis_keeps_its_count(study):
    for path in study.glob("*/history.csv"):
        path.write_text("mult,psnr\n10,20.0\n20,33.0\n")
    histories = read_histories(study, read_results(study))
    assert set(histories["mult"]) == {1, 2} and set(histories["mult so far"]) == {10, 20}


def test_an_empty_history_is_an_error_with_its_file(study):
    (study / "slug-0" / "history.csv").write_text("")
    with pytest.raises(ValueError, match="history.csv: expected a table with a header"):
        read_histories(study, read_results(study))


def test_a_summary_equals_pandas_own_where_all_was_reached(study):
    table = read_results(study)
    two = table[table["mult"] == 2]
    row = summary(two, ["mult"], ["psnr"]).iloc[0]
    expected = two["psnr"].agg(["median", "min", "max", "count"])
    assert [row[name] for name in ("median", "min", "max", "count")] == expected.tolist()


def test_what_was_not_reached_counts_as_the_worst(study):
    summed = summary(read_results(study), ["mult"], ["psnr", "steps_to_level"])
    psnr, steps = summed[summed["mult"] == 1].to_dict("records")
    assert (psnr["measure"], psnr["median"], psnr["max"], psnr["count"], psnr["reached"]) == ("psnr", 31.0, 32.0, 3, 2)
    assert (steps["median"], steps["min"], steps["count"], steps["reached"]) == (100.0, 100.0, 3, 2)
    assert math.isnan(psnr["min"]) and math.isnan(steps["max"])


def test_a_median_that_most_did_not_reach_is_nan():
    table = pd.DataFrame({"seed": [0, 1, 2], "steps": [100.0, None, None]})
    row = summary(table, [], ["steps"]).iloc[0]
    assert math.isnan(row["median"]) and row["min"] == 100.0 and row["reached"] == 1


def test_an_infinite_psnr_is_the_best_number_in_summaries_and_all_formats(tmp_path):
    values = {1: [math.inf, math.inf, 60.0], 2: [math.inf, math.nan, 40.0], 3: [math.inf] * 3}
    for number, (mult, seed) in enumerate([(m, s) for m in values for s in range(3)]):
        experiment(tmp_path, number, {"mult": mult, "seed": seed}, {"psnr": values[mult][seed]})
    table = read_results(tmp_path)
    summed = summary(table, ["mult"], ["psnr"])
    assert summed["median"].tolist() == [math.inf, 40.0, math.inf] and summed["reached"].tolist() == [3, 2, 3]
    assert summed["min"].tolist()[::2] == [60.0, math.inf] and math.isnan(summed["min"][1])
    assert [row.split(" | ")[1] for row in to_markdown(wide(summed)).splitlines()[2:]] == [
        *("∞ (60 to ∞)", "40 (not reached to ∞)", "∞")
    ]
    assert "| ∞ |" in to_markdown(table)
    back = pd.read_csv(io.StringIO(to_csv(table)))
    pd.testing.assert_series_equal(back["psnr"], table["psnr"])
    assert [row["psnr"] for row in json.loads(to_json(table))] == ["inf", "inf", 60.0, "inf", None, 40.0, *["inf"] * 3]
    assert [row["median"] for row in json.loads(to_json(summed))] == ["inf", 40.0, "inf"]


def test_an_infinite_cost_is_not_reached_and_of_two_infinite_halves_the_worse_counts():
    table = pd.DataFrame({"mse": [1.0, math.inf, math.inf], "psnr": [math.inf, math.inf, None]})
    row = summary(table, [], ["mse"]).iloc[0]
    assert math.isnan(row["median"]) and row["reached"] == 1
    assert math.isnan(summary(table.tail(2), [], ["psnr"]).iloc[0]["median"])
    assert [median([math.inf, -math.inf], better) for better in ("higher", "lower")] == [-math.inf, math.inf]


def test_a_mapping_says_what_is_better():
    table = pd.DataFrame({"gain": [1.0, math.nan]})
    assert summary(table, [], {"gain": "higher"}).isna()["min"].all()
    assert summary(table, [], {"gain": "lower"}).isna()["max"].all()
    assert [better_of(name) for name in ("psnr", "best_psnr", "ssim", "mse", "steps_to_psnr_40")] == [
        *("higher", "higher", "higher", "lower", "lower")
    ]


def test_a_wide_table_tells_median_and_range_of_each_measure(study):
    text = to_markdown(wide(summary(read_results(study), ["mult"], ["psnr", "steps_to_level"])))
    assert text.splitlines() == [
        "| mult | psnr | steps_to_level | count |",
        "| --- | --- | --- | --- |",
        "| 1 | 31 (not reached to 32) | 100 (100 to not reached) | 3 |",
        "| 2 | 33 (32 to 34) | 200 | 3 |",
    ]


def test_summaries_of_columns_that_are_missing_or_hold_text_are_errors(study):
    table = read_results(study)
    with pytest.raises(ValueError, match="no column 'ssim'; they have number, slug, mult"):
        summary(table, ["mult"], ["ssim"])
    with pytest.raises(ValueError, match="'slug' must hold numbers, got 'slug-0'"):
        summary(table, ["mult"], ["slug"])


def test_csv_reads_back_exactly_and_json_is_strict():
    table = pd.DataFrame({"x": [0.1 + 0.2, math.nan, math.inf], "name": ["a,b", 'c"d', "e|f"], "hidden": ["[8,4]"] * 3})
    back = pd.read_csv(io.StringIO(to_csv(table)))
    pd.testing.assert_frame_equal(back, table)
    rows = json.loads(to_json(table), parse_constant=lambda text: pytest.fail(f"{text} isn't JSON"))
    assert [row["x"] for row in rows] == [0.1 + 0.2, None, "inf"] and rows[0]["hidden"] == "[8,4]"
    assert to_markdown(table).splitlines()[-1] == "| ∞ | e\\|f | [8,4] |" and "–" in to_markdown(table)


def test_markdown_numbers_have_four_significant_digits():
    numbers = [31.23456, 0.0012345678, 1e-5, 12345.678, 3.0, 5, 123456789.0, True]
    table = pd.DataFrame({"x": pd.Series(numbers, dtype=object)})
    shown = [line.strip("| ") for line in to_markdown(table).splitlines()[2:]]
    assert shown == ["31.23", "0.001235", "1e-05", "12346", "3", "5", "1.235e+08", "True"]


def test_rows_are_found_by_value_and_values_sorted_whatever_their_kind():
    table = pd.DataFrame({"scheme": pd.Series([33, "siren", None, 1, 33.0], dtype=object), "n": range(5)})
    assert where(table, {"scheme": 33})["n"].tolist() == [0, 4] and where(table, {"scheme": None})["n"].tolist() == [2]
    assert in_order(table["scheme"]) == [1, 33, "siren", None]
    assert cell(np.float32("nan")) is None and cell(np.array([1, 2])) == "[1,2]" and cell({"a": [1]}) == '{"a":[1]}'
