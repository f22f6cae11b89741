"""One fit from Python: settings in, a folder out; without a command line."""

import json
import math

import numpy as np
import pytest
import torch
from cli_runs import check_same_fit, levels_of, picture_file, same, weights
from cli_runs import fit as fit_by_command
from fastai.callback.core import Callback

from siren_fastai.analysis.history import COLUMNS, read_history
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits import record
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.fit import FitDiverged, FitInterrupted, fit_image, prepare_fit
from siren_fastai.fits.folder import MARKER
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.state import Checkpoint
from siren_fastai.images import load_image, to_uint8

pytestmark = pytest.mark.numerics

TINY = dict(hidden_features=8, hidden_layers=1, epochs=2, bs=50, device="cpu")


@pytest.fixture
def rgb(tmp_path):
    return picture_file(tmp_path / "rgb.png", 12, 16, 3)


def quietly(settings, **options):
    return fit_image(settings, say=lambda line: None, **options)


class Interrupt(Callback):
    """Ctrl-C in the middle of an epoch."""

    order = 100

    def after_step(self):
        if (self.epoch, self.iter) == (3, 1):
            raise KeyboardInterrupt


def test_a_fit_returns_what_it_writes(tmp_path, rgb):
    lines = []
    folder = tmp_path / "run"
    result = fit_image(FitSettings(rgb, folder, evaluate=True, plot_history=True, **TINY), say=lines.append)
    assert result.folder == folder and all((folder / name).is_file() for name in result.files)
    assert set(result.files) >= {"history.txt", "predicted_image.png", "metrics.json", "history.png"}
    assert tuple(result.history.columns) == COLUMNS and len(result.history) == 2
    np.testing.assert_array_equal(read_history(folder / "history.txt"), result.history)
    np.testing.assert_array_equal(levels_of(folder / "predicted_image.png"), to_uint8(result.image))
    np.testing.assert_array_equal(levels_of(folder / "target.png"), to_uint8(result.target))
    error = float((result.image.double() - result.target.double()).square().mean())
    assert result.scores["mse"] == pytest.approx(error) == result.metrics["standard"]["mse"]
    assert json.loads((folder / "metrics.json").read_text())["standard"] == pytest.approx(result.metrics["standard"])
    assert torch.equal(result.checkpoint.render(), result.image) and result.seconds > 0
    assert f"PSNR {result.scores['psnr']:.2f} dB" in repr(result) and "12x16 pixels, RGB" in lines[0]
    assert same(weights(folder), result.checkpoint.model.state_dict())


def test_the_command_line_does_the_same_fit(tmp_path, rgb):
    quietly(FitSettings(rgb, tmp_path / "python", seed=3, **TINY))
    arguments = ["--hidden_features", "8", "--hidden_layers", "1", "--bs", "50", "--device", "cpu", "--seed", "3"]
    assert fit_by_command(tmp_path, "--image_filepath", rgb, *arguments, name="command") == 0
    assert same(weights(tmp_path / "python"), weights(tmp_path / "command"))
    python, command = (json.loads((tmp_path / name / "options.json").read_text()) for name in ("python", "command"))
    assert {**python, "experiment_name": "command"} == command


@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.numpy(), lambda x: (255 * x).round().byte().numpy()])
def test_images_need_not_be_files(tmp_path, rgb, convert):
    image = load_image(rgb)
    result = quietly(FitSettings(convert(image), tmp_path / "run", **TINY))
    torch.testing.assert_close(result.target, image)


def test_the_presets_fill_what_is_open_and_only_that(tmp_path, rgb):
    fit = prepare_fit(FitSettings(rgb, tmp_path / "run", preset="official", size=16, epochs=3), say=lambda line: None)
    settings = fit.settings
    assert (settings.lr, settings.epochs, settings.bs, settings.color) == (1e-4, 3, "all", "gray")
    assert fit.target.shape == (16, 16, 1) and len(fit.learn.dls.train) == 1
    assert fit.learn.dls.train_ds.value_range == (-1.0, 1.0) and fit.learn.model.kind == "sine"


def test_the_fast_preset_starts_at_the_mean_colour_whatever_the_widths(tmp_path, rgb):
    for name, sizes in (("own", {}), ("small", dict(hidden_features=8, hidden_layers=1))):
        result = quietly(FitSettings(rgb, tmp_path / name, epochs=0, **sizes))
        difference = result.image.mean((0, 1)) - result.target.mean((0, 1))
        assert difference.abs().max() < 0.05


def test_the_learner_of_a_finished_fit_is_an_ordinary_one(tmp_path, rgb):
    result = quietly(FitSettings(rgb, tmp_path / "run", **TINY))
    before = (tmp_path / "run" / "history.txt").read_text()
    with result.learn.no_bar(), result.learn.no_logging():
        result.learn.fit(1)
        assert math.isfinite(result.learn.validate()[0])
    assert (tmp_path / "run" / "history.txt").read_text() == before


def test_an_interrupted_fit_says_how_to_continue_and_does(tmp_path, rgb):
    settings = {**TINY, "epochs": 6}
    quietly(FitSettings(rgb, tmp_path / "whole", **settings))
    with pytest.raises(FitInterrupted, match="in epoch 3; continue with .*resume=True") as caught:
        quietly(FitSettings(rgb, tmp_path / "run", **settings), cbs=[Interrupt()])
    assert caught.value.epoch == 3 and caught.value.folder == tmp_path / "run"
    result = quietly(FitSettings(folder=tmp_path / "run", resume=True))
    assert result.checkpoint.epoch == 6 and result.settings.epochs == 6
    check_same_fit(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.numpy()])
def test_an_image_that_was_no_file_is_given_again_to_resume(tmp_path, rgb, convert):
    image = convert(load_image(rgb))
    quietly(FitSettings(image, tmp_path / "run", schedule="constant", **TINY))
    with pytest.raises(ValueError, match="`image` was not a file: give the same image again"):
        quietly(FitSettings(folder=tmp_path / "run", resume=True, epochs=3))
    result = quietly(FitSettings(image, folder=tmp_path / "run", resume=True, epochs=3))
    assert result.checkpoint.epoch == 3 and torch.equal(result.target, torch.as_tensor(image))


def test_a_fit_is_resumed_with_its_own_image(tmp_path, rgb):
    quietly(FitSettings(str(rgb), tmp_path / "run", **TINY))
    assert quietly(FitSettings(rgb, tmp_path / "run", resume=True)).checkpoint.epoch == 2
    for other in ("other.png", load_image(rgb).numpy()):
        with pytest.raises(ValueError, match="`image` was .*rgb.png' in this fit, got another"):
            quietly(FitSettings(other, tmp_path / "run", resume=True))


def test_a_fit_that_diverges_keeps_the_last_complete_state(tmp_path, rgb):
    settings = {**TINY, "epochs": 50, "lr": 1e30, "kind": "relu", "schedule": "constant"}
    with pytest.raises(FitDiverged, match="the training diverged: .* Give a smaller `lr` than 1e") as caught:
        quietly(FitSettings(rgb, tmp_path / "run", **settings))
    current = load_checkpoint(tmp_path / "run" / "checkpoints" / "model_current.safetensors")
    assert current.epoch == caught.value.epoch and current.render().isfinite().all()


def test_a_fit_starts_from_a_checkpoint_in_memory(tmp_path, rgb):
    first = quietly(FitSettings(rgb, tmp_path / "a", **TINY))
    again = quietly(FitSettings(rgb, tmp_path / "b", start=first.checkpoint, **{**TINY, "epochs": 0}))
    assert torch.equal(again.image, first.image)
    with pytest.raises(ValueError, match="`hidden_features` cannot change the network of `start`"):
        quietly(FitSettings(rgb, tmp_path / "c", start=first.checkpoint, hidden_features=9))
    sound = Checkpoint(first.checkpoint.model, (9,))
    with pytest.raises(ValueError, match="`start` must be a network of an image"):
        quietly(FitSettings(rgb, tmp_path / "c", start=sound))


def test_folders_with_contents_are_kept_unless_asked(tmp_path, rgb):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match='is not empty: give overwrite="erase"'):
        quietly(FitSettings(rgb, tmp_path / "run", **TINY))
    result = quietly(FitSettings(rgb, tmp_path / "run", overwrite="number", **TINY))
    assert result.folder == tmp_path / "run_002" and (tmp_path / "run" / "mine.txt").is_file()
    with pytest.raises(ValueError, match="was not written by a fit"):
        quietly(FitSettings(rgb, tmp_path / "run", overwrite="erase", **TINY))
    (tmp_path / "run" / MARKER).touch()
    quietly(FitSettings(rgb, tmp_path / "run", overwrite="erase", **TINY))
    assert not (tmp_path / "run" / "mine.txt").exists()


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("bs", [50, "all"])
def test_a_fit_with_nothing_to_write_leaves_the_old_one_as_it_was(tmp_path, rgb, epochs, bs):
    first = quietly(FitSettings(rgb, tmp_path / "run", **TINY))
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    first.checkpoint.model.load_state_dict({k: v * math.inf for k, v in first.checkpoint.model.state_dict().items()})
    settings = dict(start=first.checkpoint, epochs=epochs, bs=bs)
    with pytest.raises(FitDiverged, match="nothing was written: the network starts like that. Check `omega_0`"):
        quietly(FitSettings(rgb, tmp_path / "run", overwrite="erase", **settings))
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == files
    with pytest.raises(FitDiverged):
        quietly(FitSettings(rgb, tmp_path / "new", **settings))
    assert not (tmp_path / "new").exists()


class End(Callback):
    """Ctrl-C once and, while the first one is on its way, again."""

    def after_step(self):
        if (self.epoch, self.iter) == (1, 0):
            try:
                raise KeyboardInterrupt
            finally:
                raise KeyboardInterrupt


def test_ctrl_c_twice_and_once_more_while_the_state_is_written(tmp_path, rgb, monkeypatch):
    saving, calls = record.save_checkpoint, []

    def save(*args):
        calls.append(args)
        if len(calls) == 2:  # the first is the state that the fit starts with
            raise KeyboardInterrupt
        return saving(*args)

    monkeypatch.setattr(record, "save_checkpoint", save)
    with pytest.raises(FitInterrupted):
        quietly(FitSettings(rgb, tmp_path / "run", **{**TINY, "epochs": 3}), cbs=[End()])
    assert quietly(FitSettings(folder=tmp_path / "run", resume=True)).checkpoint.epoch == 3


def test_ctrl_c_after_the_training_loses_only_the_outputs(tmp_path, rgb, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(FitInterrupted, match="in epoch 2; continue with"):
        patched.setattr("siren_fastai.fits.outputs.save_image", interrupted)
        quietly(FitSettings(rgb, tmp_path / "run", **TINY))
    assert not (tmp_path / "run" / "predicted_image.png").exists()
    quietly(FitSettings(folder=tmp_path / "run", resume=True))
    assert (tmp_path / "run" / "predicted_image.png").is_file()


def test_a_fit_without_epochs_can_be_resumed(tmp_path, rgb):
    quietly(FitSettings(rgb, tmp_path / "run", **{**TINY, "epochs": 0}, schedule="constant"))
    assert quietly(FitSettings(folder=tmp_path / "run", resume=True)).checkpoint.epoch == 0
    assert quietly(FitSettings(folder=tmp_path / "run", resume=True, epochs=2)).checkpoint.epoch == 2


@pytest.mark.parametrize("fails", ["save_checkpoint", "save_image"])
def test_a_fit_that_dies_while_it_takes_a_folder_over_leaves_a_state_to_resume(tmp_path, rgb, monkeypatch, fails):
    def full(*args):
        raise OSError(28, "No space left on device")

    quietly(FitSettings(rgb, tmp_path / "run", **{**TINY, "epochs": 3}))
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(record, fails, full)
        quietly(FitSettings(rgb, tmp_path / "run", overwrite="erase", **TINY))
    epochs = 3 if fails == "save_checkpoint" else 2  # the old fit, or the new one
    assert quietly(FitSettings(folder=tmp_path / "run", resume=True)).checkpoint.epoch == epochs


def test_a_folder_is_free_again_after_the_fit_and_after_its_failure(tmp_path, rgb):
    settings = FitSettings(rgb, tmp_path / "run", **TINY)
    waiting = prepare_fit(settings, lambda text: None)
    with pytest.raises(BlockingIOError, match="another process is writing to .*run"):
        quietly(settings)
    waiting.run()
    assert quietly(FitSettings(folder=tmp_path / "run", resume=True)).checkpoint.epoch == 2
    (tmp_path / "run" / "history.txt").write_text("")
    for _ in range(2):
        with pytest.raises(ValueError, match="history"):
            quietly(FitSettings(folder=tmp_path / "run", resume=True))


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (dict(image="nowhere.png"), FileNotFoundError, "`image`: there is no file nowhere.png"),
        (dict(image=np.full((9, 9), 300)), TypeError, "`image`: "),
        (dict(device="cuda:99"), ValueError, "`device` cuda:99: not available here"),
        (dict(size=3), ValueError, "SSIM needs 7x7: give a larger `image` or `size`"),
        (dict(scheme=99), ValueError, "`scheme` must be a number from 1 to"),
        (dict(start="none.safetensors"), FileNotFoundError, "`start`: there is no file"),
    ],
)
def test_what_cannot_be_met_is_refused_before_the_folder_is_touched(tmp_path, rgb, settings, error, message):
    with pytest.raises(error, match=message):
        quietly(FitSettings(**{"image": rgb, "folder": tmp_path / "run", **TINY, **settings}))
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_a_fit_open_in_a_learner(tmp_path, rgb):
    first = quietly(FitSettings(rgb, tmp_path / "run", schedule="constant", **TINY))
    current = load_checkpoint(tmp_path / "run" / "checkpoints" / "model_current.safetensors")
    dls = PixelDataLoaders.from_image(rgb, bs=50, device="cpu")
    learn = current.learner(dls, metrics=[])
    assert torch.equal(learn.render(), first.image)
    assert len(learn.opt.state_dict()["state"]) == len(list(learn.model.parameters()))  # Adam's moments came along
