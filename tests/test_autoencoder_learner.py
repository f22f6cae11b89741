"""The Learner of autoencoders: what it trains, what it makes of pictures, and how it works with fastai's parts."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.tracker import SaveModelCallback
from fastai.learner import load_learner
from learners import quiet, same, small_autoencoder, tile_learner, weights
from PIL import Image
from torch import nn
from torch.nn import functional as F

from siren_fastai.autoencoder.decoders.fields import FieldsDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.patches import PatchDecoder
from siren_fastai.autoencoder.default import default_lr
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.data import PictureDataLoaders
from siren_fastai.datasets.tiles import tile_images

pytestmark = pytest.mark.numerics


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A learner that has learned the colours and the large shapes of 80 tiles; tests must leave it as it is."""
    learn = tile_learner(tmp_path_factory.mktemp("trained"), decoder=dict(hidden=32), cbs=MetricHistory())
    learn.fit_one_cycle(18, 4e-3)
    return learn


@pytest.fixture
def tiles(trained):
    return trained.dls.valid_ds.images


def test_it_learns_and_validation_is_on_images_that_it_never_saw(trained):
    rows = trained.metric_history.rows
    assert rows[-1]["valid_loss"] < 0.75 * rows[0]["valid_loss"]
    train, valid = (data.images.flatten(1).tolist() for data in (trained.dls.train_ds, trained.dls.valid_ds))
    assert not {tuple(image) for image in train} & {tuple(image) for image in valid}


def test_the_validation_loss_is_the_l1_of_whole_images_in_eval_mode(trained, tiles):
    images = tiles / 255
    expected = (trained.model.eval()(images) - images).abs().mean().item()
    assert trained.validate()[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("positions", [None, 100])
def test_after_training_the_error_is_the_same_in_both_modes(tmp_path, positions):
    learn = tile_learner(tmp_path, positions=positions, flip=False, shift=0)
    learn.fit_one_cycle(20, 4e-3)
    images = learn.dls.train_ds[:40][0]
    with torch.no_grad():
        in_eval, in_train = (F.l1_loss(learn.model.train(mode)(images), images).item() for mode in (False, True))
    assert in_eval == pytest.approx(in_train, rel=0.1)


def test_codes_and_images_go_back_and_forth(trained, tiles):
    codes = trained.encode(tiles)
    assert codes.shape == (4, 8) and codes.dtype == torch.float32
    images = trained.decode(codes)
    expected = trained.model.eval()(tiles / 255).detach().clamp(0, 1)
    torch.testing.assert_close(images, expected)
    torch.testing.assert_close(trained.reconstruct(tiles), expected)
    torch.testing.assert_close(trained.decode(codes.numpy()), expected)
    torch.testing.assert_close(trained.decode(codes[1].tolist()), expected[1:2])


def test_a_code_gives_images_of_any_size(trained, tiles):
    codes = trained.encode(tiles)
    assert trained.decode(codes, (32, 20)).shape == (4, 3, 32, 20)
    large = trained.decode(codes, 31)  # every second pixel of 31 lies where one of 16 does
    torch.testing.assert_close(large[:, :, ::2, ::2], trained.decode(codes), atol=1e-5, rtol=0)


def test_using_it_leaves_the_mode_and_the_weights_as_they_were(trained, tiles):
    before = weights(trained)
    for mode in (True, False):
        trained.model.train(mode)
        trained.interpolate(tiles[0], tiles[1], 3)
        assert trained.model.training is trained.model.decoder.blocks.training is mode
    assert same(before, weights(trained))


def test_interpolation_goes_from_one_picture_to_the_other(trained, tiles):
    images = trained.interpolate(tiles[0], Image.fromarray(tiles[1].permute(1, 2, 0).numpy()), 5, shape=(20, 20))
    codes = trained.encode(tiles[:2])
    torch.testing.assert_close(images[[0, -1]], trained.decode(codes, (20, 20)))
    torch.testing.assert_close(images[2:3], trained.decode(codes.mean(0), (20, 20)))
    torch.testing.assert_close(trained.interpolate(*codes, 5, 20), images)


def test_predict_gives_fastais_triple(trained, tiles):
    decoded, again, raw = trained.predict(tiles[2])
    assert again is decoded and decoded.shape == (3, 16, 16)
    torch.testing.assert_close(decoded, trained.reconstruct(tiles[2])[0])
    torch.testing.assert_close(raw, trained.model.eval()(tiles[2:3] / 255)[0].detach())
    assert torch.equal(trained.predict(tiles[2], with_input=True)[0], tiles[2] / 255)


def titles():
    return [ax.get_title() for ax in plt.gcf().axes if ax.get_title()]


def test_results_are_drawn_at_both_sizes(trained, tmp_path):
    trained.show_results(max_n=2)
    assert titles() == ["image", "reconstruction", "drawn twice as large", "error"]
    sizes = [ax.images[0].get_array().shape[0] for ax in plt.gcf().axes[:4]]
    assert sizes == [16, 16, 32, 16]
    shape = (3, 16, 16)
    fixed = tile_learner(tmp_path, model=Autoencoder(EncoderConv2d(shape, 8, (4,)), PatchDecoder(shape, 8, 4, 4, 1, 8)))
    fixed.show_results(ds_idx=0, shuffle=True)
    assert titles() == ["image", "reconstruction", "error"]


WRONG = [
    (lambda learn: learn.encode(np.zeros((2, 16, 16))), "got images with 1 channel"),
    (lambda learn: learn.encode(np.zeros((9, 9, 3))), "got 9 x 9"),
    (lambda learn: learn.decode(torch.zeros(2, 9)), r"`code` must be \(n, 8\)"),
    (lambda learn: learn.decode(torch.zeros(0, 8)), r"`code` must be \(n, 8\)"),
    (lambda learn: learn.decode(torch.zeros(8), (0, 4)), "size"),
    (lambda learn: learn.interpolate(torch.zeros(8), torch.zeros(8), 1), "`n` must be an integer of 2"),
    (lambda learn: learn.interpolate(torch.zeros(8), torch.zeros(2, 3, 16, 16)), "`b` must be one picture"),
    (lambda learn: learn.interpolate(torch.zeros(8), torch.zeros(9)), "must be one image or a batch"),
    (lambda learn: learn.predict(torch.zeros(2, 3, 16, 16)), "`item` must be one picture"),
]


@pytest.mark.parametrize("use, words", WRONG)
def test_what_does_not_fit_is_a_clear_error(trained, use, words):
    with pytest.raises(ValueError, match=words):
        use(trained)


DEFAULTS = [  # pixels per side, code size, gray, decoder
    (16, 20, False, FieldsDecoder),
    (14, 11, True, FieldsDecoder),
    (16, None, False, ImageManifoldDecoder),  # 80 images have fewer components than 102
    (72, 11, True, ImageManifoldDecoder),
]


def tile_loaders(**options):
    images, groups = tile_images(84, size=16)
    return PictureDataLoaders.from_images(images, groups, 20, **options)


@pytest.mark.parametrize("size, code_size, gray, kind", DEFAULTS)
def test_the_default_network_fits_the_images_and_the_code_size(size, code_size, gray, kind):
    images, groups = tile_images(84, size=16)
    dls = PictureDataLoaders.from_images(images, groups, 20, size=size, gray=gray)
    learn = autoencoder_learner(dls, code_size=code_size)
    shape = (1 if gray else 3, size, size)
    assert learn.model.code_size == (code_size or 102) and learn.image_shape == shape
    assert isinstance(learn.model.decoder, kind) and learn.lr == default_lr(learn.model)
    assert learn.reconstruct(torch.zeros(shape)).shape == (1, *shape)
    assert learn.decode(torch.zeros(learn.model.code_size), 40).shape == (1, shape[0], 40, 40)


def test_the_default_network_starts_from_the_training_images(tmp_path):
    images, groups = tile_images(84, size=16)
    learn = quiet(autoencoder_learner(PictureDataLoaders.from_images(images, groups, 20, path=tmp_path), code_size=40))
    start = learn.validate()[0]
    assert start < 0.8 * (images[groups % 21 == 20] / 255).sub(images.float().mean() / 255).abs().mean()
    learn.fit_one_cycle(3)
    assert learn.validate()[0] < 1.05 * start
    learn.export("fields.pkl")
    loaded = quiet(load_learner(tmp_path / "fields.pkl"))
    torch.testing.assert_close(loaded.reconstruct(images[:3], 32), learn.reconstruct(images[:3], 32))


IMPOSSIBLE = [
    (dict(model=nn.Linear(3, 3)), TypeError, "`model` must have `encode` and `decode`"),
    (dict(model=small_autoencoder((1, 16, 16))), ValueError, "built for 1 channel"),
    (dict(model=small_autoencoder((3, 20, 16))), ValueError, "built for images of 20 x 16"),
    (dict(model=small_autoencoder(), code_size=9), ValueError, "`model` makes codes of 8"),
    (dict(loss="l3"), ValueError, "`loss` must be one of l1, l2"),
    (dict(spread=-1), ValueError, "`weight` must be"),
    (dict(positions=0), ValueError, "`count` must be"),
    (dict(code_size=0), ValueError, "`code_size` must be"),
]


@pytest.mark.parametrize("options, kind, words", IMPOSSIBLE)
def test_impossible_settings_are_refused_before_training(options, kind, words):
    with pytest.raises(kind, match=words):
        autoencoder_learner(tile_loaders(), **options)


def test_a_decoder_of_another_size_is_refused():
    decoder = small_autoencoder((3, 12, 16)).decoder
    with pytest.raises(ValueError, match=r"draws images of shape \(3, 12, 16\), but those of `dls` have \(3, 16, 16\)"):
        autoencoder_learner(tile_loaders(), Autoencoder(EncoderConv2d((3, 16, 16), 8, (4,)), decoder))


@pytest.mark.parametrize("loss, function", [("l2", F.mse_loss), (F.smooth_l1_loss, F.smooth_l1_loss)])
def test_the_loss_is_chosen_by_name_or_as_a_function(tmp_path, loss, function):
    learn = tile_learner(tmp_path, loss=loss)
    images = learn.dls.valid_ds[:][0]
    expected = function(learn.model.eval()(images), images).item()
    assert learn.validate()[0] == pytest.approx(expected, rel=1e-5)


class Watch(Callback):
    """Keep what the network got and what the loss compared, and check that they belong together."""

    order = 50

    def before_fit(self):
        self.drawn = []

    def after_pred(self):
        if not self.training:
            assert len(self.xb) == 1 and self.pred.shape == self.xb[0].shape
            return
        images, positions = self.xb
        pixels = ((positions + 1) / 2 * 15).round().long()
        found = [image[:, where[:, 0], where[:, 1]].T for image, where in zip(images, pixels, strict=True)]
        assert torch.equal(torch.stack(found), self.yb[0]) and self.pred.shape == self.yb[0].shape
        self.drawn.append(pixels[..., 0] * 16 + pixels[..., 1])


def test_training_sees_other_random_pixels_of_each_image_and_none_twice(tmp_path):
    learn = tile_learner(tmp_path, positions=60, cbs=Watch())
    learn.fit(1, 1e-3)
    drawn = torch.cat(learn.watch.drawn)
    assert drawn.shape == (80, 60) and all(len(row.unique()) == 60 for row in drawn)
    assert len({tuple(sorted(row.tolist())) for row in drawn}) == 80
    assert len(drawn.unique()) == 256


def test_pixels_need_a_decoder_of_positions_and_enough_of_them(tmp_path):
    with pytest.raises(ValueError, match="images of 256 pixels have fewer than the 257"):
        tile_learner(tmp_path, positions=257).fit(1)
    shape = (3, 16, 16)
    model = Autoencoder(EncoderConv2d(shape, 8, (4,)), PatchDecoder(shape, 8, 4, 4, 1, 8))
    with pytest.raises(ValueError, match="needs a decoder of positions, with `at`, and `PatchDecoder` is none"):
        tile_learner(tmp_path, model=model, positions=5).fit(1)


def test_the_spread_is_in_the_training_loss_and_in_the_table(tmp_path):
    learn = tile_learner(tmp_path, spread=0.1, cbs=MetricHistory())
    learn.fit(1, 1e-3)
    row = learn.metric_history.rows[0]
    assert 0 < row["loss_batch_std"] < 0.5 and row["loss_batch_mean"] > 0
    with_spread = row["loss_reconstruction"] + 0.1 * (row["loss_batch_std"] + row["loss_batch_mean"])
    assert row["train_loss"] == pytest.approx(with_spread, rel=0.02)  # fastai's has a decaying average


def test_a_fit_by_samples_lowers_the_rate_step_by_step_along_half_a_cosine(tmp_path):
    learn = tile_learner(tmp_path, cbs=MetricHistory())
    learn.fit_samples(200, 1e-2)
    expected = [1e-2 * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(10)]
    assert learn.recorder.lrs == pytest.approx(expected) and learn.samples == 200
    assert [row["samples_seen"] for row in learn.metric_history.rows] == [80, 160, 200]
    learn.fit_samples(100, 1e-2, warm_up=0.4)
    assert np.argmax(learn.recorder.lrs) == 2 and learn.samples == 300


def test_fastais_parts_work(tmp_path, trained, tiles):
    learn = tile_learner(tmp_path, spread=0.01, positions=50)
    assert learn.lr_find(num_it=8, show_plot=False).valley > 0
    learn.fit_one_cycle(3, 1e-2, cbs=SaveModelCallback(monitor="valid_loss"))
    assert "Total params" in str(learn.summary())
    learn.export("tiles.pkl")
    loaded = quiet(load_learner(tmp_path / "tiles.pkl"))
    torch.testing.assert_close(loaded.encode(tiles), learn.encode(tiles))
    torch.testing.assert_close(
        loaded.interpolate(tiles[0], tiles[1], 3, 32), learn.interpolate(tiles[0], tiles[1], 3, 32)
    )
    loaded.show_results(dl=loaded.dls.test_dl(tiles))
    for wrong in (loaded.show_results, lambda: loaded.fit(1), lambda: loaded.fit_samples(9)):
        with pytest.raises(ValueError, match="there are no (images to compare|samples to train)"):
            wrong()


def test_an_interrupted_fit_leaves_a_learner_that_works(tmp_path, tiles):
    class Interrupt(Callback):
        def after_pred(self):
            if self.training and self.train_iter == 2:
                raise KeyboardInterrupt

    learn = tile_learner(tmp_path, spread=0.1, positions=50)
    with pytest.raises(KeyboardInterrupt):
        learn.fit_samples(1000, cbs=Interrupt())
    assert learn.samples == 40 and learn.reconstruct(tiles).shape == tiles.shape
    learn.fit(1)
    assert learn.model.encoder._forward_hooks == {} and not learn.model.training


class HalfOnCPU(Callback):
    """What fastai's `MixedPrecision` does on a GPU, in bfloat16."""

    order = MixedPrecision.order

    def before_batch(self):
        self.autocast_here = torch.autocast("cpu", dtype=torch.bfloat16)
        self.autocast_here.__enter__()

    def after_pred(self):
        self.learn.pred = self.pred.float()

    def after_loss(self):
        self.autocast_here.__exit__(None, None, None)


def test_mixed_precision_trains_close_to_full_precision(tmp_path):
    losses = []
    for cbs in (None, HalfOnCPU):
        learn = tile_learner(tmp_path, spread=0.01, positions=100, cbs=cbs)
        learn.fit(2, 3e-3)
        losses.append(learn.validate()[0])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)
