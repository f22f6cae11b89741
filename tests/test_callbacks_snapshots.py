"""Callbacks that render during a fit: SavePictureAt and WatchFit."""

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import load_learner
from learners import picture, pixel_learner, plain_learner, quiet, same, weights
from PIL import Image

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.save_picture_at import USABILITY_LEVELS, SavePictureAt
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.watch_fit import WatchFit
from siren_fastai.data import PixelDataLoaders
from siren_fastai.images import load_image, to_uint8
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr

# SavePictureAt


def test_usability_levels_are_the_notes():
    assert [round(level, 1) for level in USABILITY_LEVELS.values()] == [23.9, 29.9, 43.9]


def test_images_are_saved_once_when_a_level_is_first_reached(tmp_path):
    learn = pixel_learner(tmp_path, cbs=[MetricHistory(), SavePictureAt(tmp_path / "levels", levels=(8.0, 12.0, 90.0))])
    learn.fit(8, 3e-3)
    saved, table = learn.save_picture_at.saved, learn.metric_history.to_frame()
    assert set(saved) == {8.0, 12.0}
    for level, (path, epoch, quality) in saved.items():
        assert epoch == (table.psnr >= level).idxmax() and quality == pytest.approx(table.psnr[epoch], abs=1e-3)
        assert psnr(load_image(path), picture()) == pytest.approx(quality, abs=0.2)


def test_saving_images_needs_images(tmp_path):
    with pytest.raises(ValueError, match="from_image"):
        plain_learner(tmp_path).fit(1, cbs=SavePictureAt(tmp_path))
    with pytest.raises(ValueError, match="`levels`"):
        SavePictureAt(levels=())


@pytest.mark.parametrize("make", [SavePictureAt, WatchFit])
def test_snapshots_are_due_after_the_first_epoch_every_few_and_the_last(tmp_path, make):
    """Both callbacks have the same `every` and the same `size` as `render`."""
    callback = make(every=2, size=20)
    learn = pixel_learner(tmp_path, cbs=callback)
    due = []

    class Note(Callback):
        order = callback.order + 1

        def after_epoch(self):
            due.append(callback.due)

    learn.fit(4, 1e-3, cbs=Note())
    assert due == [True, False, True, True]


def test_a_fit_that_ends_early_has_its_last_frame(tmp_path):
    learn = pixel_learner(tmp_path, cbs=[WatchFit(tmp_path / "fit.gif", every=50), StopAt("psnr", 8.5)])
    learn.fit(30, 3e-3)
    assert 1 < len(learn.recorder.values) < 30 and len(learn.watch_fit.frames) == 2
    assert np.array_equal(learn.watch_fit.frames[-1], to_uint8(learn.render()))


def test_a_level_that_is_reached_as_a_fit_ends_early_is_saved(tmp_path):
    learn = pixel_learner(tmp_path, cbs=[SavePictureAt(tmp_path, levels=(8.0,), every=50), StopAt("psnr", 8.5)])
    learn.fit(30, 3e-3)
    assert learn.save_picture_at.saved[8.0][1] == learn.stop_at.reached["epoch"] > 0


def test_the_files_and_frames_have_the_size_that_render_gives(tmp_path):
    cbs = [SavePictureAt(tmp_path, levels=(1.0,), size=20), WatchFit(tmp_path / "fit.gif", size=20)]
    learn = pixel_learner(tmp_path, cbs=cbs)
    learn.fit(1, 1e-3)
    assert learn.render(20).shape == (24, 20, 3)
    assert load_image(tmp_path / "at_1.0dB.png").shape == (24, 20, 3)
    assert [frame.size for frame in learn.watch_fit.frames] == [(20, 24)]


@pytest.mark.parametrize("make", [SavePictureAt, WatchFit])
@pytest.mark.parametrize(
    "options, name", [(dict(every=0), "`every`"), (dict(size=0), "`size`"), (dict(size=(4,)), "`size`")]
)
def test_bad_options_of_snapshots_are_named_before_any_fit(make, options, name):
    with pytest.raises(ValueError, match=name):
        make(**options)


# WatchFit


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_animation_has_a_frame_per_snapshot(tmp_path, suffix):
    path = tmp_path / f"fit{suffix}"
    learn = pixel_learner(tmp_path, cbs=WatchFit(path, every=2, size=(24, 20)))
    learn.fit(5, 1e-2)
    with Image.open(path) as animation:
        assert animation.n_frames == 3 and animation.size == (20, 24)


@pytest.mark.parametrize("make", [lambda path: SavePictureAt(path), lambda path: WatchFit(path / "fit.gif")])
def test_images_without_a_grid_are_refused_before_training(tmp_path, make):
    learn = pixel_learner(tmp_path, dims=(1, 8, 3), coords="line")
    before = weights(learn)
    with pytest.raises(ValueError, match="on a grid"):
        learn.fit(1, cbs=make(tmp_path))
    assert same(before, weights(learn))


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 255.0)])
def test_images_in_any_range_are_saved_and_watched_from_black_to_white(tmp_path, low, high):
    values = np.round(picture() * 255) / 255 * (high - low) + low
    model = siren_model([2, 16, 3])
    with torch.no_grad():
        model[-1].weight.mul_(high - low)
        model[-1].bias.fill_(0.75 * (high - low) + low)
    cbs = [SavePictureAt(tmp_path, levels=(1.0,)), WatchFit(tmp_path / "fit.gif"), MetricHistory()]
    dls = PixelDataLoaders.from_array(values, path=tmp_path, value_range=(low, high))
    learn = quiet(siren_learner(dls, model, cbs=cbs))
    learn.fit(1, 0.0)
    path, _, quality = learn.save_picture_at.saved[1.0]
    assert quality == pytest.approx(learn.metric_history.rows[0]["psnr"], abs=1e-3)
    seen = (learn.render() - low) / (high - low)
    assert seen.std() > 0.03 and (load_image(path) - seen).abs().max() < 0.01
    frame = load_image(learn.watch_fit.frames[0])
    assert (frame - seen).abs().max() < 0.01


def test_levels_in_db_need_a_stated_range_and_watching_does_not(tmp_path):
    dls = PixelDataLoaders.from_array(picture() * 7 - 3, path=tmp_path)
    learn = quiet(siren_learner(dls, siren_model([2, 8, 3])))
    with pytest.raises(ValueError, match="give `from_array` a `value_range`"):
        learn.fit(1, cbs=SavePictureAt(tmp_path))
    watch = WatchFit(tmp_path / "fit.gif")
    learn.fit(1, cbs=watch)
    assert len(watch.frames) == 1


def test_frames_are_not_exported(tmp_path):
    learn = pixel_learner(tmp_path, cbs=WatchFit(tmp_path / "fit.gif"))
    learn.fit(2, 1e-2)
    learn.export("learner.pkl")
    loaded = load_learner(tmp_path / "learner.pkl").watch_fit
    assert len(learn.watch_fit.frames) == 2 and loaded.frames == [] and loaded.display is None
    assert loaded.path == tmp_path / "fit.gif"


def test_watch_fit_names_bad_options():
    with pytest.raises(ValueError, match=".webp or .gif"):
        WatchFit("fit.mp4")
    with pytest.raises(ValueError, match="`fps`"):
        WatchFit(fps=0)
