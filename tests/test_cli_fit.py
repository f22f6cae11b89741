"""`siren-fastai fit`: what it trains, what it writes, and that it goes on where it stopped."""

import io
import json
import math
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from cli_runs import TINY, check_same_fit, fit, levels_of, picture_file, same, weights
from fastai.callback.core import Callback
from fastai.torch_core import set_seed
from skimage.metrics import structural_similarity

from siren_fastai.analysis.history import read_history
from siren_fastai.cli.main import main
from siren_fastai.cli.terminal import ProgressLine
from siren_fastai.coords import grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.folder import MARKER
from siren_fastai.images import load_image, to_uint8
from siren_fastai.learner import siren_learner
from siren_fastai.locks import LOCK
from siren_fastai.models.siren import siren_model
from siren_fastai.names import MODEL_KINDS, OPTIMIZER_NAMES
from siren_fastai.progress import Progress

OFFICIAL = ["--preset", "official", "--sidelength", "16"]


@pytest.fixture
def gray(tmp_path):
    return picture_file(tmp_path / "gray.png")


@pytest.fixture
def rgb(tmp_path):
    return picture_file(tmp_path / "rgb.png", 12, 16, 3)


def final(root, name="run", which="final"):
    return load_checkpoint(root / name / "checkpoints" / f"model_{which}.safetensors")


# --- the note's run


def official_by_hand(path, epochs, lr=1e-4):
    """Note 003's training in plain torch: values in [-1, 1], all pixels at once, Adam; rows before each update."""
    set_seed(0, reproducible=True)
    net = siren_model([2, 256, 256, 256, 256, 1])
    values = 2 * load_image(path).view(-1, 1) - 1
    coords, optimizer, rows = grid_coords((16, 16), "corners"), torch.optim.Adam(net.parameters(), lr=lr), []
    for epoch in range(epochs):
        pred = net(coords)
        loss = (pred - values).square().mean()
        pair = [t.detach().numpy().astype(np.float64).reshape(16, 16) for t in (values, pred)]
        rows.append([epoch, loss.item(), -10 * math.log10(loss.item()), structural_similarity(*pair, data_range=1.0)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(rows), net


def test_the_official_preset_is_the_notes_training(tmp_path, gray):
    assert fit(tmp_path, *OFFICIAL, "--image_filepath", gray, "--metric_convention", "note", epochs=6) == 0
    rows, net = official_by_hand(gray, 6)
    found = read_history(tmp_path / "run" / "history.txt").to_numpy()
    assert found.shape == (6, 4)
    np.testing.assert_allclose(found, rows, rtol=2e-4, atol=1e-5)
    trained = final(tmp_path)
    for theirs, ours in zip(net.state_dict().values(), trained.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-3)
    assert sum(p.numel() for p in trained.model.parameters()) == 198_401
    assert trained.grid == "corners" and trained.value_range == (-1.0, 1.0) and trained.size == (16, 16)


def test_the_conventions_tell_of_one_fit(tmp_path, gray):
    for convention in ("note", "standard"):
        arguments = [*OFFICIAL, *TINY, "--image_filepath", gray, "--metric_convention", convention]
        assert fit(tmp_path, *arguments, name=convention) == 0
    note, standard = (read_history(tmp_path / name / "history.txt").to_numpy() for name in ("note", "standard"))
    np.testing.assert_allclose(note[:, 1], 4 * standard[:, 1])
    np.testing.assert_allclose(note[:, 2], -10 * np.log10(note[:, 1]))
    assert np.all(standard[:, 2] >= note[:, 2] + 20 * math.log10(2) - 1e-9)  # the standard one clamps to [0, 1]


def test_the_default_picture_is_the_camera_and_sidelength_holds_for_it(tmp_path, capsys):
    assert fit(tmp_path, *OFFICIAL, *TINY, epochs=1) == 0
    assert levels_of(tmp_path / "run" / "target.png").shape == (16, 16)
    assert "16x16 pixels, gray, 1 steps an epoch" in capsys.readouterr().out


# --- what is written


def test_a_fit_writes_everything_of_the_list(tmp_path, rgb, capsys):
    arguments = ["--image_filepath", rgb, *TINY, "--bs", "50", "--epochs_til_ckpt", "2", "--steps_til_summary", "6"]
    assert fit(tmp_path, *arguments, "--evaluate", "--show_graphics", epochs=5) == 0
    run, printed = tmp_path / "run", capsys.readouterr().out
    states = {
        f"model_{name}.{kind}"
        for name in ("current", "final", "epoch_0002", "epoch_0004")
        for kind in ("json", "safetensors")
    }
    assert {p.name for p in (run / "checkpoints").iterdir()} == states
    pictures = {"target.png", "predicted_image.png", "predicted_image_with_metrics.png", "history.png"}
    others = {"checkpoints", "summaries", "history.txt", "metrics.json", "options.json"}
    assert {p.name for p in run.iterdir()} == pictures | others | {MARKER, LOCK}
    history = np.loadtxt(run / "history.txt")
    assert history[:, 0].tolist() == [0, 1, 2, 3, 4] and np.isfinite(history).all()
    assert (run / "history.txt").read_text().startswith("# Epoch\ttrain_loss(MSE)\ttrain_psnr (db)\ttrain_ssim\n")
    line = r"Epoch (\d+), Total loss \d\.\d{6}, Total PSNR \d+\.\d{6}, Total SSIM -?\d\.\d{6}, iteration time \d\.\d{6}"
    assert [int(n) for n in re.findall(f"^{line}$", printed, re.M)] == [0, 1, 3, 4]  # steps 0, 6, 12, 18, 4 an epoch
    assert json.loads((run / "options.json").read_text())["bs"] == 50


def test_raw_predictions_and_scores_are_of_the_final_network(tmp_path, rgb):
    assert fit(tmp_path, "--image_filepath", rgb, *TINY, "--evaluate") == 0
    run, target = tmp_path / "run", load_image(rgb)
    np.testing.assert_array_equal(levels_of(run / "target.png"), levels_of(rgb))
    picture = final(tmp_path).render()
    np.testing.assert_array_equal(levels_of(run / "predicted_image.png"), to_uint8(picture))
    metrics = json.loads((run / "metrics.json").read_text())
    error = float((picture.double() - target.double()).square().mean())
    assert metrics["standard"]["mse"] == pytest.approx(error)
    assert metrics["standard"]["psnr"] == pytest.approx(-10 * math.log10(error))
    pair = [x.double().numpy() for x in (target, picture)]
    assert metrics["standard"]["ssim"] == pytest.approx(structural_similarity(*pair, data_range=1, channel_axis=-1))
    assert metrics["note"]["mse"] == pytest.approx(4 * error) and metrics["size"] == [12, 16]
    n = 2 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3
    assert metrics["parameters"] == n and metrics["bits_per_pixel"] == pytest.approx(32 * n / 192)
    jpeg = metrics["jpeg_of_equal_psnr"]
    assert jpeg["psnr"] >= metrics["standard"]["psnr"] and jpeg["bytes"] > 100


def test_steps_samples_and_seconds_are_logged(tmp_path, rgb):
    assert fit(tmp_path, "--image_filepath", rgb, *TINY, "--bs", "50") == 0
    steps = np.loadtxt(tmp_path / "run" / "summaries" / "steps.txt")
    np.testing.assert_array_equal(steps[:, :3], [[0, 0, 0], [1, 4, 192], [2, 8, 384]])
    assert (np.diff(steps[:, 3]) > 0).all()


@pytest.mark.parametrize("mode, shape", [("stretch", (8, 8, 3)), ("crop", (8, 8, 3)), ("keep", (8, 11, 3))])
def test_resize_modes_take_pictures_of_any_proportions(tmp_path, rgb, mode, shape):
    arguments = ["--image_filepath", rgb, *TINY, "--sidelength", "8", "--resize_mode", mode]
    assert fit(tmp_path, *arguments, epochs=1) == 0
    assert levels_of(tmp_path / "run" / "predicted_image.png").shape == shape


@pytest.mark.parametrize("color, channels", [("gray", 1), ("rgb", 3), ("auto", 1)])
def test_colors(tmp_path, gray, color, channels):
    assert fit(tmp_path, "--image_filepath", gray, *TINY, "--color", color, epochs=1) == 0
    assert final(tmp_path).model.config["n_out"] == channels


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_model_type_trains_evaluates_and_reloads(tmp_path, kind, n_out, gray, rgb, monkeypatch):
    monkeypatch.setattr("siren_fastai.fits.outputs.save_figure", lambda figure, path: None)  # drawn elsewhere
    path = {1: gray, 3: rgb}[n_out]
    arguments = [*TINY, "--sidelength", "8", "--image_filepath", path, "--model_type", kind, "--evaluate"]
    assert fit(tmp_path, *arguments, "--preset", "official", "--color", "auto") == 0
    rows = read_history(tmp_path / "run" / "history.txt").to_numpy()
    assert len(rows) == 2 and np.isfinite(rows).all()
    again = final(tmp_path)
    assert again.model.kind == kind and again.model.config["n_out"] == n_out
    np.testing.assert_array_equal(
        levels_of(tmp_path / "run" / "predicted_image.png").reshape(8, 8, n_out), to_uint8(again.render())
    )
    assert math.isfinite(json.loads((tmp_path / "run" / "metrics.json").read_text())["standard"]["psnr"])


@pytest.mark.parametrize(
    "arguments", [["--optimizer", name] for name in OPTIMIZER_NAMES] + [["--scheme", "33"], ["--omega_0", "10"]]
)
def test_optimisers_and_initialisations(tmp_path, gray, arguments):
    assert fit(tmp_path, "--image_filepath", gray, *TINY, *arguments) == 0
    assert read_history(tmp_path / "run" / "history.txt").shape == (2, 4)


@pytest.mark.numerics
def test_the_fast_preset_is_the_librarys_own_fit(tmp_path, gray):
    """One batch holds all 256 pixels, so there is no order of batches in which the two could differ."""
    assert fit(tmp_path, "--image_filepath", gray, "--seed", "3", epochs=3) == 0
    set_seed(3, reproducible=True)
    learn = siren_learner(PixelDataLoaders.from_image(gray, device="cpu"), metrics=[])
    assert len(learn.dls.train) == 1
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(3)
    for ours, theirs in zip(weights(tmp_path / "run").values(), learn.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


# --- the same again, and going on


@pytest.mark.numerics
def test_the_same_seed_gives_the_same_history_and_another_another(tmp_path, rgb):
    arguments = ["--image_filepath", rgb, *TINY, "--bs", "50"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fit(tmp_path, *arguments, "--seed", seed, name=name, epochs=3) == 0
    texts = [(tmp_path / name / "history.txt").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2] and same(weights(tmp_path / "a"), weights(tmp_path / "b"))


class Interrupt(Callback):
    """Ctrl-C in the middle of an epoch."""

    order, at, error = 100, (3, 1), KeyboardInterrupt

    def after_step(self):
        if (self.epoch, self.iter) == self.at:
            raise self.error


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupt fits until `stop()`."""
    from siren_fastai.learner import PixelLearner

    fitting = PixelLearner.fit

    def start(at=(3, 1)):
        def fit(self, *args, cbs=None, **kwargs):
            callback = Interrupt()
            callback.at = at
            self.add_cb(callback)
            return fitting(self, *args, cbs=cbs, **kwargs)

        monkeypatch.setattr(PixelLearner, "fit", fit)

    start.stop = lambda: monkeypatch.setattr(PixelLearner, "fit", fitting)
    return start


CASES = [(schedule, "adam", 50) for schedule in ("one_cycle", "flat_cos", "constant")]
CASES += [("one_cycle", name, 50) for name in OPTIMIZER_NAMES[1:]] + [("constant", "adam", 1000)]


@pytest.mark.numerics
@pytest.mark.parametrize("schedule, optimizer, bs", CASES)
def test_a_fit_that_was_interrupted_goes_on_as_if_it_was_not(tmp_path, rgb, interrupt, capsys, schedule, optimizer, bs):
    arguments = ["--image_filepath", rgb, *TINY, "--bs", bs, "--schedule", schedule, "--optimizer", optimizer]
    assert fit(tmp_path, *arguments, name="whole", epochs=6) == 0
    interrupt((3, 0 if bs > 192 else 1))
    assert fit(tmp_path, *arguments, epochs=6) == 130
    error = capsys.readouterr().err
    assert "interrupted in epoch 3" in error and "--experiment_name run --resume" in error and "Traceback" not in error
    assert len(read_history(tmp_path / "run" / "history.txt")) == 3 and final(tmp_path, which="current").epoch == 3
    interrupt.stop()
    assert fit(tmp_path, "--resume", epochs=None) == 0
    check_same_fit(tmp_path / "run", tmp_path / "whole")


@pytest.mark.numerics
def test_a_constant_schedule_can_be_made_longer(tmp_path, gray):
    arguments = [*OFFICIAL, *TINY, "--image_filepath", gray]
    assert fit(tmp_path, *arguments, name="whole", epochs=5) == 0
    assert fit(tmp_path, *arguments, epochs=2) == 0
    assert fit(tmp_path, "--resume", epochs=5) == 0
    assert final(tmp_path).epoch == 5
    check_same_fit(tmp_path / "run", tmp_path / "whole")


@pytest.mark.numerics
def test_a_finished_experiment_has_nothing_to_resume(tmp_path, gray, capsys):
    assert fit(tmp_path, "--image_filepath", gray, *TINY) == 0
    before = (tmp_path / "run" / "history.txt").read_text(), weights(tmp_path / "run")
    assert fit(tmp_path, "--resume", "--evaluate", epochs=None) == 0
    assert "2 epochs are done already" in capsys.readouterr().out
    assert (tmp_path / "run" / "history.txt").read_text() == before[0] and same(weights(tmp_path / "run"), before[1])


@pytest.mark.slow
def test_ctrl_c_in_a_real_process_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, gray):
    import signal

    command = [sys.executable, "-m", "siren_fastai.cli", "fit", "--experiment_name", str(tmp_path / "run"), *TINY]
    command += [
        "--image_filepath",
        str(gray),
        "--num_epochs",
        "1000000",
        "--steps_til_summary",
        "10",
        "--preset",
        "official",
    ]
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, handler)
    with process:
        try:
            for line in process.stdout:
                if line.startswith("Epoch 20,"):
                    break
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and "Traceback" not in error and "--resume" in error
    epoch = final(tmp_path, which="current").epoch
    assert epoch >= 20 and len(read_history(tmp_path / "run" / "history.txt")) == epoch


# --- starting from a checkpoint


@pytest.mark.numerics
def test_checkpoint_path_initialises_and_zero_epochs_only_evaluate(tmp_path, gray):
    assert fit(tmp_path, "--image_filepath", gray, *TINY, name="a") == 0
    path = tmp_path / "a" / "checkpoints" / "model_final.safetensors"
    common = ["--image_filepath", gray, "--checkpoint_path", path]
    assert fit(tmp_path, *common, "--evaluate", name="b", epochs=0) == 0
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b")) and not (tmp_path / "b" / "history.txt").exists()
    np.testing.assert_array_equal(*(levels_of(tmp_path / n / "predicted_image.png") for n in "ab"))
    assert fit(tmp_path, *common, name="c", epochs=1) == 0
    row, scores = (
        read_history(tmp_path / "c" / "history.txt").iloc[0],
        json.loads((tmp_path / "b" / "metrics.json").read_text()),
    )
    assert row["train_psnr (db)"] == pytest.approx(scores["standard"]["psnr"], abs=1e-4)


def test_the_notes_example_line_runs_with_its_own_options(tmp_path, gray):
    line = f"""--model_type siren --y --num_epochs 3 --evaluate --show_graphics --sidelength 16 --steps_til_summary 5
        --experiment_name {tmp_path}/outputs --image_filepath {gray}"""
    assert main(["fit", *line.split()]) == 0
    assert (tmp_path / "outputs" / "metrics.json").is_file()


def test_no_epochs_write_the_untrained_network(tmp_path, gray):
    assert fit(tmp_path, "--image_filepath", gray, *TINY, epochs=0) == 0
    assert final(tmp_path).epoch == 0


def test_tensorboard_gets_every_epoch(tmp_path, gray, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, epoch):
            written.append((name, epoch))

        def close(self):
            written.append("closed")

    module = types.ModuleType("tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    assert fit(tmp_path, *TINY, "--image_filepath", gray, "--tensorboard") == 0
    names = ("train/loss", "train/psnr", "train/ssim", "train/lr")
    expected = [(name, epoch) for epoch in (0, 1) for name in names]
    assert written == [str(tmp_path / "run" / "summaries"), *expected, "closed"]


def test_a_terminal_shows_how_far_the_fit_is():
    stream = io.StringIO()
    stream.isatty = lambda: True
    line = ProgressLine(Progress(stream, every_s=0.0))
    line.learn = types.SimpleNamespace(pct_train=0.5, epoch=3, n_epoch=8)
    line.after_batch()
    assert "[###############               ]  epoch 4/8" in stream.getvalue()
    line.say("a line of the log")
    assert stream.getvalue().endswith("\r\033[K")
