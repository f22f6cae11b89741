"""`evaluate`, `render` and `analyze`: the same pixels from a fresh process, scores, reports."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from cli_runs import TINY, fit, levels_of, picture_file
from PIL import Image

from siren_fastai.cli.main import main
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.images import load_image, to_uint8

NOTE = "0.288646 5.396346 -0.003688\n0.214251 6.690774 0.034964\n0.199153 7.008121 0.049086\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished fit with its scores; returns its folder. The image lies next to it."""
    root = tmp_path_factory.mktemp("fits")
    path = picture_file(root / "rgb.png", 12, 16, 3)
    assert fit(root, "--image_filepath", path, *TINY, "--evaluate", epochs=2) == 0
    return root / "run"


def final(run):
    return str(run / "checkpoints" / "model_final.safetensors")


def last_error(capsys, command):
    error = capsys.readouterr().err
    assert error.startswith(f"siren-fastai {command}: error: ") and "Traceback" not in error
    return error


@pytest.mark.slow
def test_a_fresh_process_gives_the_pixels_and_scores_of_the_fits_end(run, tmp_path):
    command = [sys.executable, "-m", "siren_fastai.cli", "evaluate", final(run), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed, at_the_end = json.loads(done.stdout), json.loads((run / "metrics.json").read_text())
    assert printed.keys() == at_the_end.keys() and printed["size"] == at_the_end["size"]
    for convention in ("standard", "note"):
        assert printed[convention] == pytest.approx(at_the_end[convention], rel=1e-4)
    here, there = (levels_of(folder / "predicted_image.png").astype(int) for folder in (run, tmp_path))
    assert np.abs(here - there).max() <= 1  # a value between two levels may be rounded either way
    assert json.loads((tmp_path / "metrics.json").read_text()) == printed
    assert (tmp_path / "predicted_image_with_metrics.png").is_file()


def test_evaluate_takes_another_picture(run, tmp_path, capsys):
    other = picture_file(tmp_path / "other.png", 24, 32, 1, seed=5)
    assert main(["evaluate", final(run), "--image_filepath", str(other)]) == 0
    scores = json.loads(capsys.readouterr().out)
    picture = load_checkpoint(final(run)).render()
    target = load_image(other, size=(12, 16), mode="rgb")
    assert scores["standard"]["mse"] == pytest.approx(float((picture.double() - target.double()).square().mean()))


def test_evaluate_refuses_pictures_of_other_proportions(run, tmp_path, capsys):
    other = picture_file(tmp_path / "other.png", 40, 16)
    assert main(["evaluate", final(run), "--image_filepath", str(other)]) == 2
    assert "the checkpoint's has 12x16: give the image it was fitted to" in last_error(capsys, "evaluate")


def test_render_at_any_size_and_region(run, tmp_path, capsys):
    path, saved = str(tmp_path / "out.png"), load_checkpoint(final(run))
    assert main(["render", final(run), path]) == 0
    np.testing.assert_array_equal(levels_of(path), levels_of(run / "predicted_image.png"))
    assert main(["render", final(run), path, "--y", "--size", "7", "30"]) == 0
    np.testing.assert_array_equal(levels_of(path), to_uint8(saved.render((7, 30))))
    assert "warning: --size 7 30 changes the proportions of the image; --size 7 keeps them" in capsys.readouterr().err
    assert main(["render", final(run), path, "--y", "--size", "4", "5", "--region", "-1", "0", "0", "1"]) == 0
    np.testing.assert_array_equal(levels_of(path), to_uint8(saved.render((4, 5), (-1.0, 0.0, 0.0, 1.0))))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments, shape",  # the fit's image has 12 x 16 pixels
    [
        (["--size", "30"], (30, 40)),
        (["--size", "30", "40"], (30, 40)),
        (["--size", "7", "9"], (7, 9)),  # 7 x 9.33, rounded
        (["--region", "-1", "-1", "1", "0"], (12, 8)),  # the left half
        (["--region", "-1", "-1", "1", "0", "--size", "16"], (24, 16)),
        (["--region", "-1", "-1", "1", "0", "--size", "24", "16"], (24, 16)),
    ],
)
def test_render_keeps_the_proportions_without_a_warning(run, tmp_path, capsys, arguments, shape):
    path = str(tmp_path / "out.png")
    assert main(["render", final(run), path, *arguments]) == 0
    assert levels_of(path).shape[:2] == shape and capsys.readouterr().err == ""


def test_render_warns_of_a_square_from_a_wide_image(run, tmp_path, capsys):
    path = str(tmp_path / "out.png")
    assert main(["render", final(run), path, "--size", "512", "512"]) == 0
    assert levels_of(path).shape[:2] == (512, 512)
    error = capsys.readouterr().err
    assert error == (
        "siren-fastai: warning: --size 512 512 changes the proportions of the image; --size 512 keeps them\n"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--region", "1", "0", "0", "1"], "--region must be"),
        (["--size", "0", "5"], "must be an integer of 1 or more"),
        (["--size", "9000000"], "GiB, and"),
        (["--size", "9", "9", "9"], "--size takes the shorter side, or height and width; got 3 numbers"),
        (["--device", "quantum"], "not available here"),
        (["--device", "mps"], "mps: not available here (mps is not supported; give auto, cpu, cuda or cuda:<n>)"),
        (["--size", "99999999999999999999999"], "--size: must be an integer from 1 to 1000000000, got"),
        (["--size", "300", "--max_seconds", "1e-5"], "300x400 pixels would take about "),
        (["--region", "-1", "-1", "nan", "1"], "--region: must be a finite number, got 'nan'"),
    ],
)
def test_render_refuses_the_impossible(run, tmp_path, capsys, arguments, message):
    assert main(["render", final(run), str(tmp_path / "out.png"), *arguments]) == 2
    assert message in last_error(capsys, "render") and not (tmp_path / "out.png").exists()


def test_files_that_are_no_checkpoints_or_no_pictures(run, tmp_path, capsys):
    (tmp_path / "x.safetensors").write_text("text")
    for command in (["evaluate"], ["render"]):
        rest = [str(tmp_path / "out.png")] if command == ["render"] else []
        assert main([*command, str(tmp_path / "x.safetensors"), *rest]) == 2
        assert "is not a checkpoint of this library" in last_error(capsys, command[0])
        assert main([*command, "nowhere.safetensors", *rest]) == 2
        assert "there is no checkpoint nowhere.safetensors" in last_error(capsys, command[0])
    assert main(["render", final(run), str(tmp_path / "out.doc")]) == 2
    assert "OUTPUT must end in an image's suffix such as .png, got" in last_error(capsys, "render")
    assert main(["render", final(run), str(tmp_path / "out.webp"), "--size", "20000"]) == 2
    assert "a .webp file has at most 16,383 pixels a side, got 20000x26667: write a .png" in last_error(
        capsys, "render"
    )
    assert main(["render", final(run)]) == 2
    assert "OUTPUT is missing: the image to write" in last_error(capsys, "render")


@pytest.mark.parametrize(
    "size, message",
    [((16_384, 16_384), "images have at most 89 megapixels"), ((4000, 4000), "4000x4000 pixels would take")],
)
def test_checkpoints_that_claim_a_large_image_cost_little(run, tmp_path, capsys, size, message):
    saved = load_checkpoint(final(run))
    saved.size = size
    path = str(save_checkpoint(saved, tmp_path / "large.safetensors"))
    for command in (["evaluate", path, "--max_seconds", "0.01"], ["render", path, "x.png", "--max_seconds", "0.01"]):
        assert main(command) == 2
        assert message in last_error(capsys, command[0])


# --- analyze


def test_analyze_of_a_fit_reports_history_and_digits(run, tmp_path, capsys):
    assert main(["analyze", str(run), "--output", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"report.json", "report.md", "history.png", "benford.png"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["history"]["epochs"] == 2 and report["history"]["convention"] == "standard"
    assert report["title"] == "run" and len(report["benford"]["table"]) == 9
    text = (tmp_path / "report.md").read_text()
    assert "screenshot" in text and "reproduced**" in text
    printed = capsys.readouterr().out
    assert "train_psnr (db)" in printed and "75%" in printed and "30.10" in printed and "kl" in printed


def test_analyze_gives_the_golden_benford_shares(tmp_path):
    (tmp_path / "history.txt").write_text(NOTE)
    Image.fromarray(skimage.data.camera()).save(tmp_path / "target.png")
    Image.fromarray(skimage.data.camera()).save(tmp_path / "predicted_image.png")
    assert main(["analyze", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "analysis" / "report.json").read_text())["benford"]["table"]
    golden = [48.78, 35.58, 6.06, 2.70, 2.22, 1.61, 1.12, 0.95, 0.98]
    assert [round(100 * row["ground truth"], 2) for row in table] == golden
    assert all(row["ground truth"] == row["predicted"] for row in table)


def test_analyze_takes_folders_whose_names_are_not_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"run\xff")
    folder.mkdir()
    (folder / "history.txt").write_text(NOTE)
    assert main(["analyze", str(folder)]) == 0
    assert (folder / "analysis" / "report.md").read_text().startswith("# run\\udcff\n")


def test_analyze_reads_the_old_three_columns_in_the_notes_convention(tmp_path):
    path = tmp_path / "train_losses_final.txt"
    path.write_text(NOTE)
    assert main(["analyze", str(path), "--metric-convention", "note", "--title", "old"]) == 0
    report = json.loads((tmp_path / "analysis" / "report.json").read_text())
    assert report["title"] == "old" and report["history"]["final_standard"]["mse"] == pytest.approx(0.199153 / 4)
    assert "benford" not in report and not (tmp_path / "analysis" / "benford.png").exists()


def test_analyze_reads_the_csv_of_metric_history(tmp_path):
    head = "epoch,fit,opt_steps,samples_seen,train_seconds,seconds,lr,train_loss,valid_loss,psnr"
    (tmp_path / "h.csv").write_text(
        f"{head}\n0,0,4,192,0.1,0.2,0.001,0.5,0.25,6.02\n1,0,8,384,0.2,0.4,0.001,0.3,0.1,10\n"
    )
    assert main(["analyze", str(tmp_path / "h.csv"), "--output", str(tmp_path / "out")]) == 0
    final = json.loads((tmp_path / "out" / "report.json").read_text())["history"]["final"]
    assert final == {"Epoch": 1, "train_loss(MSE)": 0.1, "train_psnr (db)": 10.0, "train_ssim": "nan"}


def test_analyze_knows_what_a_fit_was_measured_in(tmp_path):
    path = picture_file(tmp_path / "gray.png")
    assert fit(tmp_path, "--image_filepath", path, *TINY, "--metric_convention", "note") == 0
    assert main(["analyze", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "analysis" / "report.json").read_text())
    assert report["history"]["convention"] == "note"


def test_analyze_refuses_what_is_no_history_or_no_raw_picture(run, tmp_path, capsys):
    gray, history = picture_file(tmp_path / "gray.png"), str(run / "history.txt")
    Image.new("RGBA", (16, 12)).save(tmp_path / "screenshot.png")
    (tmp_path / "bad.txt").write_text("epoch loss\n")
    (tmp_path / "no.png").write_text("text")
    target = ["--ground_truth", str(gray)]
    screenshot = str(tmp_path / "screenshot.png")
    for arguments, message in (
        ([str(tmp_path / "none.txt")], "there is no history"),
        ([str(tmp_path / "bad.txt")], "bad.txt, line 1: expected numbers"),
        ([str(gray)], "gray.png: not a text file"),
        ([history, *target], "give both --ground_truth and --prediction"),
        ([history, *target, "--prediction", screenshot], "the images must have one shape"),
        ([history, "--ground_truth", screenshot, "--prediction", screenshot], "alpha"),
        ([history, *target, "--prediction", "none.png"], "there is no image none.png"),
        ([history, *target, "--prediction", str(tmp_path / "no.png")], "is not an image that can be read"),
    ):
        assert main(["analyze", *arguments]) == 2
        assert message in last_error(capsys, "analyze")
