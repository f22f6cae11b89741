"""Videos and volumes: frames from a folder or an array, a time axis of its own, and any frame rate."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from learners import quiet

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.figures import show_pictures
from siren_fastai.images import save_image
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR
from siren_fastai.models.siren import siren_model

pytestmark = pytest.mark.numerics


def video(n=12, height=6, width=8):
    """Gray frames (n, h, w, 3) that become brighter."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None] * 20, (n, height, width, 3)).copy()


def frames_folder(folder, n=12):
    folder.mkdir()
    for i, frame in enumerate(video(n)):
        save_image(frame.astype(np.float32) / 255, folder / f"frame{i}.png")
    return folder


def video_learner(source, **kwargs):
    dls = PixelDataLoaders.from_frames(source, **kwargs)
    return quiet(siren_learner(dls, siren_model([3, 8, dls.train_ds.n_channels])))


def test_a_folder_gives_its_frames_in_the_order_of_their_numbers(tmp_path):
    data = PixelDataLoaders.from_frames(frames_folder(tmp_path / "clip"), rate=24).train_ds
    assert data.shape == (12, 6, 8) and data.rate == 24 and data.value_range == (0, 1) and not data.is_sound
    np.testing.assert_allclose(data.to_picture(data.values), video() / 255, atol=1e-6)


def test_arrays_and_lists_of_files_are_frames_too(tmp_path):
    folder = frames_folder(tmp_path / "clip")
    some = PixelDataLoaders.from_frames([folder / "frame3.png", folder / "frame10.png"], mode="gray", size=4).train_ds
    assert some.shape == (2, 4, 4) and some.n_channels == 1
    np.testing.assert_allclose(some.values[:16], 60 / 255, atol=1e-6)
    volume = PixelDataLoaders.from_frames(torch.rand(4, 5, 6)).train_ds
    assert volume.shape == (4, 5, 6) and volume.n_channels == 1 and volume.rate is None
    np.testing.assert_allclose(PixelDataLoaders.from_frames(video()).train_ds.values, video().reshape(-1, 3) / 255)


@pytest.mark.parametrize(
    ("source", "options", "error", "match"),
    [
        (video(), {"size": 4}, ValueError, "bring the array itself"),
        (video()[0, ..., 0], {}, ValueError, r"frames must be \(frames, h, w\)"),
        (video(), {"mode": "cmyk"}, ValueError, "`mode` must be"),
        (video(), {"rate": 0}, ValueError, "`rate` must be"),
        (video(), {"time_scale": 0}, ValueError, "`time_scale` must be a number above 0"),
        (video(), {"value_range": (0, 1)}, TypeError, "leave `value_range` out"),
        (video() * 1.0, {}, ValueError, "must be in `value_range`"),
        ("missing", {}, FileNotFoundError, "isn't a folder"),
    ],
)
def test_what_is_no_video_is_an_error(source, options, error, match):
    with pytest.raises(error, match=match):
        PixelDataLoaders.from_frames(source, **options)


def test_a_video_is_rendered_at_any_frame_rate_and_size():
    learn = video_learner(video(), rate=24)
    assert isinstance(learn.metrics[0], PSNR)
    learn.fit(1)
    assert learn.render(rate=60).shape == (30, 6, 8, 3)
    assert learn.render(12, rate=12).shape == (6, 12, 16, 3)
    assert learn.render(rate=24, region=(0, -1, -1, 1, 1, 1)).shape == (6, 6, 8, 3)
    assert torch.equal(learn.render(rate=24), learn.render())
    third = learn.render(rate=72)[1::3]  # the middle of three frames lies where the original one does
    torch.testing.assert_close(third, learn.render(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="not both"):
        learn.render((3, 4, 4), rate=60)


def test_results_show_four_frames_each():
    learn = video_learner(video(), rate=24)
    learn.show_results()
    shown = {ax.get_title(): np.asarray(ax.images[0].get_array()) for ax in plt.gcf().axes if ax.get_title()}
    assert shown["target"].shape == (2 * 6 + 1, 2 * 8 + 1, 4)
    corners = shown["target"][[0, 0, -1, -1], [0, -1, 0, -1], 0]
    np.testing.assert_allclose(corners, np.array([1, 4, 7, 10]) * 20 / 255, atol=1e-6)
    assert shown["error"].shape == shown["target"].shape[:2]


def test_short_videos_show_each_frame():
    drawn = show_pictures({"two": torch.zeros(2, 3, 4, 1)}).axes[0].images[0].get_array()
    assert drawn.shape == (3, 9)


@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_the_first_frequencies_along_time_follow_its_scale(scale):
    def first(time_scale):
        torch.manual_seed(0)
        dls = PixelDataLoaders.from_frames(video(), rate=24, time_scale=time_scale)
        return next(fast_model(dls, (16, 16)).parameters())

    expected = first(1.0) * torch.tensor([scale, 1.0, 1.0])
    torch.testing.assert_close(first(scale), expected)


@pytest.mark.parametrize("n", [2, 8])
def test_memory_is_proportional_to_the_pixels_and_shared_by_both_loaders(n):
    dls = PixelDataLoaders.from_frames(video(n), rate=24)
    data = dls.train_ds
    assert dls.valid_ds is data
    assert sum(t.untyped_storage().nbytes() for t in (data.coords, data.values)) == n * 6 * 8 * (3 + 3) * 4
