"""History files, Benford tables with their golden values, figures without a window, and the report."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from PIL import Image
from scipy import stats

from siren_fastai.analysis.benford import (
    LeadingDigits,
    benford_probabilities,
    compare,
    deviations,
    leading_digits,
    pixel_levels,
)
from siren_fastai.analysis.figures import benford_figure, history_figure
from siren_fastai.analysis.history import (
    COLUMNS,
    METRICS,
    describe,
    extremes,
    read_history,
    write_history,
)
from siren_fastai.analysis.report import NOTE_ON_BENFORD, Report

NOTE_ROWS = [  # the note's own table
    (0, 0.288646, 5.396346, -0.003688),
    (1, 0.214251, 6.690774, 0.034964),
    (2, 0.199153, 7.008121, 0.049086),
    (3, 0.184765, 7.333792, 0.055266),
    (4, 0.164772, 7.831174, 0.061327),
]


def history(rows=NOTE_ROWS):
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"Epoch": "int64"})


@pytest.fixture(scope="module")
def camera():
    return skimage.data.camera()


# --- history.txt


def test_a_written_history_reads_back_exactly(tmp_path):
    rows = [(0, 1 / 3, 1e-30, -0.1), (25, math.pi, math.inf, 0.0), (26, 5e-324, math.nan, 1.0)]
    path = write_history(history(rows), tmp_path / "history.txt")
    pd.testing.assert_frame_equal(read_history(path), history(rows), check_exact=True)
    assert [p.name for p in tmp_path.iterdir()] == ["history.txt"]


def test_numpy_reads_what_is_written_and_the_header_is_the_notes(tmp_path):
    path = write_history(history(), tmp_path / "history.txt")
    np.testing.assert_array_equal(np.loadtxt(path), np.array(NOTE_ROWS))
    assert path.read_text().splitlines()[0] == "# Epoch\ttrain_loss(MSE)\ttrain_psnr (db)\ttrain_ssim"


@pytest.mark.parametrize(
    "text",
    [
        "# Epoch\ttrain_loss(MSE)\ttrain_psnr (db)\ttrain_ssim\n0\t0.5\t3\t0.1\n1\t0.25\t6\t0.2\n",
        "Epoch train_loss(MSE) train_psnr (db) train_ssim\n0 0.5 3 0.1\n\n1 0.25 6 0.2",
        'Epoch,train_loss(MSE),"train_psnr (db)",train_ssim\r\n0,0.5,3.0,0.1\r\n1,0.25,6.0,0.2\r\n',
        "\ufeff# a remark\n0 0.5 3 0.1\n1 0.25 6 0.2\n",
        "5.000000000000000000e-01 3.0e+00 1.0e-01\n2.5e-01 6.0e+00 2.0e-01\n",
    ],
)
def test_both_forms_and_all_separators_are_read(tmp_path, text):
    path = tmp_path / "history.txt"
    path.write_text(text, encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(read_history(path), history([(0, 0.5, 3.0, 0.1), (1, 0.25, 6.0, 0.2)]))


def test_the_three_column_form_of_savetxt_is_read(tmp_path):
    table = np.array(NOTE_ROWS)[:, 1:]
    np.savetxt(tmp_path / "train_losses_final.txt", table)
    read = read_history(tmp_path / "train_losses_final.txt")
    np.testing.assert_array_equal(read[list(METRICS)], table)
    assert read["Epoch"].tolist() == [0, 1, 2, 3, 4]


HEADER = "# Epoch\ttrain_loss(MSE)\ttrain_psnr (db)\ttrain_ssim\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no rows of numbers"),
        (HEADER, "no rows of numbers"),
        ("epoch loss\n0 1\n", "line 1: expected numbers or the header Epoch"),
        (HEADER + "0 1 2 3\n1 1 2\n", "line 3: expected 4 columns, got 3; was it truncated"),
        (HEADER + "0 1 2\n", "line 2: expected 4 columns, got 3"),
        ("1 2 3\n1 2 3 4\n", "line 2: expected 3 columns, got 4"),
        ("1 2\n", "line 1: expected 4 columns .* got 2"),
        (HEADER + "0 1 2 3\n1 1 two 3\n", "line 3: expected numbers"),
        (HEADER + "0 1 2 3\n0 1 2 3\n", "line 3: epochs must be integers that increase, got 0 after 0"),
        (HEADER + "0.5 1 2 3\n", "line 2: epochs must be integers"),
        (HEADER + "nan 1 2 3\n", "line 2: epochs must be integers"),
        (HEADER + "-2 1 2 3\n", "line 2: epochs must be integers"),
        (HEADER + "0 1 2 3\n" + HEADER + "1 1 2 3\n2 1\n", "line 5: expected 4 columns, got 2"),
    ],
)
def test_malformed_files_are_refused_with_file_and_line(tmp_path, text, message):
    path = tmp_path / "history.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"history.txt.*{message}"):
        read_history(path)


RECORDS = "epoch,fit,opt_steps,samples_seen,train_seconds,seconds,lr,train_loss,valid_loss,psnr\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (RECORDS, "no epochs"),
        ("[]", "no epochs"),
        (RECORDS + "0,0,1,9,1,1,1,1,1\n", "line 2: expected 10 columns, got 9; was it truncated"),
        (RECORDS + "0,0,1,9,1,1,1,1,one,2\n", "line 2: expected numbers, got 'one'"),
        (RECORDS + 2 * "0,0,1,9,1,1,1,1,1,2\n", "line 3: epochs must be integers that increase, got 0 after 0"),
        ('[{"epoch": 0}]', "expected the columns epoch and valid_loss or train_loss, got epoch"),
        ('[{"epoch": 0, "valid_loss": [1]}]', "line 1: expected numbers"),
        ("[1, 2]", "a JSON list with an object for each epoch"),
        ('[{"epoch": 0', "expected a JSON list of epochs"),
        ("[" * 100_000, "expected a JSON list of epochs"),
    ],
)
def test_malformed_tables_of_metric_history_are_refused_with_file_and_line(tmp_path, text, message):
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(ValueError, match=f"h.csv.*{message}"):
        read_history(tmp_path / "h.csv")


def test_a_picture_is_no_history_and_a_missing_file_is_an_os_error(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ValueError, match="x.png: not a text file"):
        read_history(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError):
        read_history(tmp_path / "none.txt")


def test_a_failed_write_leaves_the_older_history_and_nothing_else(tmp_path, monkeypatch):
    path = write_history(history(), tmp_path / "history.txt")
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)  # a full disk, which a test cannot make
    with pytest.raises(OSError, match="No space left"):
        write_history(history(NOTE_ROWS[:2]), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["history.txt"]


def test_other_columns_are_rejected(tmp_path):
    with pytest.raises(ValueError, match="`history` must have the columns"):
        write_history(history().rename(columns={"Epoch": "epoch"}), tmp_path / "h.txt")
    with pytest.raises(ValueError, match="`column` must be one of"):
        extremes(history(), "Epoch")


def test_describe_equals_numpy_and_leaves_infinity_out():
    table = describe(history())
    values = np.array(NOTE_ROWS)[:, 1]
    expected = [5, values.mean(), values.std(ddof=1), *np.percentile(values, [0, 25, 50, 75, 100])]
    np.testing.assert_allclose(table[METRICS[0]], expected)
    assert list(table.columns) == list(METRICS) and list(table.index)[:4] == ["count", "mean", "std", "min"]
    assert describe(history([*NOTE_ROWS, (5, 0.0, math.inf, 1.0)])).loc["count", METRICS[1]] == 5


def test_extremes_find_maximum_middle_and_minimum():
    assert extremes(history(), METRICS[0]) == {"max": (0, 0.288646), "middle": (2, 0.199153), "min": (4, 0.164772)}
    gap = history([(0, 1.0, math.inf, 0.0), (7, 2.0, 5.0, math.nan)])
    assert extremes(gap, METRICS[1]) == {"max": (7, 5.0), "middle": (7, 5.0), "min": (7, 5.0)}
    assert extremes(history([(0, 1.0, math.inf, 0.0)]), METRICS[1]) == {}


def test_the_notes_psnr_is_six_decibels_too_low():
    for row in NOTE_ROWS:
        _, loss, psnr, _ = row
        assert psnr == pytest.approx(-10 * math.log10(loss), abs=2e-4)
        final = Report(history([row]), convention="note").to_dict()["history"]["final_standard"]
        assert final["mse"] == loss / 4 and final["psnr"] == pytest.approx(psnr + 20 * math.log10(2), abs=2e-4)


@pytest.mark.parametrize("loss, psnr", [(0.007003, 27.57), (0.288646, 11.417), (0.0, math.inf)])
def test_a_loss_of_the_note_is_reported_in_standard_units(loss, psnr):
    report = Report(history([(0, loss, 0.0, 0.0)]), convention="note").to_dict()
    assert report["history"]["final_standard"]["psnr"] == pytest.approx(psnr, abs=0.005)


# --- Benford

GOLDEN = {
    "law": [30.10, 17.61, 12.49, 9.69, 7.92, 6.69, 5.80, 5.12, 4.58],
    "uniform": [43.53, 26.27] + [4.31] * 7,
    "camera": [48.78, 35.58, 6.06, 2.70, 2.22, 1.61, 1.12, 0.95, 0.98],
    "camera 256": [49.62, 35.36, 5.59, 2.57, 2.07, 1.46, 1.20, 1.10, 1.03],
}


def percent(digits):
    return np.round(100 * digits.probabilities, 2).tolist()


def test_golden_values(camera):
    small = np.asarray(Image.fromarray(camera).resize((256, 256), Image.Resampling.BILINEAR))
    assert np.round(100 * benford_probabilities(), 2).tolist() == GOLDEN["law"]
    assert benford_probabilities().sum() == pytest.approx(1)
    assert percent(leading_digits(np.arange(1, 256, dtype=np.uint8))) == GOLDEN["uniform"]
    assert percent(leading_digits(camera)) == GOLDEN["camera"]
    assert percent(leading_digits(small)) == GOLDEN["camera 256"]


def test_zeros_are_in_neither_numerator_nor_denominator_but_counted(camera):
    digits = leading_digits(np.array([0, 0, 0, 7, 70, 255, 1], dtype=np.uint8))
    assert digits == LeadingDigits(counts=(1, 1, 0, 0, 0, 0, 2, 0, 0), zeros=3) and digits.total == 4
    assert digits.probabilities.sum() == 1
    assert leading_digits(camera).zeros == (camera == 0).sum() and leading_digits(camera).total == (camera > 0).sum()


def test_leading_digits_equal_those_of_the_printed_numbers():
    levels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    printed = [int(str(v)[0]) for v in levels.ravel().tolist()]
    assert list(leading_digits(levels).counts) == [printed.count(d) for d in range(1, 10)]


def test_floats_become_levels_by_the_rule_of_saved_pictures():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pixel_levels(levels.astype(np.float32) / 255), levels)
    assert pixel_levels(torch.tensor([-0.5, 0.5, 1.5, 0.4999 / 255, 0.5001 / 255])).tolist() == [0, 128, 255, 0, 1]
    assert pixel_levels(torch.full((2, 2), 0.5, requires_grad=True)).shape == (2, 2)


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((4, 4, 4), np.uint8), ValueError, "alpha channel"),
        (np.zeros((4, 4, 2), np.float32), ValueError, "alpha channel"),
        (torch.zeros(4, 4, 4), ValueError, "alpha channel"),
        (np.zeros((4, 4), np.int64), TypeError, "uint8 in .0, 255. or floats in .0, 1., got int64"),
        (np.zeros((4, 4), bool), TypeError, "got bool"),
        (np.full((4, 4), 128.0), ValueError, "median of 128: divide by 255"),
        (np.full((4, 4), np.nan), ValueError, "NaN"),
        (np.zeros((0, 4), np.uint8), ValueError, "must have pixels"),
    ],
)
def test_pictures_without_honest_levels_are_rejected(image, error, message):
    with pytest.raises(error, match=message):
        leading_digits(image)


def test_a_black_picture_has_no_shares():
    with pytest.raises(ValueError, match="all 16 values are 0"):
        _ = leading_digits(np.zeros((4, 4), np.uint8)).probabilities


def test_deviations_equal_scipys():
    digits = LeadingDigits((30, 18, 12, 10, 8, 7, 6, 5, 0), zeros=9)
    p, q = digits.probabilities, benford_probabilities()
    measured = deviations(digits)
    assert measured["mad"] == pytest.approx(np.mean(np.abs(p - q)))
    assert measured["chi2"] == pytest.approx(stats.chisquare(digits.counts, q * digits.total).statistic)
    assert measured["kl"] == pytest.approx(stats.entropy(p, q))
    assert measured["ks"] == pytest.approx(max(abs(p[:k].sum() - q[:k].sum()) for k in range(1, 10)))


def test_deviations_vanish_for_the_same_shares_and_are_infinite_for_an_impossible_digit():
    digits = LeadingDigits((3, 0, 1, 0, 0, 0, 0, 0, 0), zeros=0)
    assert all(v == 0 for v in deviations(digits, digits.probabilities).values())
    measured = deviations(LeadingDigits((3, 1, 0, 0, 0, 0, 0, 0, 0), 0), digits.probabilities)
    assert measured["chi2"] == measured["kl"] == math.inf and measured["mad"] == pytest.approx(0.5 / 9)


def test_identical_pictures_have_identical_tables(camera):
    comparison = compare(camera, camera[..., None].astype(np.float32) / 255)
    table = comparison.table()
    assert list(table.columns) == ["digit", "Benford", "ground truth", "predicted"]
    assert (table["ground truth"] == table["predicted"]).all()
    assert (comparison.deviations().loc["predicted from ground truth"] == 0).all()


def test_pictures_of_other_shapes_are_not_compared(camera):
    with pytest.raises(ValueError, match=r"one shape, got \(512, 512, 1\) and \(256, 256, 1\).*resized target"):
        compare(camera, camera[::2, ::2])


def test_a_screenshot_as_prediction_shows_the_notes_artefact():
    target = np.random.default_rng(0).integers(20, 120, (48, 64, 3), dtype=np.uint8)
    screenshot = np.full((48, 64, 3), 255, np.uint8)
    screenshot[10:30, 10:30] = target[10:30, 10:30]
    assert "**reproduced**" in Report(benford=compare(target, screenshot)).to_markdown()
    noisy = target + np.random.default_rng(1).integers(-2, 3, target.shape)
    report = Report(benford=compare(target, noisy.astype(np.uint8)))
    assert "**not reproduced**" in report.to_markdown() and not report.to_dict()["benford"]["note_shift_reproduced"]


# --- figures


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_history_figure_has_three_panels_with_annotated_extremes(tmp_path):
    figure = history_figure(history(), title="camera")
    assert [axes.get_title() for axes in figure.axes] == ["MSE", "PSNR (dB)", "SSIM"]
    for axes, column in zip(figure.axes, METRICS, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), history()[column])
        marks = {label: f"{label} {value:.4g}" for label, (_, value) in extremes(history(), column).items()}
        assert sorted(texts(axes)) == sorted(marks.values())
    assert figure.axes[0].get_yscale() == "log" and figure.get_suptitle() == "camera"
    figure.savefig(tmp_path / "history.png", dpi=50)
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.size == (700, 210)


@pytest.mark.parametrize(
    "rows",
    [
        NOTE_ROWS[:1],
        [(0, 0.0, math.inf, 1.0), (1, 0.0, math.inf, 1.0)],
        [(0, math.nan, math.nan, math.nan)],
        [(0, 0.5, 3.0, math.nan), (1, math.inf, -math.inf, 0.1)],
    ],
)
def test_history_figure_draws_short_perfect_and_diverged_runs(tmp_path, rows):
    figure = history_figure(history(rows))
    figure.savefig(tmp_path / "history.png", dpi=40)
    assert len(figure.axes) == 3


def test_benford_figure_draws_both_pictures_and_the_law_in_percent(camera, tmp_path):
    figure = benford_figure(compare(camera, 255 - camera))
    (axes,) = figure.axes
    heights = np.array([bar.get_height() for bar in axes.patches]).reshape(2, 9)
    np.testing.assert_allclose(heights[0], GOLDEN["camera"], atol=0.005)
    np.testing.assert_allclose(heights.sum(1), 100)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), GOLDEN["law"], atol=0.005)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["Benford's law", "ground truth", "predicted"]
    figure.savefig(tmp_path / "benford.png", dpi=40)


def test_figures_touch_no_global_state(camera):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    history_figure(history())
    benford_figure(compare(camera, camera))
    assert plt.get_fignums() == before


# --- the report


def test_report_is_strict_json_with_tables_and_the_statement(camera):
    rows = [*NOTE_ROWS, (5, 0.0, math.inf, 1.0)]
    text = Report(history(rows), compare(camera, 255 - camera), title="camera").to_json()
    report = json.loads(text, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert report["title"] == "camera" and report["history"]["final"][METRICS[1]] == "inf"
    assert [row["Epoch"] for row in report["history"]["head"]] == [0, 1, 2, 3, 4]
    assert report["history"]["describe"][METRICS[0]]["count"] == 6
    assert report["history"]["extremes"][METRICS[0]]["max"] == {"Epoch": 0, "value": 0.288646}
    assert report["benford"]["note"] == NOTE_ON_BENFORD and len(report["benford"]["table"]) == 9
    assert report["benford"]["zeros"]["ground_truth"] == int((camera == 0).sum())
    assert set(report["benford"]["deviations"]["predicted from Benford"]) == {"mad", "chi2", "ks", "kl"}


def test_report_in_markdown_has_well_formed_tables_and_the_statement(camera):
    text = Report(history(), compare(camera, camera)).to_markdown()
    assert text.endswith("\n") and NOTE_ON_BENFORD in text and "| 1 | 30.1 | 48.78 | 48.78 |" in text
    assert "| 0 | 0.288646 | 5.39635 | -0.003688 |" in text and "standard units" not in text
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1 and "---" in block.splitlines()[1]


def test_the_statement_names_the_artefact_and_its_numbers():
    for fact in ("screenshot", "640x480 RGBA", "alpha is 255", "56.6 %", "67.4 %", "68.9 %", "57.7 %", "[200, 255]"):
        assert fact in NOTE_ON_BENFORD
    assert "artefact" in NOTE_ON_BENFORD and "before resizing" in NOTE_ON_BENFORD


def test_report_of_the_notes_convention_adds_standard_units():
    report = Report(history([*NOTE_ROWS, (299, 0.007003, 21.547, 0.774)]), convention="note")
    assert report.to_dict()["history"]["final_standard"]["psnr"] == pytest.approx(27.57, abs=0.005)
    assert "the PSNR 27.57 dB" in report.to_markdown() and "Leading digits" not in report.to_markdown()


def test_reports_of_nothing_or_of_unknown_conventions_are_rejected():
    with pytest.raises(ValueError, match="nothing to report"):
        Report()
    with pytest.raises(ValueError, match="`convention` must be one of standard, note, got 'seed'"):
        Report(history(), convention="seed")
